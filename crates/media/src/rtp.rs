//! RTP packets as values (RFC 3550, 5.1), statistics of received streams (A.1, A.8), and the numbering of sent streams.

use offhook_ua::time::Instant;

/// The length of the fixed header, octets.
pub const HEADER: usize = 12;

/// The longest payload, octets: more is not audio, and the buffers of str0m are only a little larger.
pub const MAX_PAYLOAD: usize = 1_400;

/// The fields of the header that differ between the packets of a stream, and the SSRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The marker bit: the first packet of a talk spurt or event.
    pub marker: bool,
    /// Payload type, 7 bits.
    pub payload_type: u8,
    /// The sequence number, 16 bits.
    pub sequence: u16,
    /// The timestamp, in units of the codec's clock.
    pub timestamp: u32,
    /// The synchronization source.
    pub ssrc: u32,
}

/// Parses a packet: returns the header and the offset of the payload, which still includes padding.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<(Header, usize)> {
    if bytes.len() < HEADER || bytes[0] >> 6 != 2 {
        return None;
    }
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let header = Header {
        marker: bytes[1] & 0x80 != 0,
        payload_type: bytes[1] & 0x7f,
        sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
        timestamp: word(4),
        ssrc: word(8),
    };
    let mut start = HEADER + usize::from(bytes[0] & 0x0f) * 4;
    if bytes[0] & 0x10 != 0 {
        let words = bytes.get(start + 2..start + 4)?;
        start += 4 + usize::from(u16::from_be_bytes([words[0], words[1]])) * 4;
    }
    (start <= bytes.len()).then_some((header, start))
}

/// Returns the payload without padding, whose length is in the last octet (RFC 3550, 5.1).
#[must_use]
pub fn unpadded(first: u8, payload: &[u8]) -> Option<&[u8]> {
    if first & 0x20 == 0 {
        return Some(payload);
    }
    let padding = usize::from(*payload.last()?);
    (padding > 0).then(|| payload.len().checked_sub(padding)).flatten().map(|length| &payload[..length])
}

/// Returns a packet without header extension; the buffer has capacity for `room` more octets, for an authentication tag.
#[must_use]
pub fn write(header: &Header, payload: &[u8], room: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len() + room);
    bytes.extend_from_slice(&[0x80, u8::from(header.marker) << 7 | header.payload_type & 0x7f]);
    bytes.extend_from_slice(&header.sequence.to_be_bytes());
    bytes.extend_from_slice(&header.timestamp.to_be_bytes());
    bytes.extend_from_slice(&header.ssrc.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Whether a datagram on a port for RTP and RTCP is RTCP (RFC 5761, 4).
#[must_use]
pub fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && bytes[0] >> 6 == 2 && (192..=223).contains(&bytes[1])
}

/// Returns the number nearest to `near` with these low 16 bits.
#[must_use]
pub fn extend(near: u64, sequence: u16) -> u64 {
    let step = i64::from(sequence.wrapping_sub(near as u16) as i16);
    near.checked_add_signed(step).unwrap_or(u64::from(sequence))
}

/// A replay window: which of the last 128 sequence numbers were received (RFC 3711, 3.3.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    top: u64,
    seen: u128,
}

impl Window {
    /// Returns the highest number.
    #[must_use]
    pub const fn top(&self) -> u64 {
        self.top
    }

    /// Whether the number was not received, as far as the window tells.
    #[must_use]
    pub const fn is_new(&self, number: u64) -> bool {
        if number > self.top || self.seen == 0 {
            return true;
        }
        let age = self.top - number;
        age < 128 && self.seen >> age & 1 == 0
    }

    /// Marks the number as received.
    pub const fn mark(&mut self, number: u64) {
        if number > self.top || self.seen == 0 {
            let step = number.wrapping_sub(self.top);
            self.seen = if step < 128 { self.seen << step | 1 } else { 1 };
            self.top = number;
        } else if self.top - number < 128 {
            self.seen |= 1 << (self.top - number);
        }
    }
}

/// Statistics of a received stream, for receiver reports.
#[derive(Clone, Debug)]
pub struct Reception {
    /// The SSRC.
    pub ssrc: u32,
    window: Window,
    first: u64,
    /// Packets received, without duplicates.
    pub received: u64,
    reported: (u64, u64),
    jitter: u64,
    transit: Option<i64>,
    /// The middle 32 bits of the NTP time in the last sender report, and the time of its arrival.
    pub sender_report: Option<(u32, Instant)>,
}

