//! The jitter buffer: puts packets in order, and determines when each point of a stream is played.
//!
//! The *transit* of a packet is its time of arrival minus its timestamp, by two clocks that are not synchronised: only changes of
//! it have a meaning. Sound is played at its timestamp plus the *offset*: the transit that 98 % of the last packets did not exceed.
//! So the delay is as small as the network allows, and the offset follows the drift of the sender's clock: sound is never stretched
//! or shortened for it.
//!
//! ```text
//! transit │      ╷      ╷            offset ┄┄┄ a packet above it arrives too late and is concealed;
//!         │┄┄┬┄┄┄┼┄┄╷┄┄┄│┄┄╷┄┄┄┄┄          with more of them the offset rises
//!         └──┴─╵─┴──┴─╵─┴──┴─────── packets
//! ```

use std::collections::VecDeque;

use offhook_ua::time::Instant;

use super::transcoder::Packet;

/// The number of packets from which the offset is determined: five seconds of 20 ms.
const WINDOW: usize = 256;
/// One of this many packets may arrive too late.
const LATE_ONE_OF: usize = 50;
/// A margin that is added to the offset: while there were fewer than `FEW` packets, and after that, because clocks count in
/// milliseconds.
const CAREFUL_MS: i64 = 10;
const MARGIN_MS: i64 = 2;
const FEW: usize = 25;
/// The largest difference between the offset and the shortest transit.
const LARGEST_DELAY_MS: i64 = 200;
/// A transit that differs by more belongs to another timeline: the sender has started again.
const JUMP_MS: i64 = 1000;
/// The largest number of packets in the buffer; more are dropped.
const MOST_PACKETS: usize = 64;
/// The longest payload, octets: that of a full Ethernet frame.
const LARGEST_PAYLOAD: usize = 1500;

/// The result of taking a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The packet is in the buffer, or was dropped, or was too late.
    InStream,
    /// The packet begins a timeline: playing begins at its timestamp.
    Anew(i64),
}

/// The sound at a point of the stream.
pub(super) enum Next<'a> {
    /// This packet.
    Packet(&'a [u8]),
    /// Lost sound of `ticks`, before the next packet in the buffer; `copy` is that packet if it may have in-band FEC for the lost
    /// one.
    Gap { ticks: i64, copy: Option<&'a [u8]> },
    /// There is nothing for this point or later.
    Empty,
}

pub(super) struct Jitter {
    ticks_per_ms: i64,
    source: Option<u32>,
    /// Timestamp and sequence number of the newest packet, extended.
    newest: Place,
    /// Which of the last 64 packets were received; bit 0 is the newest.
    seen: u64,
    /// Packets to be played, by timestamp.
    waiting: VecDeque<Waiting>,
    /// Buffers of payloads that were played, for reuse.
    spare: Vec<Vec<u8>>,
    /// Everything before this place was played.
    played: Place,
    transits: Transits,
    /// The transit of the last packet, if that was on another timeline.
    off_timeline: Option<i64>,
}

/// The place of a packet in a stream.
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
            off_timeline: None,
        }
    }

    /// Takes a packet.
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
        self.off_timeline = None;
        if !self.is_new(place) {
            return Taken::InStream;
        }
        self.transits.add(transit);
        if place.timestamp >= self.played.timestamp {
            self.put(place, packet.payload);
        }
        Taken::InStream
    }

    /// Returns the sound at a timestamp, and drops older packets.
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

    /// Removes the first packet: that of [`Next::Packet`] was played.
    pub(super) fn discard(&mut self) {
        if let Some(first) = self.waiting.pop_front() {
            self.played.sequence = first.place.sequence;
            self.spare.push(first.payload);
        }
    }

    /// Returns when the packet with this timestamp is played, in ticks of this stream's clock.
    pub(super) fn due(&self, timestamp: i64) -> i64 {
        timestamp + self.transits.offset(self.ticks_per_ms)
    }

    /// Returns an instant in ticks of this stream's clock.
    pub(super) fn ticks(&self, now: Instant) -> i64 {
        i64::try_from(now.millis()).unwrap_or(i64::MAX / 64).min(i64::MAX / 64) * self.ticks_per_ms
    }

    /// Returns the delay of the buffer, ms: the offset minus the shortest transit.
    pub(super) fn delay(&self) -> u64 {
        let fastest = self.transits.fastest();
        u64::try_from((self.transits.offset(self.ticks_per_ms) - fastest) / self.ticks_per_ms).unwrap_or(0)
    }

    /// Returns how many of the last 64 packets are missing.
    pub(super) const fn missing(&self) -> u32 {
        self.seen.count_zeros()
    }

    /// Begins again with another sender or another timeline.
    fn begin(&mut self, now: Instant, packet: &Packet<'_>) -> Taken {
        while !self.waiting.is_empty() {
            self.discard();
        }
        self.source = Some(packet.ssrc);
        self.off_timeline = None;
        // Packets before the first one are not missing.
        self.seen = u64::MAX;
        self.newest = Place { timestamp: i64::from(packet.timestamp), sequence: i64::from(packet.sequence) };
        self.played = Place { timestamp: self.newest.timestamp, sequence: self.newest.sequence - 1 };
        self.transits = Transits::default();
        self.transits.add(self.ticks(now) - self.newest.timestamp);
        self.put(self.newest, packet.payload);
        Taken::Anew(self.newest.timestamp)
    }

    /// A single packet off the timeline is dropped; a second one that agrees with it begins a new timeline (as in RFC 3550, A.1).
    fn stray(&mut self, now: Instant, packet: &Packet<'_>, transit: i64) -> Taken {
        let agrees = self.off_timeline.is_some_and(|other| (other - transit).abs() < LARGEST_DELAY_MS * self.ticks_per_ms);
        self.off_timeline = Some(transit);
        if agrees { self.begin(now, packet) } else { Taken::InStream }
    }

    /// Marks a packet as received; false where it is a duplicate, or too old to tell.
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
    /// Returns the extended place of a packet: the one nearest to this place (RFC 3550, A.1).
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
    /// The bounds of the transits that count: the largest ones are ignored if there are enough.
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
