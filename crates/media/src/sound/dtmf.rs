//! DTMF digits as RTP packets (RFC 4733): a reader that makes one digit of many packets, and a writer that makes many packets of
//! one digit.

use std::collections::VecDeque;
use std::time::Duration;

use offhook_ua::time::Instant;

/// The digits in the order of their event codes (RFC 4733, 3.2).
const DIGITS: &[u8; 16] = b"0123456789*#ABCD";
const END: u8 = 0x80;
/// The volume of the tone: -10 dBm0.
const VOLUME: u8 = 10;

/// A sender updates a digit at least every 50 ms; after the loss of three updates in a row it counts as released (RFC 4733,
/// 2.5.2.2).
const LOST: Duration = Duration::from_millis(200);
/// Packets with an older timestamp that arrive this much later belong to another timeline.
const STALE_MS: u32 = 5000;
/// The largest number of events that wait for [`DigitReader::poll`].
const MOST_EVENTS: usize = 64;

/// The interval between the updates of a digit, and between the three packets at its end.
const UPDATE: Duration = Duration::from_millis(20);
/// How many times the end of a digit is sent (RFC 4733, 2.5.1.4).
const ENDS: u8 = 3;
/// The shortest digit and the shortest pause that receivers detect: 40 ms (ITU-T Q.24).
const SHORTEST_MS: u32 = 40;
const LONGEST_MS: u32 = 5000;
const GAP: Duration = Duration::from_millis(50);
/// The largest number of digits that wait to be sent.
const MOST_DIGITS: usize = 32;

/// An event of a digit. Each `Down` is followed by its `Up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigitEvent {
    /// The digit begins.
    Down {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// The digit ends.
    Up {
        /// The digit.
        digit: char,
        /// Its length, ms.
        duration: u32,
    },
}

/// A reader of digits from the packets of one sender.
///
/// ```text
///      packet: Down               end, a newer digit, or 200 ms without packet: Up
/// Idle ────────────────► In digit ─────────────────────────────────────────────────► Idle
/// ```
///
/// A digit is identified by its timestamp, which all its packets share (RFC 4733, 2.5.1.1): so packets may be retransmitted, lost,
/// reordered or without marker.
#[derive(Debug)]
pub struct DigitReader {
    ticks_per_ms: u32,
    /// The timestamp of the last digit, also after its end.
    last: Option<Last>,
    events: VecDeque<DigitEvent>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    code: u8,
    /// The timestamp of the digit, or of its current segment: a long one continues under a new timestamp (RFC 4733, 2.5.1.3).
    timestamp: u32,
    /// The ticks of the segments before this one, and of this one.
    before: u32,
    duration: u16,
    seen: Instant,
    ended: bool,
}

impl DigitReader {
    /// Returns a reader of packets whose timestamps count `clock` ticks a second.
    #[must_use]
    pub fn new(clock: u32) -> Self {
        Self { ticks_per_ms: (clock / 1000).max(1), last: None, events: VecDeque::new() }
    }