impl Reception {
    /// Returns the statistics of a stream that begins with this packet.
    #[must_use]
    pub fn new(header: &Header) -> Self {
        // The extended number begins one cycle up, so that earlier packets are not below zero.
        let first = 0x1_0000 + u64::from(header.sequence);
        let window = Window { top: first, seen: 0 };
        Self { ssrc: header.ssrc, window, first, received: 0, reported: (0, 0), jitter: 0, transit: None, sender_report: None }
    }

    /// Takes a packet, and returns its extended sequence number, or `None` for a duplicate.
    pub fn take(&mut self, now: Instant, header: &Header, clock: u32) -> Option<u64> {
        let number = extend(self.window.top(), header.sequence);
        if !self.window.is_new(number) {
            return None;
        }
        self.window.mark(number);
        self.first = self.first.min(number);
        self.received += 1;
        let arrival = now.millis().wrapping_mul(u64::from(clock)) / 1000;
        let transit = i64::from((arrival as u32).wrapping_sub(header.timestamp) as i32);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit - before).unsigned_abs().min(u64::from(clock) * 10);
            self.jitter += difference;
            self.jitter -= (self.jitter + 8) / 16;
        }
        Some(number)
    }

    /// Returns the highest extended sequence number.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.window.top()
    }

    /// Returns the number of packets lost.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// Returns the interarrival jitter in units of the clock.
    #[must_use]
    pub const fn jitter(&self) -> u32 {
        (self.jitter / 16) as u32
    }

    /// Returns the fraction lost since the last report, of 256.
    pub fn fraction(&mut self) -> u8 {
        let (expected, received) = (self.expected() - self.reported.0, self.received - self.reported.1);
        self.reported = (self.expected(), self.received);
        let lost = expected.saturating_sub(received);
        (lost * 256).checked_div(expected).map_or(0, |fraction| u8::try_from(fraction).unwrap_or(u8::MAX))
    }

    const fn expected(&self) -> u64 {
        if self.received == 0 { 0 } else { self.window.top() - self.first + 1 }
    }
}

/// A larger gap in sequence numbers is a new beginning (RFC 3550, A.1: MAX_DROPOUT).
const DROPOUT: u64 = 3_000;

/// The numbering of a sent stream: the sequence numbers and timestamps of sources are mapped onto those of the stream, which stay
/// continuous when the source changes, pauses, or is replaced by packets of the gateway.
#[derive(Clone, Debug)]
pub struct Numbering {
    /// The SSRC of the sent stream.
    pub ssrc: u32,
    next: u64,
    timestamp: u32,
    at: Option<Instant>,
    source: Option<Source>,
}

/// The source that is being mapped.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    payload_type: u8,
    last: u64,
    sequence: i64,
    timestamp: u32,
}

/// The place of a packet in a sent stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The extended sequence number.
    pub sequence: u64,
    /// The timestamp.
    pub timestamp: u32,
    /// Whether the packet does not continue the previous source.
    pub fresh: bool,
}

impl Numbering {
    /// Returns the numbering of a stream with random first values (RFC 3550, 5.1).
    #[must_use]
    pub fn new(ssrc: u32, random: u64) -> Self {
        // Below 2^15, so that the first estimate of the rollover counter by the receiver is right (RFC 3711, 3.3.1).
        Self { ssrc, next: random & 0x7fff | 1, timestamp: (random >> 16) as u32, at: None, source: None }
    }

    /// Returns the place of a packet of a source with the same clock.
    pub fn forward(&mut self, now: Instant, header: &Header, number: u64, clock: u32) -> Place {
        let known = self.source.filter(|source| {
            source.ssrc == header.ssrc && source.payload_type == header.payload_type && number.abs_diff(source.last) < DROPOUT
        });
        let source = known.unwrap_or_else(|| Source {
            ssrc: header.ssrc,
            payload_type: header.payload_type,
            last: number,
            sequence: self.next.wrapping_sub(number) as i64,
            timestamp: self.clock(now, clock).wrapping_sub(header.timestamp),
        });
        let sequence = number.wrapping_add_signed(source.sequence);
        let timestamp = header.timestamp.wrapping_add(source.timestamp);
        self.source = Some(Source { last: source.last.max(number), ..source });
        if sequence >= self.next {
            self.next = sequence + 1;
            self.timestamp = timestamp;
            self.at = Some(now);
        }
        Place { sequence, timestamp, fresh: known.is_none() }
    }

