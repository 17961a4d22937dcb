//! What cannot go as it is, in one direction: sound that has to be coded anew, and keys.
//!
//! ```text
//! sound, another codec ──▶ transcoder ──▶ frames ─┬──▶ the other side's stream
//! keys (RFC 4733) ──▶ reader ──▶ writer ──────────┘    while a key sounds there is no sound
//!                       └──▶ pressed, where the other side takes no keys this way
//! ```

use offhook_ua::time::Instant;

use super::port::Codec;
use super::rtp::{Header, Numbering, Place};
use super::sdp::{Events, clock};
use super::sound::{KeyEvent, KeyReader, KeyWriter, Packet, Transcoder};

/// Milliseconds of sound in a packet that we make.
const PTIME: u32 = 20;

/// A packet for the other side.
#[derive(Debug)]
pub struct Outgoing {
    /// As what.
    pub payload_type: u8,
    /// Where in its stream.
    pub place: Place,
    /// Whether something begins.
    pub marker: bool,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// One direction.
#[derive(Default)]
pub struct Flow {
    coding: Option<Coding>,
    reader: Option<(u32, KeyReader)>,
    writer: Option<(Events, KeyWriter)>,
    /// What the listener misses, of 256.
    missed: u8,
}

struct Coding {
    from: Codec,
    to: (Codec, u8),
    /// `None`: libopus could not begin.
    transcoder: Option<Transcoder>,
    /// Our timestamp of its first frame.
    base: Option<u32>,
}

impl Flow {
    /// The sound can go as it is.
    pub fn pass(&mut self) {
        self.coding = None;
    }

    /// Whether a key sounds towards the other side.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.writer.as_ref().is_some_and(|(_, writer)| writer.is_busy())
    }

    /// What the listener's last report says that it has missed, of 256: half of what is believed from now on, the reports before the other.
    pub fn missed(&mut self, fraction: u8) {
        self.missed = self.missed / 2 + fraction / 2 + (self.missed & fraction & 1);
        if let Some(transcoder) = self.coding.as_mut().and_then(|coding| coding.transcoder.as_mut()) {
            transcoder.expect_loss(percent(self.missed));
        }
    }

    /// Sound that has to be coded anew.
    pub fn code(&mut self, now: Instant, from: Codec, to: (Codec, u8), header: &Header, payload: &[u8]) {
        if self.coding.as_ref().is_none_or(|coding| coding.from != from || coding.to != to) {
            let mut transcoder = Transcoder::new(from, to.0, PTIME).ok();
            transcoder.iter_mut().for_each(|transcoder| transcoder.expect_loss(percent(self.missed)));
            self.coding = Some(Coding { from, to, transcoder, base: None });
        }
        if let Some(transcoder) = self.coding.as_mut().and_then(|coding| coding.transcoder.as_mut()) {
            let packet = Packet { ssrc: header.ssrc, sequence: header.sequence, timestamp: header.timestamp, payload };
            transcoder.handle_packet(now, &packet);
        }
    }

    /// A packet of a key.
    pub fn key(&mut self, now: Instant, clock: u32, header: &Header, payload: &[u8]) {
        if self.reader.as_ref().is_none_or(|(of, _)| *of != clock) {
            self.reader = Some((clock, KeyReader::new(clock)));
        }
        if let Some((_, reader)) = &mut self.reader {
            reader.handle_packet(now, header.timestamp, payload);
        }
    }

    /// A key that did not come as packets.
    pub fn press(&mut self, now: Instant, numbering: &Numbering, events: Events, key: char, duration: u32) {
        self.writer(events).press(now, numbering.clock(now, events.clock), key, duration);
    }

    fn writer(&mut self, events: Events) -> &mut KeyWriter {
        if self.writer.as_ref().is_none_or(|(of, _)| *of != events) {
            self.writer = None;
        }
        &mut self.writer.get_or_insert_with(|| (events, KeyWriter::new(events.clock))).1
    }

    /// What is due. `events`: how the other side takes keys; where it does not, they are put into `pressed`.
    pub fn poll(
        &mut self,
        now: Instant,
        numbering: &mut Numbering,
        events: Option<Events>,
        out: &mut Vec<Outgoing>,
        pressed: &mut Vec<(char, u32)>,
    ) {
        if let Some((_, reader)) = &mut self.reader {
            reader.handle_timeout(now);
        }
        while let Some(event) = self.reader.as_mut().and_then(|(_, reader)| reader.poll()) {
            match (event, events) {
                (KeyEvent::Down { key }, Some(events)) => {
                    let timestamp = numbering.clock(now, events.clock);
                    self.writer(events).down(now, timestamp, key);
                }
                (KeyEvent::Up { duration, .. }, Some(events)) => self.writer(events).up(duration),
                (KeyEvent::Up { key, duration }, None) => pressed.push((key, duration)),
                (KeyEvent::Down { .. }, None) => {}
            }
        }
        if let Some((events, writer)) = &mut self.writer {
            while let Some(packet) = writer.poll(now) {
                let place = numbering.beside(packet.timestamp);
                let payload = packet.payload.to_vec();
                out.push(Outgoing { payload_type: events.payload_type, place, marker: packet.marker, payload });
            }
        }
        let busy = self.is_busy();
        if let Some(coding) = &mut self.coding {
            coding.poll(now, numbering, busy, out);
        }
    }

    /// When [`Flow::poll`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let coding = self.coding.as_ref().and_then(|coding| coding.transcoder.as_ref()).and_then(Transcoder::deadline);
        let reader = self.reader.as_ref().and_then(|(_, reader)| reader.deadline());
        let writer = self.writer.as_ref().and_then(|(_, writer)| writer.deadline());
        coding.into_iter().chain(reader).chain(writer).min()
    }
}

/// Of 256 as of a hundred, to the nearest.
const fn percent(fraction: u8) -> u8 {
    ((fraction as u32 * 100 + 128) / 256) as u8
}

impl Coding {
    fn poll(&mut self, now: Instant, numbering: &mut Numbering, busy: bool, out: &mut Vec<Outgoing>) {
        let Some(transcoder) = &mut self.transcoder else { return };
        while let Some(frame) = transcoder.poll_frame(now) {
            if busy {
                continue;
            }
            let base = *self.base.get_or_insert_with(|| numbering.clock(now, clock(self.to.0)).wrapping_sub(frame.timestamp));
            let place = numbering.make(now, base.wrapping_add(frame.timestamp));
            let marker = frame.marker || place.fresh;
            out.push(Outgoing { payload_type: self.to.1, place, marker, payload: frame.payload.to_vec() });
        }
    }
}
