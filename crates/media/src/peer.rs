//! The SIP side of a session: SDP, ports, source and destination of packets ([`super::sources`]), and encryption.

use std::net::SocketAddr;
use std::time::Duration;

use offhook_ua::random::Random;
use offhook_ua::time::Instant;

use super::port::{Codec, MediaError, PeerSettings, Security};
use super::rtcp::{self, Sent};
use super::rtp::{self, Header, Numbering, Place, Reception};
use super::sdp::{self, Audio, Crypto, Direction, Events, Local, clock};
use super::sources::{Signalled, Sources, UNVERIFIED};
use super::srtp::{Context, Master, TAG};

/// The interval between RTCP reports (RFC 3550, 6.2).
const REPORTS: Duration = Duration::from_secs(5);

/// The kind of a packet from the SIP side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sound.
    Sound(Codec),
    /// A telephone event.
    Event(Events),
}

/// A packet that was accepted.
#[derive(Debug)]
pub struct Received<'a> {
    /// The header as received.
    pub header: Header,
    /// The extended sequence number.
    pub number: u64,
    /// Sound or a telephone event.
    pub kind: Kind,
    /// The payload, decrypted.
    pub payload: &'a [u8],
}

/// The SIP side of a session.
pub struct Peer {
    /// The settings of its trunk.
    pub settings: PeerSettings,
    /// The numbering of the stream to it.
    pub numbering: Numbering,
    id: u64,
    version: u64,
    last_sdp: String,
    local: LocalMedia,
    remote: Option<Audio>,
    keys: Option<Keys>,
    sources: Sources,
    unverified: u32,
    stream: Option<Reception>,
    /// Packets received and lost in streams that have ended.
    past: (u64, u64),
    sent: Sent,
    last: Option<(Instant, u32)>,
    report_at: Instant,
    /// The fraction of packets that it lost by its last report, of 256.
    pub loss: Option<u8>,
    /// When a packet was last accepted.
    pub heard: Option<Instant>,
    /// Packets dropped.
    pub refused: u64,
}

/// The last description of the gateway.
#[derive(Clone, Debug, Default)]
struct LocalMedia {
    codecs: Vec<(Codec, u8)>,
    events: Vec<Events>,
    direction: Direction,
    crypto: Option<Crypto>,
}

struct Keys {
    /// The master keys that the contexts were made from, to detect a change.
    of: [Master; 2],
    inward: Context,
    outward: Context,
}

impl Peer {
    /// Returns a SIP side without any description.
    #[must_use]
    pub fn new(settings: PeerSettings, now: Instant, random: &mut Random) -> Self {
        Self {
            settings,
            numbering: Numbering::new(random.below(1 << 32) as u32, random.below(1 << 48)),
            id: random.below(1 << 53),
            version: 0,
            last_sdp: String::new(),
            local: LocalMedia::default(),
            remote: None,
            keys: None,
            sources: Sources::default(),
            unverified: 0,
            stream: None,
            past: (0, 0),
            sent: Sent::default(),
            last: None,
            report_at: now + REPORTS,
            loss: None,
            heard: None,
            refused: 0,
        }
    }

    /// Forgets the descriptions of the SIP side: the next trunk or fork follows.
    pub fn forget(&mut self, settings: Option<PeerSettings>) {
        self.settings = settings.unwrap_or_else(|| self.settings.clone());
        (self.remote, self.keys, self.sources, self.heard, self.unverified) = (None, None, Sources::default(), None, 0);
        self.end_stream();
    }

    /// Returns an offer; `page_gives` is whether there is anything to send.
    pub fn offer(&mut self, address: SocketAddr, page_sends: bool, random: &mut Random) -> String {
        let codecs: Vec<_> = self.settings.codecs.iter().map(|codec| (*codec, payload_type(*codec))).collect();
        let mut events = vec![Events { payload_type: 101, clock: 8_000 }, Events { payload_type: 110, clock: 48_000 }];
        events.retain(|events| !self.settings.info && codecs.iter().any(|(codec, _)| clock(*codec) == events.clock));
        let direction = Direction::of(page_sends, true);
        let crypto = (self.settings.security == Security::Sdes).then(|| {
            let before = self.local.crypto.clone().map(|crypto| crypto.master);
            Crypto { tag: 1, master: before.unwrap_or_else(|| master(random)) }
        });
        self.local = LocalMedia { codecs, events, direction, crypto };
        self.write(address, None)
    }