    /// Takes a packet with the payload type telephone-event. Events that are not digits are ignored.
    pub fn handle_packet(&mut self, now: Instant, timestamp: u32, payload: &[u8]) {
        let &[code, flags, high, low, ..] = payload else { return };
        if usize::from(code) >= DIGITS.len() || self.events.len() + 3 > MOST_EVENTS {
            return;
        }
        let duration = u16::from_be_bytes([high, low]);
        let goes_on = |last: &Last| {
            let segment = last.timestamp.wrapping_add(u32::from(u16::MAX));
            !last.ended && last.code == code && segment == timestamp
        };
        match self.last {
            Some(last) if last.timestamp == timestamp => {}
            Some(last) if self.is_stale(last.timestamp.wrapping_sub(timestamp)) => return,
            Some(last) if goes_on(&last) => {
                let before = last.before + u32::from(u16::MAX);
                self.last = Some(Last { timestamp, before, duration: 0, ..last });
            }
            _ => {
                self.release();
                self.last = Some(Last { code, timestamp, before: 0, duration: 0, seen: now, ended: false });
                self.events.push_back(DigitEvent::Down { digit: digit(code) });
            }
        }
        if let Some(last) = self.last.as_mut().filter(|last| !last.ended) {
            last.duration = last.duration.max(duration);
            last.seen = now;
        }
        if flags & END != 0 {
            self.release();
        }
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.release();
        }
    }

    /// Returns the next event.
    pub fn poll(&mut self) -> Option<DigitEvent> {
        self.events.pop_front()
    }

    /// Returns when [`DigitReader::handle_timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.last.filter(|last| !last.ended).map(|last| last.seen + LOST)
    }

    fn is_stale(&self, age: u32) -> bool {
        age < STALE_MS * self.ticks_per_ms
    }

    fn release(&mut self) {
        let Some(last) = self.last.as_mut().filter(|last| !last.ended) else { return };
        last.ended = true;
        let duration = last.before.saturating_add(u32::from(last.duration)) / self.ticks_per_ms;
        self.events.push_back(DigitEvent::Up { digit: digit(last.code), duration });
    }
}

fn digit(code: u8) -> char {
    char::from(DIGITS[usize::from(code)])
}

/// A packet to be sent with the payload type telephone-event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigitPacket {
    /// The beginning of the digit in the timestamps of the stream.
    pub timestamp: u32,
    /// The marker bit: the first packet of a digit.
    pub marker: bool,
    /// The payload (RFC 4733, 2.3).
    pub payload: [u8; 4],
}

/// A writer of digits as packets of the stream whose sound they replace.
///
/// ```text
///       down, last           up, or the end of its time    3 packets with the end
/// Quiet ───────────► Sounding ─────────────────────► Ending ──────────────────────► Gap ── 50 ms ──► Quiet
///   ▲ ╰──────────────── the next digit in the queue ──────────────────────────────────────────────────╯
/// ```
#[derive(Debug)]
pub struct DigitWriter {
    ticks_per_ms: u32,
    state: State,
    waiting: VecDeque<(u8, Option<u32>)>,
    /// Whether the last digit waits for its [`DigitWriter::up`].
    held: bool,
    /// An instant, and the timestamp of the stream then.
    anchor: (Instant, u32),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No digit is sent.
    Quiet,
    /// A digit that began at `began` is sent; it ends at `until` at the latest.
    Sounding { code: u8, began: Instant, until: Instant, timestamp: u32, packets: u32 },
    /// The packets with its end are sent.
    Ending { code: u8, timestamp: u32, duration: u16, left: u8, next: Instant },
    /// The pause before the next digit.
    Gap { until: Instant },
}

impl DigitWriter {
    /// Returns a writer for a stream whose timestamps count `clock` ticks a second.
    #[must_use]
    pub fn new(clock: u32) -> Self {
        let anchor = (Instant::default(), 0);
        Self { ticks_per_ms: (clock / 1000).max(1), state: State::Quiet, waiting: VecDeque::new(), held: false, anchor }
    }

    /// Begins a digit, which lasts until [`DigitWriter::up`], and for five seconds at most. The stream is at `timestamp`. False for a
    /// character that is not a digit, and where too many are waiting.
    pub fn down(&mut self, now: Instant, timestamp: u32, digit: char) -> bool {
        self.enqueue(now, timestamp, digit, None)
    }

    /// Ends the last digit of [`DigitWriter::down`], which lasted `duration` milliseconds.
    pub fn up(&mut self, duration: u32) {
        let duration = duration.clamp(SHORTEST_MS, LONGEST_MS);
        if !std::mem::take(&mut self.held) {
            return;
        }
        if let Some((_, length)) = self.waiting.back_mut() {
            *length = Some(duration);
        } else if let State::Sounding { began, until, .. } = &mut self.state {
            *until = (*until).min(*began + Duration::from_millis(duration.into()));
        }
    }

