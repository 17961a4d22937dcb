//! Keys of a telephone as RTP packets (RFC 4733): one press out of many packets, and many packets out of one press.

use std::collections::VecDeque;
use std::time::Duration;

use offhook_ua::time::Instant;

/// The keys in the order of their event codes (RFC 4733, 3.2).
const KEYS: &[u8; 16] = b"0123456789*#ABCD";
const END: u8 = 0x80;
/// Power of the tone that the packets stand for: -10 dBm0.
const VOLUME: u8 = 10;

/// A sender updates a key at least every 50 ms; after the loss of three updates in a row it counts as released (RFC 4733, 2.5.2.2).
const LOST: Duration = Duration::from_millis(200);
/// Packets of an older key that come so much later are of another timeline.
const STALE_MS: u32 = 5000;
/// Presses that wait to be read.
const MOST_EVENTS: usize = 64;

/// Between the updates of a key, and between the three packets that end it.
const UPDATE: Duration = Duration::from_millis(20);
/// The end is said so often (RFC 4733, 2.5.1.4).
const ENDS: u8 = 3;
/// A key is heard by machines from 40 ms on, and so long a gap keeps two apart (ITU-T Q.24).
const SHORTEST_MS: u32 = 40;
const LONGEST_MS: u32 = 5000;
const GAP: Duration = Duration::from_millis(50);
/// Presses that wait to be sent.
const MOST_PRESSES: usize = 32;

/// What happens to a key. Each `Down` is followed by its `Up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEvent {
    /// It is pressed.
    Down {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        key: char,
    },
    /// It is released.
    Up {
        /// The key.
        key: char,
        /// For how long it was pressed, in milliseconds.
        duration: u32,
    },
}

/// Reads the presses out of one sender's packets.
///
/// ```text
///          packet: Down                 end, a newer key, or 200 ms without packet: Up
/// Released ────────────────► Pressed ─────────────────────────────────────────────────► Released
/// ```
///
/// A press is known by its timestamp, which all its packets share (RFC 4733, 2.5.1.1): so packets may be repeated, lost, out of order or
/// without marker.
#[derive(Debug)]
pub struct KeyReader {
    ticks_per_ms: u32,
    /// The last press that was seen; also after its end.
    last: Option<Press>,
    events: VecDeque<KeyEvent>,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    code: u8,
    /// Of the press, or of the segment that it is in: long ones go on under a new one (RFC 4733, 2.5.1.3).
    timestamp: u32,
    /// Ticks of the segments before this one, and of this one.
    before: u32,
    duration: u16,
    seen: Instant,
    ended: bool,
}

impl KeyReader {
    /// Reads packets whose timestamps count `clock` ticks a second.
    #[must_use]
    pub fn new(clock: u32) -> Self {
        Self { ticks_per_ms: (clock / 1000).max(1), last: None, events: VecDeque::new() }
    }

    /// A packet of the payload type telephone-event has come. Events that are no keys are passed over.
    pub fn handle_packet(&mut self, now: Instant, timestamp: u32, payload: &[u8]) {
        let &[code, flags, high, low, ..] = payload else { return };
        if usize::from(code) >= KEYS.len() || self.events.len() + 3 > MOST_EVENTS {
            return;
        }
        let duration = u16::from_be_bytes([high, low]);
        let goes_on = |press: &Press| {
            let segment = press.timestamp.wrapping_add(u32::from(u16::MAX));
            !press.ended && press.code == code && segment == timestamp
        };
        match self.last {
            Some(press) if press.timestamp == timestamp => {}
            Some(press) if self.is_stale(press.timestamp.wrapping_sub(timestamp)) => return,
            Some(press) if goes_on(&press) => {
                let before = press.before + u32::from(u16::MAX);
                self.last = Some(Press { timestamp, before, duration: 0, ..press });
            }
            _ => {
                self.release();
                self.last = Some(Press { code, timestamp, before: 0, duration: 0, seen: now, ended: false });
                self.events.push_back(KeyEvent::Down { key: key(code) });
            }
        }
        if let Some(press) = self.last.as_mut().filter(|press| !press.ended) {
            press.duration = press.duration.max(duration);
            press.seen = now;
        }
        if flags & END != 0 {
            self.release();
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.release();
        }
    }

    /// What has happened, in order.
    pub fn poll(&mut self) -> Option<KeyEvent> {
        self.events.pop_front()
    }

    /// When [`KeyReader::handle_timeout`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.last.filter(|press| !press.ended).map(|press| press.seen + LOST)
    }

    fn is_stale(&self, age: u32) -> bool {
        age < STALE_MS * self.ticks_per_ms
    }

    fn release(&mut self) {
        let Some(press) = self.last.as_mut().filter(|press| !press.ended) else { return };
        press.ended = true;
        let duration = press.before.saturating_add(u32::from(press.duration)) / self.ticks_per_ms;
        self.events.push_back(KeyEvent::Up { key: key(press.code), duration });
    }
}