    /// Takes an offer of the SIP side, and returns the answer.
    pub fn offered(&mut self, address: SocketAddr, text: &str, random: &mut Random) -> Result<String, MediaError> {
        let offer = self.read(text)?;
        let codecs = sdp::common(&offer, &self.settings.codecs, self.settings.security)?;
        self.check(&offer, address)?;
        let chosen = codecs[0];
        let events = events_for(&offer.events, clock(chosen.0)).filter(|_| !self.settings.info).into_iter().collect();
        let crypto = offer.crypto.first().map(|remote| {
            let before = self.local.crypto.clone().map(|crypto| crypto.master);
            Crypto { tag: remote.tag, master: before.unwrap_or_else(|| master(random)) }
        });
        self.local = LocalMedia { codecs: vec![chosen], events, direction: offer.direction.reversed(), crypto };
        let answer = self.write(address, Some(&offer));
        self.negotiated(Audio { codecs: vec![chosen], ..offer });
        Ok(answer)
    }

    /// Takes the answer of the SIP side, early or final.
    pub fn answered(&mut self, address: SocketAddr, text: &str) -> Result<(), MediaError> {
        let answer = self.read(text)?;
        let wanted: Vec<_> = self.local.codecs.iter().map(|(codec, _)| *codec).collect();
        let codecs = sdp::common(&answer, &wanted, self.settings.security)?;
        self.check(&answer, address)?;
        if self.local.crypto.is_some() && answer.crypto.first().is_none_or(|crypto| crypto.tag != 1) {
            return Err(MediaError::NotAcceptable);
        }
        self.negotiated(Audio { codecs, ..answer });
        Ok(())
    }

    fn read(&self, text: &str) -> Result<Audio, MediaError> {
        sdp::read(text, self.settings.security, self.settings.signalling.first().copied())
    }

    /// Rejects a loopback address in SDP, unless the gateway itself uses one.
    fn check(&self, audio: &Audio, local: SocketAddr) -> Result<(), MediaError> {
        let loopback = |address: SocketAddr| address.ip().is_loopback() && !local.ip().is_loopback();
        if loopback(audio.rtp) || loopback(audio.rtcp) { Err(MediaError::NotAcceptable) } else { Ok(()) }
    }

    fn negotiated(&mut self, mut audio: Audio) {
        // The unspecified address means hold (RFC 3264, 8.4): the real address stays the same.
        if let Some(before) = self.remote.as_ref().filter(|_| audio.rtp.ip().is_unspecified()) {
            (audio.rtp, audio.rtcp) = (before.rtp, before.rtcp);
        }
        if let (Some(local), Some(remote)) = (&self.local.crypto, audio.crypto.first()) {
            let of = [remote.master.clone(), local.master.clone()];
            if self.keys.as_ref().is_none_or(|keys| keys.of != of) {
                self.keys = Some(Keys { inward: Context::new(&of[0]), outward: Context::new(&of[1]), of });
            }
        }
        let moved = self.remote.as_ref().is_some_and(|before| before.rtp != audio.rtp);
        if moved {
            self.unverified = 0;
        }
        self.sources.described(moved);
        // No more answers are written for this description.
        audio.lines = (Vec::new(), 0);
        self.remote = Some(audio);
    }

    fn write(&mut self, address: SocketAddr, offer: Option<&Audio>) -> String {
        let text = |version| {
            sdp::write(&Local {
                id: self.id,
                version,
                address: address.ip(),
                port: address.port(),
                direction: self.local.direction,
                codecs: &self.local.codecs,
                events: &self.local.events,
                crypto: self.local.crypto.as_ref(),
                offer,
            })
        };
        if text(self.version) != self.last_sdp {
            self.version += 1;
            self.last_sdp = text(self.version);
        }
        self.last_sdp.clone()
    }

    /// Returns the codec that is sent to it, with the payload type.
    #[must_use]
    pub fn codec(&self) -> Option<(Codec, u8)> {
        self.remote.as_ref()?.codecs.first().copied()
    }

    /// Returns all codecs that it accepts, in the order of preference.
    #[must_use]
    pub fn codecs(&self) -> &[(Codec, u8)] {
        self.remote.as_ref().map_or(&[], |remote| &remote.codecs)
    }

