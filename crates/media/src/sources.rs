//! The source address of the SIP side's packets, and the destination of packets to it: anybody who guesses a port can send to it.
//!
//! ```text
//!   none ─── signalled address ─────────────────────────────▶ verified ── same stream, another port of its host ──▶ verified
//!      ├──── signalled host, or host of its SIP (NAT) ──▶ heard ──────▲
//!      │           gets at most three packets;             │ three packets in order; for two seconds with no other stream, where the
//!      │           a better source replaces it        ◀────┘ port is not the signalled one and the NAT may be shared with others
//!      └──── any other address (NAT, unknown address) ── in order for two seconds without a better source ──▶ verified
//! ```
//!
//! A better source replaces a worse one at once; other sources are accepted only after new SDP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_ua::time::Instant;

use super::rtp::Header;

/// Packets in order that verify a stream: a single one may be forged.
const IN_ORDER: u32 = 3;
/// How long no better source may send before another address is accepted as the SIP side.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest number of packets to an address that is not verified: anybody may be named in SDP.
pub const UNVERIFIED: u32 = 3;
/// The largest step from one sequence number to the next.
const GAP: u16 = 100;
/// The largest number of streams that are watched in addition to the accepted one.
const OTHERS: usize = 8;

/// The signalled location of the SIP side.
#[derive(Clone, Copy, Debug)]
pub struct Signalled<'a> {
    /// The address in its SDP.
    pub rtp: SocketAddr,
    /// The source addresses of its SIP messages.
    pub hosts: &'a [IpAddr],
    /// Whether it may be behind NAT, so that the address in SDP may be wrong.
    pub nat: bool,
    /// Whether its SDP has a host name, so that the address is not known.
    pub named: bool,
}

/// How well a source address matches the signalled location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Not at all.
    Elsewhere,
    /// The source address of its SIP messages: a NAT mostly has one address for both.
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

    /// Whether it may have any address: its SDP has a host name, or a private address from which its SIP messages do not come.
    fn is_lost(&self) -> bool {
        self.nat && (self.named || is_inner(self.rtp.ip()) && !self.hosts.contains(&self.rtp.ip()))
    }
}

/// The accepted source.
#[derive(Clone, Copy, Debug)]
struct Lock {
    address: SocketAddr,
    /// The best match that this stream has had.
    place: Place,
    run: Run,
    /// Whether it is certainly the SIP side: it has sent more than a packet that may be forged.
    verified: bool,
    /// Packets sent to it before it was verified.
    sent: u32,
    /// Whether it has not sent since new SDP.
    loose: bool,
}

/// A run of packets in order.
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

    /// Returns the run with one more packet, if that is the next one.
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
    /// Streams that are not accepted yet.
    others: Vec<(SocketAddr, Place, Run)>,
}

impl Sources {
    /// New SDP was received; `moved`: with another address.
    pub fn described(&mut self, moved: bool) {
        self.others.clear();
        if moved {
            self.lock = None;
        } else if let Some(lock) = &mut self.lock {
            lock.loose = true;
        }
    }

    /// Whether a packet may be from the SIP side; `keyed`: its authentication tag is still to be verified, so sources without the
    /// key are never accepted.
    pub fn admits(&mut self, now: Instant, signalled: &Signalled<'_>, source: SocketAddr, header: &Header, keyed: bool) -> bool {
        let Some(place) = signalled.place(source) else { return false };
        let known = place > Place::Elsewhere;
        let heard = match self.lock {
            None => known || keyed,
            Some(lock) if lock.address == source => true,
            Some(lock) if lock.address.ip() == source.ip() => {
                lock.loose || lock.run.ssrc == header.ssrc || (keyed || !lock.verified) && place > lock.place
            }
            Some(lock) => place > lock.place || lock.loose && (known || keyed),
        };
        heard || !keyed && self.shows(now, signalled, source, place, header)
    }

    /// Counts a packet of a source that is not accepted, and returns whether it now replaces a source that is not verified, or is
    /// silent.
    fn shows(&mut self, now: Instant, signalled: &Signalled<'_>, source: SocketAddr, place: Place, header: &Header) -> bool {
        let free = self.lock.is_none_or(|lock| lock.loose);
        let eligible = match self.lock {
            _ if place == Place::Elsewhere => free && signalled.is_lost(),
            Some(lock) => place > lock.place || !lock.verified && place == lock.place,
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

    /// A packet was accepted, so its source is the SIP side; `keyed`: its authentication tag was verified.
    pub fn take(&mut self, now: Instant, signalled: &Signalled<'_>, source: SocketAddr, header: &Header, keyed: bool) {
        let Some(place) = signalled.place(source) else { return };
        let watched = self.others.iter().find(|(address, ..)| *address == source).map(|(.., run)| *run);
        // A better source can still replace this one, however much it sends.
        self.others.retain(|(address, known, _)| *address != source && *known > place);
        let before =
            self.lock.filter(|lock| lock.address.ip() == source.ip() && (lock.address == source || lock.run.ssrc == header.ssrc));
        let run = before.map(|lock| lock.run).and_then(|run| run.and(header));
        let run = run.or(watched).unwrap_or_else(|| Run::new(now, header));
        // Behind NAT others may share its host, so the port has to match, where it is used.
        let shared = signalled.nat && place == Place::Host && now - run.since < PATIENCE;
        let verified =
            keyed || place == Place::Exact || run.packets >= IN_ORDER && !shared || before.is_some_and(|lock| lock.verified);
        let (place, sent) = before.map_or((place, 0), |lock| (place.max(lock.place), lock.sent));
        self.lock = Some(Lock { address: source, place, run, verified, sent, loose: false });
    }

    /// Returns the accepted source address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.lock.map(|lock| lock.address)
    }

    /// Returns the accepted host.
    #[must_use]
    pub fn host(&self) -> Option<IpAddr> {
        self.address().map(|address| address.ip())
    }

    /// Returns the verified address of the SIP side.
    #[must_use]
    pub fn verified(&self) -> Option<SocketAddr> {
        self.lock.filter(|lock| lock.verified).map(|lock| lock.address)
    }

    /// Returns the destination of the next packet: the accepted source, if it is verified or has got few packets; `None` where no
    /// source is accepted.
    pub fn destination(&mut self, now: Instant) -> Option<Option<SocketAddr>> {
        let lock = self.lock.as_mut()?;
        lock.verified |= self.others.is_empty() && now - lock.run.since >= PATIENCE;
        let may = lock.verified || lock.sent < UNVERIFIED;
        lock.sent = lock.sent.saturating_add(1);
        Some(may.then_some(lock.address))
    }
}

/// Whether an address is private: it has no meaning outside of its network (RFC 1918, 4193, 6598).
fn is_inner(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}
