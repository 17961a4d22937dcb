//! From where the SIP side is heard, and where it is sent to: anybody who guesses a port can send there.
//!
//! ```text
//!   nobody ── signalled address ─────────────────────────────▶ sure ── the same stream from another port of its host ──▶ sure
//!      ├───── its host, or that of its SIP (NAT) ──▶ heard ──────▲
//!      │           three packets are sent there;     │ three packets in order; that alone for two seconds, where the port is
//!      │           one better placed takes over  ◀───┘ another than the signalled one and others may have the same NAT
//!      └───── anybody else (NAT whose address nobody knows) ── in order for two seconds in which nobody better speaks ──▶ sure
//! ```
//!
//! Who is better placed takes over at once, whoever was first; others are heard only after new SDP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_ua::time::Instant;

use super::rtp::Header;

/// Packets in order that show a stream, where one alone may be a forger's shot.
const IN_ORDER: u32 = 3;
/// How long nobody better may speak before somebody who is placed nowhere is taken for the SIP side.
const PATIENCE: Duration = Duration::from_secs(2);
/// Packets to an address that is not sure (one in SDP is anybody's).
pub const UNPROVEN: u32 = 3;
/// How far a sequence number may be ahead of the one before.
const GAP: u16 = 100;
/// Streams that are watched beside the one that is heard.
const OTHERS: usize = 8;

/// What signalling says of where the SIP side is.
#[derive(Clone, Copy, Debug)]
pub struct Signalled<'a> {
    /// Where its SDP has it.
    pub rtp: SocketAddr,
    /// Hosts that its SIP comes from.
    pub hosts: &'a [IpAddr],
    /// Whether it may be behind NAT, so that its SDP may be wrong.
    pub nat: bool,
    /// Whether its SDP only names its host, so that nobody knows where that is.
    pub named: bool,
}

/// How well a source is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Anywhere.
    Elsewhere,
    /// Where its SIP comes from: a NAT has mostly one address for both.
    Sip,
    /// The host in its SDP.
    Host,
    /// Address and port in its SDP.
    Exact,
}

impl Signalled<'_> {
    fn place(&self, source: SocketAddr) -> Option<Place> {
        let ip = source.ip();
        if source == self.rtp {
            Some(Place::Exact)
        } else if ip == self.rtp.ip() {
            Some(Place::Host)
        } else if self.nat {
            Some(if self.hosts.contains(&ip) { Place::Sip } else { Place::Elsewhere })
        } else {
            None
        }
    }

    /// Whether it may be anywhere: its SDP has only a name, or an address of an inner network from which its SIP does not come.
    fn is_lost(&self) -> bool {
        self.nat && (self.named || is_inner(self.rtp.ip()) && !self.hosts.contains(&self.rtp.ip()))
    }
}

/// Whom we listen to.
#[derive(Clone, Copy, Debug)]
struct Lock {
    address: SocketAddr,
    /// The best that this stream was placed.
    place: Place,
    run: Run,
    /// Whether it is the SIP side, and no single packet that somebody has shot at us.
    sure: bool,
    /// Packets sent to it while it was not.
    sent: u32,
    /// New SDP came, and it has not spoken since.
    loose: bool,
}

/// Packets in order.
#[derive(Clone, Copy, Debug)]
struct Run {
    ssrc: u32,
    sequence: u16,
    packets: u32,
    since: Instant,
}

impl Run {
    const fn new(now: Instant, header: &Header) -> Self {
        Self { ssrc: header.ssrc, sequence: header.sequence, packets: 1, since: now }
    }

    /// The same with one packet more, where it is the next.
    fn and(self, header: &Header) -> Option<Self> {
        let ahead = header.sequence.wrapping_sub(self.sequence);
        let next = self.ssrc == header.ssrc && (1..=GAP).contains(&ahead);
        next.then_some(Self { sequence: header.sequence, packets: self.packets.saturating_add(1), ..self })
    }
}

/// The sources of the SIP side.
#[derive(Debug, Default)]
pub struct Sources {
    lock: Option<Lock>,
    /// Streams that are not heard.
    others: Vec<(SocketAddr, Place, Run)>,
}

impl Sources {
    /// New SDP came; `moved`: with another address.
    pub fn described(&mut self, moved: bool) {
        self.others.clear();
        if moved {
            self.lock = None;
        } else if let Some(lock) = &mut self.lock {
            lock.loose = true;
        }
    }