    /// Whether its Opus decoder uses in-band FEC.
    #[must_use]
    pub fn uses_fec(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.fec)
    }

    /// Returns how it accepts telephone events.
    #[must_use]
    pub fn events(&self) -> Option<Events> {
        let remote = self.remote.as_ref().filter(|_| !self.settings.info)?;
        events_for(&remote.events, clock(self.codec()?.0))
    }

    /// Whether it receives sound.
    #[must_use]
    pub fn receives(&self) -> bool {
        self.local.direction.sends() && self.remote.as_ref().is_some_and(|remote| remote.direction.receives())
    }

    /// Whether it sends sound by its description; otherwise its packets are ignored.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.local.direction.receives() && self.remote.as_ref().is_some_and(|remote| remote.direction.sends())
    }

    /// Whether it has to send: a side that has put the call on hold may play music, or not.
    #[must_use]
    pub fn must_send(&self) -> bool {
        self.local.direction.receives() && self.remote.as_ref().is_some_and(|remote| remote.direction == Direction::Both)
    }

    /// Takes a datagram on the RTP port.
    pub fn receive<'a>(&mut self, now: Instant, source: SocketAddr, bytes: &'a mut [u8]) -> Option<Received<'a>> {
        if rtp::is_rtcp(bytes) {
            self.receive_report(now, source, bytes);
            return None;
        }
        let taken = self.take(now, source, bytes);
        let Some((header, number, kind, payload)) = taken else {
            self.refused += 1;
            return None;
        };
        Some(Received { header, number, kind, payload: &bytes[payload] })
    }

    fn take(&mut self, now: Instant, source: SocketAddr, bytes: &mut [u8]) -> Option<(Header, u64, Kind, std::ops::Range<usize>)> {
        let (header, start) = rtp::parse(bytes)?;
        let kind = self.kind(header.payload_type)?;
        let remote = self.remote.as_ref()?;
        let nat = self.settings.nat || remote.named;
        let signalled = Signalled { rtp: remote.rtp, hosts: &self.settings.signalling, nat, named: remote.named };
        let keyed = self.keys.is_some();
        self.sources.admits(now, &signalled, source, &header, keyed).then_some(())?;
        let length = match &mut self.keys {
            Some(keys) => keys.inward.unprotect(bytes, start, header.ssrc, header.sequence)?,
            None => bytes.len(),
        };
        let payload = rtp::unpadded(bytes[0], &bytes[start..length])?.len();
        if payload == 0 || payload > rtp::MAX_PAYLOAD {
            return None;
        }
        self.sources.take(now, &signalled, source, &header, keyed);
        if self.stream.as_ref().is_none_or(|stream| stream.ssrc != header.ssrc) {
            self.end_stream();
        }
        let clock = match kind {
            Kind::Sound(codec) => clock(codec),
            Kind::Event(events) => events.clock,
        };
        let number = self.stream.get_or_insert_with(|| Reception::new(&header)).take(now, &header, clock)?;
        self.heard = Some(now);
        Some((header, number, kind, start..start + payload))
    }

    fn kind(&self, payload_type: u8) -> Option<Kind> {
        let sound = self.local.codecs.iter().find(|(_, pt)| *pt == payload_type).map(|(codec, _)| Kind::Sound(*codec));
        sound.or_else(|| {
            self.local.events.iter().find(|events| events.payload_type == payload_type).map(|events| Kind::Event(*events))
        })
    }

    fn end_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.past = (self.past.0 + stream.received, self.past.1 + stream.lost());
        }
    }

    /// Returns the numbers of packets received and lost on the way.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        let now = self.stream.as_ref().map_or((0, 0), |stream| (stream.received, stream.lost()));
        (self.past.0 + now.0, self.past.1 + now.1)
    }

    /// Returns the interarrival jitter of its stream, ms; `None` before it sends one.
    #[must_use]
    pub fn jitter(&self) -> Option<u32> {
        self.stream.as_ref().zip(self.codec()).map(|(stream, (codec, _))| stream.jitter() / codec.ticks())
    }

    /// Returns the source address of its packets.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.sources.address()
    }

    /// Takes a datagram on the RTCP port.
    pub fn receive_report(&mut self, now: Instant, source: SocketAddr, bytes: &mut [u8]) {
        if self.take_report(now, source, bytes).is_none() {
            self.refused += 1;
        }
    }

    fn take_report(&mut self, now: Instant, source: SocketAddr, bytes: &mut [u8]) -> Option<()> {
        let known = self.sources.host().or_else(|| Some(self.remote.as_ref()?.rtp.ip()))?;
        (source.ip() == known).then_some(())?;
        let length = match &mut self.keys {
            Some(keys) => keys.inward.unprotect_rtcp(bytes)?,
            None => bytes.len(),
        };
        let reports = rtcp::read(&bytes[..length])?;
        let local = reports.loss.iter().find(|(ssrc, _)| *ssrc == self.numbering.ssrc);
        self.loss = local.map(|(_, fraction)| *fraction).or(self.loss);
        if let Some(stream) = &mut self.stream {
            let mine = reports.sent.iter().find(|(ssrc, _)| *ssrc == stream.ssrc);
            stream.sender_report = mine.map(|(_, ntp)| (*ntp, now)).or(stream.sender_report);
        }
        self.heard = Some(now);
        Some(())
    }

    /// Returns the destination of the next packet.
    fn destination(&mut self, now: Instant) -> Option<SocketAddr> {
        let remote = self.remote.as_ref().filter(|remote| !remote.rtp.ip().is_unspecified())?;
        if let Some(heard) = self.sources.destination(now) {
            return heard;
        }
        let may = self.settings.eager && !self.settings.nat || self.unverified < UNVERIFIED;
        self.unverified = self.unverified.saturating_add(1);
        may.then_some(remote.rtp)
    }

    /// Returns an RTP packet to the SIP side and its destination; `None` where it must not be sent.
    pub fn send(
        &mut self,
        now: Instant,
        (payload_type, place, marker): (u8, Place, bool),
        payload: &[u8],
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let destination = self.destination(now)?;
        let header =
            Header { marker, payload_type, sequence: place.sequence as u16, timestamp: place.timestamp, ssrc: self.numbering.ssrc };
        let mut packet = rtp::write(&header, payload, if self.keys.is_some() { TAG } else { 0 });
        if let Some(keys) = &self.keys {
            keys.outward.protect(&mut packet, rtp::HEADER, header.ssrc, place.sequence);
        }
        self.sent.packets = self.sent.packets.wrapping_add(1);
        self.sent.octets = self.sent.octets.wrapping_add(payload.len() as u32);
        self.last = Some((now, place.timestamp));
        Some((destination, packet))
    }

    /// Returns when the next report is due; none is sent before a packet was received.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.sources.verified().map(|_| self.report_at)
    }

    /// Returns the report that is due: its destination, and whether it is sent from the RTP port.
    pub fn report(&mut self, now: Instant) -> Option<(SocketAddr, bool, Vec<u8>)> {
        let remote = self.remote.as_ref().filter(|_| self.report_at <= now)?;
        let verified = self.sources.verified()?;
        let recently = self.last.filter(|(at, _)| now - *at < REPORTS).zip(self.codec());
        let sent = recently.map(|((at, timestamp), (codec, _))| {
            (self.sent, timestamp.wrapping_add((now.millis_since(at) * u64::from(clock(codec)) / 1000) as u32))
        });
        let destination = match remote.mux {
            true => verified,
            // Behind NAT the port for its reports is not known, but is usually the next one.
            false if self.settings.nat => SocketAddr::new(verified.ip(), verified.port().saturating_add(1)),
            false => remote.rtcp,
        };
        let mux = remote.mux;
        let mut packet = rtcp::report(now, self.numbering.ssrc, "offhook", sent, self.stream.as_mut());
        if let Some(keys) = &mut self.keys {
            keys.outward.protect_rtcp(&mut packet);
        }
        self.report_at = now + REPORTS;
        Some((destination, mux, packet))
    }
}

fn master(random: &mut Random) -> Master {
    let mut key = [0; 30];
    key.copy_from_slice(&random.bytes()[..30]);
    Master(key)
}

/// Returns the events with the clock of the sound (RFC 4733, 2.1), or else any.
#[must_use]
pub fn events_for(all: &[Events], clock: u32) -> Option<Events> {
    all.iter().find(|events| events.clock == clock).or_else(|| all.first()).copied()
}

/// Returns the payload type of a codec in offers of the gateway.
const fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        Codec::G722 => 9,
        Codec::Opus => 111,
    }
}
