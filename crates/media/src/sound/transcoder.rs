//! Transcoding in one direction: packets of one codec go in, frames of another come out, at a constant rate that follows the
//! sender's clock.

use std::time::Duration;

use offhook_ua::time::Instant;

use super::SoundError;
use super::codec::{Decoder, Encoder, rate_into};
use super::jitter::{Jitter, Next, Taken};
use crate::Codec;

/// After this time without a packet nothing is sent until one is received: the sender is silent, on hold, or gone.
const PAUSE_MS: u32 = 1000;
/// A frame that is later than this is skipped, with all before it.
const HOPELESS_MS: i64 = 250;
/// After a late frame, the following ones are sent faster by this, ms each: a step that any receiver can follow.
const HASTE_MS: u64 = 1;
/// From this many of the last 64 packets lost on, until none is, the buffer waits for the packet after a lost one, which may have
/// in-band FEC.
const WORTH_WAITING: u32 = 3;
/// A sender counts as using in-band FEC if one of this many packets has it: it has none for silence.
const COPY_EVERY: u32 = 100;
/// The longest packet that is waited for, ms.
const LONGEST_WAIT_MS: i64 = 60;

/// A received packet of sound: not comfort noise (RFC 3389), not a telephone event (RFC 4733).
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The synchronization source of RTP.
    pub ssrc: u32,
    /// The sequence number of RTP.
    pub sequence: u16,
    /// The timestamp of RTP.
    pub timestamp: u32,
    /// The payload, encoded.
    pub payload: &'a [u8],
}

/// A frame of sound to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Ticks of the codec's RTP clock since the first frame, pauses included.
    pub timestamp: u32,
    /// Whether it is the first frame, or the first one after a pause (RFC 3551, 4.1).
    pub marker: bool,
    /// The payload, encoded.
    pub payload: &'a [u8],
}

/// A jitter buffer, a decoder with packet loss concealment, and an encoder.
///
/// ```text
///          packet                    no packet for a second
/// Idle ────────────► Playing ─────────────────────────────► Idle
///                    │     ▲
///                    ╰─────╯ each frame
/// ```
///
/// Idle: there is no deadline. Playing: a frame is due at the deadline, made from received packets or by concealment.
///
/// Order of calls: [`Transcoder::handle_packet`] for each packet; after that, and at [`Transcoder::deadline`],
/// [`Transcoder::poll_frame`] until it returns `None`.
pub struct Transcoder {
    jitter: Jitter,
    decoder: Decoder,
    encoder: Encoder,
    /// The length of a frame: in milliseconds, in samples, in ticks of the sender's clock.
    ptime: u32,
    frame: usize,
    frame_ticks: i64,
    /// In a millisecond: samples, ticks of the sender's clock, ticks of the recipient's clock.
    samples: usize,
    ticks_in: i64,
    ticks_out: u32,
    /// Decoded samples that were not sent yet.
    pcm: Vec<i16>,
    out: Vec<u8>,
    /// The sender's timestamp of the end of `pcm`.
    at: i64,
    /// The length of the last packet, ticks.
    step: i64,
    playing: bool,
    /// For how many more packets the sender counts as using in-band FEC.
    fec: u32,
    /// Whether the buffer waits for the packet after a lost one.
    waits: bool,
    /// Ticks since a packet was played.
    starved: i64,
    last: Option<Sent>,
    /// Whether the timestamp of the next frame does not follow from the last one.
    broken: bool,
}

/// The last frame that was sent: when it was due, and its timestamp.
#[derive(Clone, Copy)]
struct Sent {
    due: Instant,
    timestamp: u32,
}

impl Transcoder {
    /// Returns a transcoder from `from` to `to` with frames of `ptime` milliseconds, rounded to the nearest of 10, 20, 30, 40 or
    /// 60; Opus does not have 30 (RFC 6716, 2.1.4), and gets 20.
    ///
    /// # Errors
    ///
    /// [`SoundError::Broken`] where libopus cannot be initialised.
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
            fec: 0,
            waits: false,
            starved: 0,
            last: None,
            broken: true,
        })
    }

    /// Takes a packet.
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
        self.fec = if self.decoder.has_copy(packet.payload) { COPY_EVERY } else { self.fec.saturating_sub(1) };
        let lossy = self.jitter.missing() >= if self.waits { 1 } else { WORTH_WAITING };
        self.waits = lossy && self.fec > 0 && self.step <= LONGEST_WAIT_MS * self.ticks_in;
    }

    /// Sets the fraction of frames that the recipient loses, per cent.
    pub fn expect_loss(&mut self, percent: u8) {
        self.encoder.expect_loss(percent);
    }

    /// Returns the next frame, if it is due.
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

    /// Returns when the next frame is due; `None` before a packet is received.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let paced = |sent: Sent| sent.due + Duration::from_millis(u64::from(self.ptime) - HASTE_MS);
        self.playing.then(|| self.last.map_or(self.due(), |sent| self.due().max(paced(sent))))
    }

    /// Returns the delay of the jitter buffer, ms.
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

    /// Returns when the last packet for the next frame is played; a packet is late as a whole, or not.
    fn due(&self) -> Instant {
        let missing = self.frame_ticks - self.ticks(self.pcm.len());
        let packets = (missing + self.step - 1).div_euclid(self.step).max(0);
        let wait = if self.waits { self.step } else { 0 };
        let due = self.jitter.due(self.at + (packets - 1) * self.step) + wait;
        let millis = (due + self.ticks_in - 1).div_euclid(self.ticks_in);
        Instant::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// After an interruption, of the sender's network or of this machine, sound that is too old is skipped.
    fn leave_out(&mut self, now: Instant) {
        let late = i64::try_from(now.millis_since(self.due())).unwrap_or(0);
        if late > HOPELESS_MS {
            let ticks = late * self.ticks_in;
            self.at += ticks - ticks % self.step;
            self.pcm.clear();
            self.broken = true;
        }
    }

    /// Appends the samples of the next packet, or their concealment.
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

    /// Returns the timestamp of a frame; after an interruption it follows the clock.
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
