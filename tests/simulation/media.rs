//! The browsers' peer connections, as far as signalling can see them: offers and answers in their order (JSEP, RFC 8829), and an ICE
//! state that follows from who has taken whose description, who is still there, and whether the network lets media through.

use offhook::client::IceState;
use offhook::client::call::CallId;
use offhook_sip::sdp;

/// How long ICE checks take, after how long without packets a path is disconnected, and after how long again it has failed, ms.
const CHECKS: u64 = 40;
const SHAKY: u64 = 5_000;
const DEAD: u64 = 10_000;

/// One peer connection: page, how often the page was opened, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub page: usize,
    pub life: u32,
    pub peer: u32,
}

struct Peer {
    key: Key,
    call: CallId,
    /// Counts its ICE credentials.
    generation: u32,
    /// Whether an offer of its own is out.
    offering: bool,
    /// The peer connection whose description it has, with which credentials.
    remote: Option<(Key, u32)>,
    ice: IceState,
    /// The credentials of both ends when it failed: with them it stays so.
    failed_with: (u32, u32),
    /// Its next change, and the number of that.
    next: Option<(IceState, u64)>,
}

#[derive(Default)]
pub struct Media {
    peers: Vec<Peer>,
    numbers: u64,
}

/// A change that is due after so many ms, unless another one comes before it.
pub struct Due {
    pub wait: u64,
    pub key: Key,
    pub number: u64,
}

impl Media {
    pub fn knows(&self, key: Key) -> bool {
        self.peers.iter().any(|peer| peer.key == key)
    }

    /// Creates a peer connection where there is none yet.
    pub fn open(&mut self, key: Key, call: CallId) {
        if !self.knows(key) {
            let (ice, failed_with) = (IceState::New, (0, 0));
            self.peers.push(Peer { key, call, generation: 1, offering: false, remote: None, ice, failed_with, next: None });
        }
    }

    pub fn offer(&mut self, key: Key, restart: bool) -> Option<String> {
        let peer = self.find(key)?;
        peer.generation += u32::from(restart);
        peer.offering = true;
        Some(describe(peer))
    }

    /// The browser I/O rolls back an offer of its own first.
    pub fn answer(&mut self, key: Key, offer: &str) -> Option<String> {
        let from = whose(offer)?;
        let peer = self.find(key)?;
        let again = peer.remote.is_some_and(|(other, generation)| other == from.0 && generation != from.1);
        peer.generation += u32::from(again);
        (peer.offering, peer.remote) = (false, Some(from));
        Some(describe(peer))
    }

    /// `None` where no offer is out: browsers throw `InvalidStateError`.
    pub fn accept(&mut self, key: Key, answer: &str) -> Option<()> {
        let from = whose(answer)?;
        let peer = self.find(key).filter(|peer| peer.offering)?;
        (peer.offering, peer.remote) = (false, Some(from));
        Some(())
    }

    pub fn roll_back(&mut self, key: Key) -> Option<()> {
        let peer = self.find(key).filter(|peer| peer.offering)?;
        peer.offering = false;
        Some(())
    }

    pub fn close(&mut self, key: Key) {
        self.peers.retain(|peer| peer.key != key);
    }

    pub fn close_call(&mut self, page: usize, call: CallId) {
        self.peers.retain(|peer| (peer.key.page, peer.call) != (page, call));
    }

    pub fn close_page(&mut self, page: usize) {
        self.peers.retain(|peer| peer.key.page != page);
    }

    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Determines the next change of each; `clear` says whether media of a page gets through.
    pub fn review(&mut self, clear: impl Fn(usize) -> bool) -> Vec<Due> {
        let ways: Vec<Option<u32>> = self.peers.iter().map(|peer| self.other_end(peer, &clear)).collect();
        let mut due = Vec::new();
        for (peer, way) in self.peers.iter_mut().zip(ways) {
            let next = next(peer, way);
            if next.map(|(_, state)| state) == peer.next.map(|(state, _)| state) {
                continue;
            }
            self.numbers += 1;
            peer.next = next.map(|(_, state)| (state, self.numbers));
            due.extend(next.map(|(wait, _)| Due { wait, key: peer.key, number: self.numbers }));
        }
        due
    }

    /// The change with this number is due.
    pub fn fire(&mut self, key: Key, number: u64) -> Option<IceState> {
        let peer = self.find(key)?;
        let (state, _) = peer.next.filter(|(_, planned)| *planned == number)?;
        (peer.ice, peer.next) = (state, None);
        peer.failed_with = (peer.generation, peer.remote.map_or(0, |(_, generation)| generation));
        Some(state)
    }

    /// Whether media of the remote party arrives.
    pub fn hears(&self, key: Key, clear: impl Fn(usize) -> bool) -> bool {
        self.peers.iter().any(|peer| peer.key == key && self.other_end(peer, &clear).is_some())
    }

    /// The generation of the remote credentials, where both ends have each other's and media gets through.
    fn other_end(&self, peer: &Peer, clear: &impl Fn(usize) -> bool) -> Option<u32> {
        let (remote, generation) = peer.remote?;
        let other = self.peers.iter().find(|other| other.key == remote)?;
        let mutual = other.remote.is_some_and(|(back, _)| back == peer.key);
        (mutual && clear(peer.key.page) && clear(remote.page)).then_some(generation)
    }

    fn find(&mut self, key: Key) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.key == key)
    }
}

const fn next(peer: &Peer, way: Option<u32>) -> Option<(u64, IceState)> {
    match (peer.ice, way) {
        (IceState::New, _) if peer.remote.is_some() => Some((1, IceState::Checking)),
        (IceState::Checking | IceState::Disconnected, Some(_)) => Some((CHECKS, IceState::Connected)),
        (IceState::Checking, None) => Some((SHAKY + DEAD, IceState::Failed)),
        (IceState::Connected, None) => Some((SHAKY, IceState::Disconnected)),
        (IceState::Disconnected, None) => Some((DEAD, IceState::Failed)),
        (IceState::Failed, Some(theirs)) if peer.generation != peer.failed_with.0 && theirs != peer.failed_with.1 => {
            Some((1, IceState::Checking))
        }
        _ => None,
    }
}

/// A description with one candidate; the ICE user name fragment names its peer connection.
fn describe(peer: &Peer) -> String {
    let Key { page, life, peer: number } = peer.key;
    let pair = format!("{:02X}:{:02X}:{:02X}:{:02X}", page + 1, life & 255, number & 255, number >> 8);
    let fingerprint = [pair.as_str(); 8].join(":");
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111 126\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
         a=ice-ufrag:{page}/{life}/{number}/{}\r\na=ice-pwd:0123456789012345678901\r\na=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=sendrecv\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\na=rtpmap:126 telephone-event/8000\r\n\
         a=candidate:1 1 udp 1 192.0.2.{} 3000 typ host\r\n",
        peer.generation,
        page + 1,
    )
}

fn whose(description: &str) -> Option<(Key, u32)> {
    let (ufrag, _) = sdp::ice_credentials(description)?;
    let mut parts = ufrag.split('/').map(|part| part.parse::<u32>().ok());
    let mut part = || parts.next().flatten();
    Some((Key { page: usize::try_from(part()?).ok()?, life: part()?, peer: part()? }, part()?))
}