    /// Sends a digit for `duration` milliseconds, after those that are waiting.
    pub fn send(&mut self, now: Instant, timestamp: u32, digit: char, duration: u32) -> bool {
        self.enqueue(now, timestamp, digit, Some(duration.clamp(SHORTEST_MS, LONGEST_MS)))
    }

    /// Returns the next packet, if it is due.
    pub fn poll(&mut self, now: Instant) -> Option<DigitPacket> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match self.state {
            State::Quiet | State::Gap { .. } => {
                self.state = State::Quiet;
                let (code, duration) = self.waiting.pop_front()?;
                let passed = now.millis_since(self.anchor.0) as u32;
                let timestamp = self.anchor.1.wrapping_add(passed.wrapping_mul(self.ticks_per_ms));
                let until = now + Duration::from_millis(duration.unwrap_or(LONGEST_MS).into());
                self.state = State::Sounding { code, began: now, until, timestamp, packets: 1 };
                let (timestamp, duration) = self.segment(timestamp, UPDATE);
                Some(packet(code, timestamp, duration, true, false))
            }
            State::Sounding { code, began, until, timestamp, packets } if now < until => {
                self.state = State::Sounding { code, began, until, timestamp, packets: packets + 1 };
                let (timestamp, duration) = self.segment(timestamp, (UPDATE * (packets + 1)).min(until - began));
                Some(packet(code, timestamp, duration, false, false))
            }
            State::Sounding { code, began, until, timestamp, .. } => {
                let (timestamp, duration) = self.segment(timestamp, until - began);
                self.state = State::Ending { code, timestamp, duration, left: ENDS - 1, next: now + UPDATE };
                Some(packet(code, timestamp, duration, false, true))
            }
            State::Ending { code, timestamp, duration, left, next } => {
                self.state = match left {
                    ..=1 => State::Gap { until: next + GAP },
                    _ => State::Ending { code, timestamp, duration, left: left - 1, next: next + UPDATE },
                };
                Some(packet(code, timestamp, duration, false, true))
            }
        }
    }

    /// Returns when the next packet is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Quiet => (!self.waiting.is_empty()).then_some(self.anchor.0),
            State::Sounding { began, until, packets, .. } => Some(until.min(began + UPDATE * packets)),
            State::Ending { next, .. } => Some(next),
            State::Gap { until } => Some(until),
        }
    }

    /// Whether a digit is being sent: there is no sound meanwhile, and the timestamps go on (RFC 4733, 2.5.1.1).
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self.state, State::Quiet) || !self.waiting.is_empty()
    }

    fn enqueue(&mut self, now: Instant, timestamp: u32, digit: char, duration: Option<u32>) -> bool {
        let Some(code) = DIGITS.iter().position(|known| char::from(*known) == digit.to_ascii_uppercase()) else { return false };
        if self.waiting.len() == MOST_DIGITS {
            return false;
        }
        // The `down` before this one was not followed by its `up`.
        self.up(SHORTEST_MS);
        self.held = duration.is_none();
        self.waiting.push_back((code as u8, duration));
        self.anchor = (now, timestamp);
        true
    }

    /// A digit that is too long for the field of its duration continues under another timestamp (RFC 4733, 2.5.1.3).
    fn segment(&self, timestamp: u32, duration: Duration) -> (u32, u16) {
        let ticks = duration.as_millis() as u32 * self.ticks_per_ms;
        let full = (ticks - 1) / u32::from(u16::MAX) * u32::from(u16::MAX);
        (timestamp.wrapping_add(full), (ticks - full) as u16)
    }
}

fn packet(code: u8, timestamp: u32, duration: u16, marker: bool, end: bool) -> DigitPacket {
    let [high, low] = duration.to_be_bytes();
    DigitPacket { timestamp, marker, payload: [code, VOLUME | if end { END } else { 0 }, high, low] }
}