    /// Returns the place of a packet that the gateway makes now.
    pub const fn make(&mut self, now: Instant, timestamp: u32) -> Place {
        (self.timestamp, self.at) = (timestamp, Some(now));
        self.beside(timestamp)
    }

    /// Returns the place of a packet with its own timestamp: all packets of an event have that of its beginning.
    pub const fn beside(&mut self, timestamp: u32) -> Place {
        let (sequence, fresh) = (self.next, self.source.take().is_some());
        self.next += 1;
        Place { sequence, timestamp, fresh }
    }

    /// Returns the timestamp for this instant.
    #[must_use]
    pub fn clock(&self, now: Instant, clock: u32) -> u32 {
        let passed = self.at.map_or(0, |at| now.millis_since(at).max(1) * u64::from(clock) / 1000);
        self.timestamp.wrapping_add(passed as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const T0: Instant = Instant::from_millis(1_000_000);

    fn header(sequence: u16, timestamp: u32) -> Header {
        Header { marker: false, payload_type: 0, sequence, timestamp, ssrc: 7 }
    }

    #[test]
    fn a_packet_is_what_was_written() {
        let header = Header { marker: true, payload_type: 101, sequence: 65535, timestamp: 0xffff_fff0, ssrc: 0xdead_beef };
        let bytes = write(&header, b"sound", 0);
        assert_eq!(parse(&bytes), Some((header, 12)));
        assert_eq!(&bytes[12..], b"sound");
    }

    #[test]
    fn what_is_cut_short_or_lies_about_its_length_is_no_packet() {
        assert_eq!(parse(&[0x80; 11]), None);
        assert_eq!(parse(&[0x8f; 12]), None);
        assert_eq!(parse(&[0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), None);
        assert_eq!(unpadded(0xa0, &[1, 2, 9]), None);
        assert_eq!(unpadded(0xa0, &[1, 2, 0]), None);
        assert_eq!(unpadded(0xa0, &[1, 2, 2]), Some(&[1][..]));
    }

    #[test]
    fn numbers_go_on_over_the_end_of_16_bits() {
        assert_eq!(extend(0x1_fffe, 0x0001), 0x2_0001);
        assert_eq!(extend(0x2_0001, 0xfffe), 0x1_fffe);
        assert_eq!(extend(3, 0xfffe), 0xfffe);
    }

    #[test]
    fn copies_are_seen_and_losses_counted() {
        let mut reception = Reception::new(&header(65_534, 0));
        let came = [65_534, 65_535, 0, 0, 3, 2].map(|n| reception.take(T0, &header(n, 0), 8000).is_some());
        assert_eq!(came, [true, true, true, false, true, true]);
        assert_eq!((reception.received, reception.lost()), (5, 1));
        assert_eq!(reception.fraction(), 42);
        assert_eq!(reception.fraction(), 0);
    }

    #[test]
    fn another_source_continues_our_numbers_and_our_clock() {
        let mut ours = Numbering::new(1, 0);
        let first = ours.forward(T0, &header(100, 1000), 100, 8000);
        let gap = ours.forward(T0 + Duration::from_millis(40), &header(102, 1320), 102, 8000);
        assert_eq!((gap.sequence - first.sequence, gap.timestamp - first.timestamp, gap.fresh), (2, 320, false));
        let other = Header { ssrc: 8, ..header(9, 77_777) };
        let next = ours.forward(T0 + Duration::from_millis(60), &other, 9, 8000);
        assert_eq!((next.sequence - gap.sequence, next.timestamp - gap.timestamp, next.fresh), (1, 160, true));
        let late = ours.forward(T0 + Duration::from_millis(60), &Header { ssrc: 8, ..header(8, 77_617) }, 8, 8000);
        assert_eq!(late.sequence + 1, next.sequence, "a late packet keeps its place");
    }
}
