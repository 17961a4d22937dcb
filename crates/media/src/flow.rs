//! One direction of what cannot be passed on unchanged: sound that has to be transcoded, and DTMF digits.
//!
//! ```text
//! sound, another codec ──────▶ transcoder ──▶ frames ─┬──▶ stream to the peer
//! DTMF digits (RFC 4733) ──▶ reader ──▶ writer ───────┘    no sound during a digit
//!                              └──▶ digits, where the peer does not support RFC 4733
//! ```

use offhook_ua::time::Instant;

use super::port::Codec;
use super::rtp::{Header, Numbering, Place};
use super::sdp::{Events, clock};
use super::sound::{DigitEvent, DigitReader, DigitWriter, Packet, Transcoder};

/// The length of the packets that are made, ms.
const PTIME: u32 = 20;

/// A packet to the peer.
#[derive(Debug)]
pub struct Outgoing {
    /// Its payload type.
    pub payload_type: u8,
    /// Its place in the stream.
    pub place: Place,
    /// The marker bit.
    pub marker: bool,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// One direction of a session.
#[derive(Default)]
pub struct Flow {
    coding: Option<Coding>,
    reader: Option<(u32, DigitReader)>,
    writer: Option<(Events, DigitWriter)>,
    /// The fraction of packets that the recipient lost, of 256, smoothed.
    loss: u8,
}

struct Coding {
    from: Codec,
    to: (Codec, u8),
    /// `None`: libopus could not be initialised.
    transcoder: Option<Transcoder>,
    /// The timestamp of its first frame in the stream.
    base: Option<u32>,
}

impl Flow {
    /// Ends transcoding: the sound is passed on unchanged.
    pub fn pass(&mut self) {
        self.coding = None;
    }

    /// Whether a digit is being sent: there is no sound meanwhile.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.writer.as_ref().is_some_and(|(_, writer)| writer.is_busy())
    }

    /// Takes the fraction of packets that the recipient lost by its last report, of 256; it counts half, and earlier reports the
    /// other half.
    pub fn set_loss(&mut self, fraction: u8) {
        self.loss = self.loss / 2 + fraction / 2 + (self.loss & fraction & 1);
        if let Some(transcoder) = self.coding.as_mut().and_then(|coding| coding.transcoder.as_mut()) {
            transcoder.expect_loss(percent(self.loss));
        }
    }

    /// Takes a packet of sound that has to be transcoded.
    pub fn code(&mut self, now: Instant, from: Codec, to: (Codec, u8), header: &Header, payload: &[u8]) {
        if self.coding.as_ref().is_none_or(|coding| coding.from != from || coding.to != to) {
            let mut transcoder = Transcoder::new(from, to.0, PTIME).ok();
            transcoder.iter_mut().for_each(|transcoder| transcoder.expect_loss(percent(self.loss)));
            self.coding = Some(Coding { from, to, transcoder, base: None });
        }
        if let Some(transcoder) = self.coding.as_mut().and_then(|coding| coding.transcoder.as_mut()) {
            let packet = Packet { ssrc: header.ssrc, sequence: header.sequence, timestamp: header.timestamp, payload };
            transcoder.handle_packet(now, &packet);
        }
    }

    /// Takes a packet of a DTMF digit (RFC 4733).
    pub fn receive_event(&mut self, now: Instant, clock: u32, header: &Header, payload: &[u8]) {
        if self.reader.as_ref().is_none_or(|(of, _)| *of != clock) {
            self.reader = Some((clock, DigitReader::new(clock)));
        }
        if let Some((_, reader)) = &mut self.reader {
            reader.handle_packet(now, header.timestamp, payload);
        }
    }

    /// Sends a DTMF digit that did not arrive as packets.
    pub fn send_digit(&mut self, now: Instant, numbering: &Numbering, events: Events, digit: char, duration: u32) {
        self.writer(events).send(now, numbering.clock(now, events.clock), digit, duration);
    }

    fn writer(&mut self, events: Events) -> &mut DigitWriter {
        if self.writer.as_ref().is_none_or(|(of, _)| *of != events) {
            self.writer = None;
        }
        &mut self.writer.get_or_insert_with(|| (events, DigitWriter::new(events.clock))).1
    }

    /// Appends the packets that are due to `out`. `events` is how the peer takes DTMF digits; if it does not, they are
    /// appended to `digits`.
    pub fn poll(
        &mut self,
        now: Instant,
        numbering: &mut Numbering,
        events: Option<Events>,
        out: &mut Vec<Outgoing>,
        digits: &mut Vec<(char, u32)>,
    ) {
        if let Some((_, reader)) = &mut self.reader {
            reader.handle_timeout(now);
        }
        while let Some(event) = self.reader.as_mut().and_then(|(_, reader)| reader.poll()) {
            match (event, events) {
                (DigitEvent::Down { digit }, Some(events)) => {
                    let timestamp = numbering.clock(now, events.clock);
                    self.writer(events).down(now, timestamp, digit);
                }
                (DigitEvent::Up { duration, .. }, Some(events)) => self.writer(events).up(duration),
                (DigitEvent::Up { digit, duration }, None) => digits.push((digit, duration)),
                (DigitEvent::Down { .. }, None) => {}
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

    /// Returns when [`Flow::poll`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let coding = self.coding.as_ref().and_then(|coding| coding.transcoder.as_ref()).and_then(Transcoder::deadline);
        let reader = self.reader.as_ref().and_then(|(_, reader)| reader.deadline());
        let writer = self.writer.as_ref().and_then(|(_, writer)| writer.deadline());
        coding.into_iter().chain(reader).chain(writer).min()
    }
}

/// Converts a fraction of 256 to per cent.
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