    /// Whether a packet may be the SIP side's; `keyed`: it has yet to show that, by its tag, and who cannot is never heard.
    pub fn admits(&mut self, now: Instant, signalled: &Signalled<'_>, source: SocketAddr, header: &Header, keyed: bool) -> bool {
        let Some(place) = signalled.place(source) else { return false };
        let known = place > Place::Elsewhere;
        let heard = match self.lock {
            None => known || keyed,
            Some(lock) if lock.address == source => true,
            Some(lock) if lock.address.ip() == source.ip() => {
                lock.loose || lock.run.ssrc == header.ssrc || (keyed || !lock.sure) && place > lock.place
            }
            Some(lock) => place > lock.place || lock.loose && (known || keyed),
        };
        heard || !keyed && self.shows(now, signalled, source, place, header)
    }

    /// A source that is not heard has sent one packet more. Whether that is enough for it to take the place of one that is not sure, or of one
    /// that is silent.
    fn shows(&mut self, now: Instant, signalled: &Signalled<'_>, source: SocketAddr, place: Place, header: &Header) -> bool {
        let free = self.lock.is_none_or(|lock| lock.loose);
        let eligible = match self.lock {
            _ if place == Place::Elsewhere => free && signalled.is_lost(),
            Some(lock) => place > lock.place || !lock.sure && place == lock.place,
            None => true,
        };
        if !eligible {
            return false;
        }
        let at = self.others.iter().position(|(address, ..)| *address == source);
        let before = at.map(|at| self.others.swap_remove(at).2);
        let run = before.and_then(|run| run.and(header)).unwrap_or_else(|| Run::new(now, header));
        if self.others.len() >= OTHERS {
            let worst = (0..OTHERS).min_by_key(|at| (self.others[*at].1, self.others[*at].2.packets, self.others[*at].2.since));
            worst.into_iter().for_each(|worst| _ = self.others.swap_remove(worst));
        }
        self.others.push((source, place, run));
        run.packets >= IN_ORDER && (place > Place::Elsewhere || now - run.since >= PATIENCE)
    }

    /// A packet was good: from now on its source is the SIP side's; `keyed`: it has shown that it has the keys.
    pub fn take(&mut self, now: Instant, signalled: &Signalled<'_>, source: SocketAddr, header: &Header, keyed: bool) {
        let Some(place) = signalled.place(source) else { return };
        let shown = self.others.iter().find(|(address, ..)| *address == source).map(|(.., run)| *run);
        // Who is better placed goes on to show it, however much this one says.
        self.others.retain(|(address, known, _)| *address != source && *known > place);
        let before =
            self.lock.filter(|lock| lock.address.ip() == source.ip() && (lock.address == source || lock.run.ssrc == header.ssrc));
        let run = before.map(|lock| lock.run).and_then(|run| run.and(header));
        let run = run.or(shown).unwrap_or_else(|| Run::new(now, header));
        // Behind NAT its host may be that of others, too: for them the port tells, where it is used.
        let shared = signalled.nat && place == Place::Host && now - run.since < PATIENCE;
        let sure = keyed || place == Place::Exact || run.packets >= IN_ORDER && !shared || before.is_some_and(|lock| lock.sure);
        let (place, sent) = before.map_or((place, 0), |lock| (place.max(lock.place), lock.sent));
        self.lock = Some(Lock { address: source, place, run, sure, sent, loose: false });
    }

    /// The host that is heard.
    #[must_use]
    pub fn host(&self) -> Option<IpAddr> {
        self.lock.map(|lock| lock.address.ip())
    }

    /// Where the SIP side is, for sure.
    #[must_use]
    pub fn sure(&self) -> Option<SocketAddr> {
        self.lock.filter(|lock| lock.sure).map(|lock| lock.address)
    }

    /// Where the next packet goes: to whom is heard, where that is sure or has had few; `None` where nobody is.
    pub fn destination(&mut self, now: Instant) -> Option<Option<SocketAddr>> {
        let lock = self.lock.as_mut()?;
        lock.sure |= self.others.is_empty() && now - lock.run.since >= PATIENCE;
        let may = lock.sure || lock.sent < UNPROVEN;
        lock.sent = lock.sent.saturating_add(1);
        Some(may.then_some(lock.address))
    }
}

/// Whether an address is one of an inner network: it means nothing outside (RFC 1918, 4193, 6598).
fn is_inner(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}
