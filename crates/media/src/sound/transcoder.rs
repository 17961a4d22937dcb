//! One direction of sound: packets of one codec in, frames of another out, in even steps that follow the sender's clock.

use std::time::Duration;

use offhook_ua::time::Instant;

use super::SoundError;
use super::codec::{Decoder, Encoder, rate_into};
use super::jitter::{Jitter, Next, Taken};
use crate::Codec;

/// After so long without a packet nothing is sent until one comes: the other side is silent, on hold, or gone.
const PAUSE_MS: u32 = 1000;
/// A frame that is late by more is left out, with all that should have gone before it.
const HOPELESS_MS: i64 = 250;
/// A frame that is late makes those after it come faster, by this much each, in milliseconds: a step that any receiver follows.
const HASTE_MS: u64 = 1;
/// Where so many of the last 64 packets were lost, until none was, it is worth to wait for the packet after a lost one: that may hold a copy.
const WORTH_WAITING: u32 = 3;
/// A sender makes copies if one of so many packets has held one: there is none of silence.
const COPY_EVERY: u32 = 100;
/// For a longer packet than this nobody waits.
const LONGEST_WAIT_MS: i64 = 60;

/// A packet of sound, as it came: neither comfort noise (RFC 3389) nor a key (RFC 4733).
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// RTP's synchronization source.
    pub ssrc: u32,
    /// RTP's sequence number.
    pub sequence: u16,
    /// RTP's timestamp.
    pub timestamp: u32,
    /// What the codec made.
    pub payload: &'a [u8],
}

/// A frame of sound, to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Ticks of the codec's RTP clock since the first frame. Goes on over pauses.
    pub timestamp: u32,
    /// The first frame, or the first after a pause (RFC 3551, 4.1).
    pub marker: bool,
    /// What the codec made.
    pub payload: &'a [u8],
}

/// A jitter buffer, a decoder that conceals what was lost, and an encoder.
///
/// ```text
///          packet                    for a second no packet
/// Idle ────────────► Playing ──────────────────────────────► Idle
///                    │     ▲
///                    ╰─────╯ each frame
/// ```
///
/// Idle: there is no deadline. Playing: a frame is due at the deadline, made of what has come or concealing that nothing has.
///
/// Order of calls: [`Transcoder::handle_packet`] as they come; then, and at [`Transcoder::deadline`], [`Transcoder::poll_frame`] until it
/// gives nothing.
pub struct Transcoder {
    jitter: Jitter,
    decoder: Decoder,
    encoder: Encoder,
    /// The length of a frame: in milliseconds, in samples, in ticks of the sender's clock.
    ptime: u32,
    frame: usize,
    frame_ticks: i64,
    /// Samples in a millisecond, ticks in one of the sender's clock, ticks in one of ours.
    samples: usize,
    ticks_in: i64,
    ticks_out: u32,
    /// Samples that are to be sent.
    pcm: Vec<i16>,
    out: Vec<u8>,
    /// The sender's timestamp of the end of `pcm`.
    at: i64,
    /// Ticks of the last packet.
    step: i64,
    playing: bool,
    /// Packets for which the sender is still taken to make copies.
    copies: u32,
    /// Whether a lost packet is waited for until the one after it should have come.
    waits: bool,
    /// Ticks since something was played.
    starved: i64,
    last: Option<Sent>,
    /// The timestamp of the next frame does not follow from the last one's.
    broken: bool,
}

/// The frame that was sent last: when it was due, and its timestamp.
#[derive(Clone, Copy)]
struct Sent {
    due: Instant,
    timestamp: u32,
}

impl Transcoder {
    /// From `from` to `to` in frames of `ptime` milliseconds, taken to the next of 10, 20, 30, 40 or 60; Opus has none of 30 (RFC 6716,
    /// 2.1.4), and gets 20.
    ///
    /// # Errors
    ///
    /// [`SoundError::Broken`] where libopus cannot begin.
    pub fn new(from: Codec, to: Codec, ptime: u32) -> Result<Self, SoundError> {
        let rate = rate_into(from, to);
        let ptime = match (to, ptime) {
            (_, ..=10) => 10,
            (Codec::Opus, 21..=39) | (_, 11..=20) => 20,
            (_, 21..=30) => 30,
            (_, 31..=40) => 40,
            _ => 60,
        };
        let samples = rate as usize / 1000;
        Ok(Self {
            jitter: Jitter::new(from.ticks()),
            decoder: Decoder::new(from, rate)?,
            encoder: Encoder::new(to, rate)?,
            ptime,
            frame: samples * ptime as usize,
            frame_ticks: i64::from(ptime * from.ticks()),
            samples,
            ticks_in: i64::from(from.ticks()),
            ticks_out: to.ticks(),
            pcm: Vec::new(),
            out: Vec::new(),
            at: 0,
            step: i64::from(ptime * from.ticks()),
            playing: false,
            copies: 0,
            waits: false,
            starved: 0,
            last: None,
            broken: true,
        })
    }

