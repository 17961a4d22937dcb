//! The jitter buffer: puts packets in order, and says when each point of a stream is to be played.
//!
//! A packet's *transit* is its arrival less its timestamp, by two clocks that were never compared: only its changes mean something. Sound
//! is played at its timestamp plus the *offset*: the transit that all but 2 % of the last packets stayed below. So the delay is as small as
//! the network lets it be, and a sender's clock that goes wrong (drift) takes the offset along: nothing is ever stretched or cut for it.
//!
//! ```text
//! transit │      ╷      ╷            offset ┄┄┄ the packet above it comes too late and is concealed;
//!         │┄┄┬┄┄┄┼┄┄╷┄┄┄│┄┄╷┄┄┄┄┄          where more do, the offset rises
//!         └──┴─╵─┴──┴─╵─┴──┴─────── packets
//! ```

use std::collections::VecDeque;

use offhook_ua::time::Instant;

use super::transcoder::Packet;

/// Packets that are looked back on: five seconds of 20 ms.
const WINDOW: usize = 256;
/// One of so many packets may come too late.
const LATE_ONE_OF: usize = 50;
/// While few packets were seen, the offset is larger by this, in milliseconds; later by the other, as clocks count in milliseconds.
const CAREFUL_MS: i64 = 10;
const MARGIN_MS: i64 = 2;
const FEW: usize = 25;
/// The offset stays within this of the fastest packet.
const LARGEST_DELAY_MS: i64 = 200;
/// A transit so far off the others is another timeline: a sender that began anew.
const JUMP_MS: i64 = 1000;
/// Packets that wait; more are not taken.
const MOST_PACKETS: usize = 64;
/// Nothing longer goes over the links that calls take.
const LARGEST_PAYLOAD: usize = 1500;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits for its time; or it is refused, or too late.
    InStream,
    /// It is the first of a timeline: the play position is where it begins.
    Anew(i64),
}