fn key(code: u8) -> char {
    char::from(KEYS[usize::from(code)])
}

/// A packet to be sent with the payload type telephone-event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPacket {
    /// The beginning of the press, in the stream's own timestamps.
    pub timestamp: u32,
    /// The first packet of a press.
    pub marker: bool,
    /// RFC 4733, 2.3.
    pub payload: [u8; 4],
}

/// Says presses in packets of the stream whose sound they replace.
///
/// ```text
///       down, press            up, or the press's time     3 packets with the end
/// Quiet ───────────► Sounding ─────────────────────► Ending ──────────────────────► Gap ── 50 ms ──► Quiet
///   ▲ ╰──────────────── the next press that waits ───────────────────────────────────────────────────╯
/// ```
#[derive(Debug)]
pub struct KeyWriter {
    ticks_per_ms: u32,
    state: State,
    waiting: VecDeque<(u8, Option<u32>)>,
    /// The last press waits for its [`KeyWriter::up`].
    held: bool,
    /// An instant, and where the stream was then.
    anchor: (Instant, u32),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No key.
    Quiet,
    /// A key is down, since `began`; `until` is when it is released, at the latest.
    Sounding { code: u8, began: Instant, until: Instant, timestamp: u32, packets: u32 },
    /// The packets that end it.
    Ending { code: u8, timestamp: u32, duration: u16, left: u8, next: Instant },
    /// The next key is not pressed yet.
    Gap { until: Instant },
}

impl KeyWriter {
    /// Says presses in a stream whose timestamps count `clock` ticks a second.
    #[must_use]
    pub fn new(clock: u32) -> Self {
        let anchor = (Instant::default(), 0);
        Self { ticks_per_ms: (clock / 1000).max(1), state: State::Quiet, waiting: VecDeque::new(), held: false, anchor }
    }

    /// A key is pressed, until [`KeyWriter::up`], and for five seconds at most. The stream is at `timestamp`. `false`: there is no such
    /// key, or too many wait.
    pub fn down(&mut self, now: Instant, timestamp: u32, key: char) -> bool {
        self.enqueue(now, timestamp, key, None)
    }

    /// The key that was put down last is released; it was down for `duration` milliseconds.
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

    /// A key is pressed for `duration` milliseconds, after those before it.
    pub fn press(&mut self, now: Instant, timestamp: u32, key: char, duration: u32) -> bool {
        self.enqueue(now, timestamp, key, Some(duration.clamp(SHORTEST_MS, LONGEST_MS)))
    }

    /// The next packet, where it is due.
    pub fn poll(&mut self, now: Instant) -> Option<KeyPacket> {
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

    /// When the next packet is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Quiet => (!self.waiting.is_empty()).then_some(self.anchor.0),
            State::Sounding { began, until, packets, .. } => Some(until.min(began + UPDATE * packets)),
            State::Ending { next, .. } => Some(next),
            State::Gap { until } => Some(until),
        }
    }

    /// Whether a key sounds: the stream carries no sound meanwhile, and its timestamps go on (RFC 4733, 2.5.1.1).
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self.state, State::Quiet) || !self.waiting.is_empty()
    }

    fn enqueue(&mut self, now: Instant, timestamp: u32, key: char, duration: Option<u32>) -> bool {
        let Some(code) = KEYS.iter().position(|known| char::from(*known) == key.to_ascii_uppercase()) else { return false };
        if self.waiting.len() == MOST_PRESSES {
            return false;
        }
        // A `down` before this one was never followed by its `up`.
        self.up(SHORTEST_MS);
        self.held = duration.is_none();
        self.waiting.push_back((code as u8, duration));
        self.anchor = (now, timestamp);
        true
    }

    /// A press that is longer than its field can say goes on under another timestamp (RFC 4733, 2.5.1.3).
    fn segment(&self, timestamp: u32, duration: Duration) -> (u32, u16) {
        let ticks = duration.as_millis() as u32 * self.ticks_per_ms;
        let full = (ticks - 1) / u32::from(u16::MAX) * u32::from(u16::MAX);
        (timestamp.wrapping_add(full), (ticks - full) as u16)
    }
}

fn packet(code: u8, timestamp: u32, duration: u16, marker: bool, end: bool) -> KeyPacket {
    let [high, low] = duration.to_be_bytes();
    KeyPacket { timestamp, marker, payload: [code, VOLUME | if end { END } else { 0 }, high, low] }
}