    /// A packet has come.
    pub fn handle_packet(&mut self, now: Instant, packet: &Packet<'_>) {
        let Some(samples) = self.decoder.samples(packet.payload) else { return };
        match self.jitter.handle_packet(now, packet) {
            Taken::Anew(at) => self.begin(at),
            Taken::InStream if self.playing => {}
            Taken::InStream => match self.jitter.next(self.at) {
                Next::Packet(_) => self.begin(self.at),
                Next::Gap { ticks, .. } => self.begin(self.at + ticks),
                Next::Empty => return,
            },
        }
        self.step = self.ticks(samples);
        self.copies = if self.decoder.has_copy(packet.payload) { COPY_EVERY } else { self.copies.saturating_sub(1) };
        let lossy = self.jitter.missing() >= if self.waits { 1 } else { WORTH_WAITING };
        self.waits = lossy && self.copies > 0 && self.step <= LONGEST_WAIT_MS * self.ticks_in;
    }

    /// Of a hundred frames the listener misses so many.
    pub fn expect_loss(&mut self, percent: u8) {
        self.encoder.expect_loss(percent);
    }

    /// The next frame, where it is due.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Frame<'_>> {
        let due = self.deadline().filter(|due| *due <= now)?;
        if self.starved >= i64::from(PAUSE_MS) * self.ticks_in {
            self.playing = false;
            return None;
        }
        self.leave_out(now);
        while self.pcm.len() < self.frame {
            self.fill();
        }
        self.encoder.encode(&self.pcm[..self.frame], &mut self.out);
        self.pcm.drain(..self.frame);
        let marker = self.broken;
        let timestamp = self.stamp(now, due);
        Some(Frame { timestamp, marker, payload: &self.out })
    }

    /// When the next frame is due; `None`: not before a packet comes.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let paced = |sent: Sent| sent.due + Duration::from_millis(u64::from(self.ptime) - HASTE_MS);
        self.playing.then(|| self.last.map_or(self.due(), |sent| self.due().max(paced(sent))))
    }

    /// How long sound is kept back for packets that come late, in milliseconds.
    #[must_use]
    pub fn delay(&self) -> u64 {
        self.jitter.delay() + if self.waits { (self.step / self.ticks_in).unsigned_abs() } else { 0 }
    }

    fn begin(&mut self, at: i64) {
        self.at = at;
        self.pcm.clear();
        self.playing = true;
        self.starved = 0;
        self.broken = true;
    }

    /// When the last packet that the next frame needs is to be played. A packet is late or not as a whole.
    fn due(&self) -> Instant {
        let missing = self.frame_ticks - self.ticks(self.pcm.len());
        let packets = (missing + self.step - 1).div_euclid(self.step).max(0);
        let wait = if self.waits { self.step } else { 0 };
        let due = self.jitter.due(self.at + (packets - 1) * self.step) + wait;
        let millis = (due + self.ticks_in - 1).div_euclid(self.ticks_in);
        Instant::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// After a standstill, of the sender's network or of this machine: what is too old is not played.
    fn leave_out(&mut self, now: Instant) {
        let late = i64::try_from(now.millis_since(self.due())).unwrap_or(0);
        if late > HOPELESS_MS {
            let ticks = late * self.ticks_in;
            self.at += ticks - ticks % self.step;
            self.pcm.clear();
            self.broken = true;
        }
    }

    /// Appends the next packet's samples, or what stands for them.
    fn fill(&mut self) {
        let (ticks, starved) = match self.jitter.next(self.at) {
            Next::Packet(payload) => {
                let samples = self.decoder.samples(payload).unwrap_or(self.frame);
                self.decoder.decode(payload, samples, &mut self.pcm);
                self.jitter.discard();
                (self.ticks(samples), false)
            }
            Next::Gap { ticks, copy } => {
                let lost = ticks.min(self.step);
                let samples = lost as usize * self.samples / self.ticks_in as usize;
                self.decoder.conceal(samples, copy.filter(|_| lost == ticks), &mut self.pcm);
                (lost, false)
            }
            Next::Empty => {
                let samples = self.step as usize * self.samples / self.ticks_in as usize;
                self.decoder.conceal(samples, None, &mut self.pcm);
                (self.step, true)
            }
        };
        self.at += ticks;
        self.starved = if starved { self.starved + ticks } else { 0 };
    }

    /// The timestamp of a frame. Where the timeline is broken, it goes on by what the clock says.
    fn stamp(&mut self, now: Instant, due: Instant) -> u32 {
        let passed =
            |sent: Sent| if self.broken { now.millis_since(sent.due).max(u64::from(self.ptime)) } else { u64::from(self.ptime) };
        let timestamp = self.last.map_or(0, |sent| sent.timestamp.wrapping_add((passed(sent) as u32).wrapping_mul(self.ticks_out)));
        let due = if self.broken { now } else { due };
        self.last = Some(Sent { due, timestamp });
        self.broken = false;
        timestamp
    }

    fn ticks(&self, samples: usize) -> i64 {
        samples as i64 * self.ticks_in / self.samples as i64
    }
}