/// What is to be played at a point of the stream.
pub(super) enum Next<'a> {
    /// This packet.
    Packet(&'a [u8]),
    /// Something that is not there, though what comes `ticks` later is; where that is said to hold a copy of it, it is here.
    Gap { ticks: i64, copy: Option<&'a [u8]> },
    /// Nothing has come for here or later.
    Empty,
}

pub(super) struct Jitter {
    ticks_per_ms: i64,
    source: Option<u32>,
    /// Timestamp and sequence number of the newest packet, without wrap.
    newest: Place,
    /// Which of the 64 packets up to the newest have come, the newest being bit 0.
    seen: u64,
    /// By timestamp.
    waiting: VecDeque<Waiting>,
    /// Payloads of packets that were played, to be filled again.
    spare: Vec<Vec<u8>>,
    /// Up to here all is played.
    played: Place,
    transits: Transits,
    /// The transit of the last packet, where it was on another timeline.
    strange: Option<i64>,
}

/// Where in a stream a packet stands.
#[derive(Clone, Copy, Default)]
struct Place {
    timestamp: i64,
    sequence: i64,
}

struct Waiting {
    place: Place,
    payload: Vec<u8>,
}

impl Jitter {
    pub(super) fn new(ticks_per_ms: u32) -> Self {
        Self {
            ticks_per_ms: i64::from(ticks_per_ms),
            source: None,
            newest: Place::default(),
            seen: 0,
            waiting: VecDeque::with_capacity(MOST_PACKETS),
            spare: Vec::with_capacity(MOST_PACKETS),
            played: Place::default(),
            transits: Transits::default(),
            strange: None,
        }
    }

    /// A packet has come.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: &Packet<'_>) -> Taken {
        if packet.payload.is_empty() || packet.payload.len() > LARGEST_PAYLOAD {
            return Taken::InStream;
        }
        if self.source != Some(packet.ssrc) {
            return self.begin(now, packet);
        }
        let place = self.newest.near(packet);
        let transit = self.ticks(now) - place.timestamp;
        if self.transits.count > 0 && (transit - self.transits.offset(self.ticks_per_ms)).abs() > JUMP_MS * self.ticks_per_ms {
            return self.stray(now, packet, transit);
        }
        self.strange = None;
        if !self.is_new(place) {
            return Taken::InStream;
        }
        self.transits.add(transit);
        if place.timestamp >= self.played.timestamp {
            self.put(place, packet.payload);
        }
        Taken::InStream
    }

    /// What is to be played at a timestamp. What is older is forgotten.
    pub(super) fn next(&mut self, at: i64) -> Next<'_> {
        while self.waiting.front().is_some_and(|first| first.place.timestamp < at) {
            self.discard();
        }
        self.played.timestamp = at;
        let Some(first) = self.waiting.front() else { return Next::Empty };
        let ticks = first.place.timestamp - at;
        if ticks == 0 {
            return Next::Packet(&first.payload);
        }
        let lost = first.place.sequence > self.played.sequence + 1;
        Next::Gap { ticks, copy: lost.then_some(&first.payload) }
    }

    /// The packet of [`Next::Packet`] was played.
    pub(super) fn discard(&mut self) {
        if let Some(first) = self.waiting.pop_front() {
            self.played.sequence = first.place.sequence;
            self.spare.push(first.payload);
        }
    }

    /// When the packet with this timestamp is to be played, in ticks of this stream's clock.
    pub(super) fn due(&self, timestamp: i64) -> i64 {
        timestamp + self.transits.offset(self.ticks_per_ms)
    }

    /// An instant in ticks of this stream's clock.
    pub(super) fn ticks(&self, now: Instant) -> i64 {
        i64::try_from(now.millis()).unwrap_or(i64::MAX / 64).min(i64::MAX / 64) * self.ticks_per_ms
    }

    /// How long sound is kept back, in milliseconds: the offset less the fastest transit.
    pub(super) fn delay(&self) -> u64 {
        let fastest = self.transits.fastest();
        u64::try_from((self.transits.offset(self.ticks_per_ms) - fastest) / self.ticks_per_ms).unwrap_or(0)
    }

    /// How many of the last 64 packets have not come.
    pub(super) const fn missing(&self) -> u32 {
        self.seen.count_zeros()
    }

    /// Another sender or another timeline: what was known is forgotten.
    fn begin(&mut self, now: Instant, packet: &Packet<'_>) -> Taken {
        while !self.waiting.is_empty() {
            self.discard();
        }
        self.source = Some(packet.ssrc);
        self.strange = None;
        // Nobody has missed what may have been before.
        self.seen = u64::MAX;
        self.newest = Place { timestamp: i64::from(packet.timestamp), sequence: i64::from(packet.sequence) };
        self.played = Place { timestamp: self.newest.timestamp, sequence: self.newest.sequence - 1 };
        self.transits = Transits::default();
        self.transits.add(self.ticks(now) - self.newest.timestamp);
        self.put(self.newest, packet.payload);
        Taken::Anew(self.newest.timestamp)
    }

    /// One packet off the timeline is refused; a second that agrees with it is believed (as in RFC 3550, A.1).
    fn stray(&mut self, now: Instant, packet: &Packet<'_>, transit: i64) -> Taken {
        let agrees = self.strange.is_some_and(|strange| (strange - transit).abs() < LARGEST_DELAY_MS * self.ticks_per_ms);
        self.strange = Some(transit);
        if agrees { self.begin(now, packet) } else { Taken::InStream }
    }

    /// Notes a packet as come; `false`: it came before, or is too old to tell.
    fn is_new(&mut self, place: Place) -> bool {
        let ahead = place.sequence - self.newest.sequence;
        if ahead > 0 {
            self.seen = if ahead < 64 { self.seen << ahead | 1 } else { 1 };
            self.newest = place;
            return true;
        }
        let bit = if ahead > -64 { 1 << -ahead } else { return false };
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }

    fn put(&mut self, place: Place, payload: &[u8]) {
        if self.waiting.len() == MOST_PACKETS {
            return;
        }
        let index = self.waiting.partition_point(|other| other.place.timestamp < place.timestamp);
        if self.waiting.get(index).is_some_and(|other| other.place.timestamp == place.timestamp) {
            return;
        }
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(payload);
        self.waiting.insert(index, Waiting { place, payload: kept });
    }
}

impl Place {
    /// A packet's place, which is nearer to here than half the range of its numbers (RFC 3550, A.1).
    fn near(self, packet: &Packet<'_>) -> Self {
        let timestamp = packet.timestamp.wrapping_sub(self.timestamp as u32).cast_signed();
        let sequence = packet.sequence.wrapping_sub(self.sequence as u16).cast_signed();
        Self { timestamp: self.timestamp + i64::from(timestamp), sequence: self.sequence + i64::from(sequence) }
    }
}

/// The transits of the last packets.
struct Transits {
    last: [i64; WINDOW],
    count: usize,
    /// The largest of them are left out where there are enough; and within what bounds the rest is followed.
    high: i64,
    low: i64,
}

impl Default for Transits {
    fn default() -> Self {
        Self { last: [0; WINDOW], count: 0, high: 0, low: 0 }
    }
}

impl Transits {
    fn add(&mut self, transit: i64) {
        self.last[self.count % WINDOW] = transit;
        self.count += 1;
        let mut sorted = self.last;
        let known = &mut sorted[..self.count.min(WINDOW)];
        let left_out = known.len() / LATE_ONE_OF;
        let (_, high, _) = known.select_nth_unstable_by(left_out, |a, b| b.cmp(a));
        self.high = *high;
        self.low = *self.last[..self.count.min(WINDOW)].iter().min().unwrap_or(&transit);
    }

    fn offset(&self, ticks_per_ms: i64) -> i64 {
        let margin = if self.count < FEW { CAREFUL_MS } else { MARGIN_MS };
        self.high.min(self.low + LARGEST_DELAY_MS * ticks_per_ms) + margin * ticks_per_ms
    }

    const fn fastest(&self) -> i64 {
        self.low
    }
}
