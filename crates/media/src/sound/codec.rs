//! Decoders and encoders with one interface for all codecs. All sound is mono.

use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};
use opus::{Application, Bitrate, Channels};

use super::SoundError;
use super::conceal::Concealment;
use super::g711::Law;
use super::resample::Resampler;
use crate::Codec;

/// The longest packet of Opus, ms (RFC 6716, 3.4 R5). Packets of other codecs are shorter in practice; longer ones are dropped.
pub(super) const LONGEST_PACKET_MS: usize = 120;
/// The size of the buffer for an encoded packet, octets. The largest frame of Opus has 1275 (RFC 6716, 3.2.1); a packet of one
/// frame has a fifth of that at the bit rates used here.
const LARGEST_FRAME: usize = 1275;
/// The complexity of the Opus encoder, 0 to 10: half the work of the highest one, and hardly different at the bit rates of speech.
const COMPLEXITY: i32 = 5;

/// Returns the sampling rate for transcoding, Hz: Opus supports any of these, the other codecs have one of their own.
pub(super) const fn rate_into(from: Codec, to: Codec) -> u32 {
    match (from, to) {
        (Codec::Opus, Codec::Opus) => 48_000,
        (_, Codec::G722) | (Codec::G722, Codec::Opus) => 16_000,
        (_, Codec::Pcma | Codec::Pcmu) | (Codec::Pcma | Codec::Pcmu, Codec::Opus) => 8_000,
    }
}

/// A decoder, which also conceals lost packets.
pub(super) struct Decoder {
    /// The sampling rate of the output, and that of the codec, Hz; a resampler converts between them with a buffer.
    rate: u32,
    made: u32,
    codec: Decoding,
    resampler: Option<Resampler>,
    room: Vec<i16>,
}

enum Decoding {
    Opus(opus::Decoder),
    G722(Box<G722Decoder>, Concealment),
    G711(Law, Concealment),
}

impl Decoder {
    pub(super) fn new(codec: Codec, rate: u32) -> Result<Self, SoundError> {
        let made = match codec {
            Codec::Opus => rate,
            Codec::G722 => 16_000,
            Codec::Pcma | Codec::Pcmu => 8_000,
        };
        let concealment = Concealment::new(made);
        let codec = match codec {
            Codec::Opus => Decoding::Opus(opus::Decoder::new(rate, Channels::Mono)?),
            Codec::G722 => Decoding::G722(Box::new(G722Decoder::new()), concealment),
            Codec::Pcma => Decoding::G711(Law::A, concealment),
            Codec::Pcmu => Decoding::G711(Law::Mu, concealment),
        };
        Ok(Self { rate, made, codec, resampler: Resampler::between(made, rate), room: Vec::new() })
    }

    /// Returns how many samples a packet has; `None` where it cannot be decoded.
    pub(super) fn samples(&self, payload: &[u8]) -> Option<usize> {
        let made = match &self.codec {
            Decoding::Opus(_) => opus::packet::get_nb_samples(payload, self.rate).ok()?,
            Decoding::G722(..) => payload.len() * 2,
            Decoding::G711(..) => payload.len(),
        };
        let samples = made * self.rate as usize / self.made as usize;
        (samples > 0 && samples <= self.longest()).then_some(samples)
    }

    /// Whether a packet has in-band FEC: a copy of the frame before it.
    pub(super) fn has_copy(&self, payload: &[u8]) -> bool {
        matches!(self.codec, Decoding::Opus(_)) && opus_has_copy(payload)
    }

    /// Appends the samples of a packet for which [`Decoder::samples`] returned a number.
    pub(super) fn decode(&mut self, payload: &[u8], samples: usize, pcm: &mut Vec<i16>) {
        let start = pcm.len();
        match &mut self.codec {
            Decoding::Opus(opus) => opus_append(opus, payload, samples, false, pcm),
            Decoding::G722(g722, concealment) => {
                pcm.resize(start + payload.len() * 2, 0);
                // Fails only where the buffer is too small, and it has two samples for each octet.
                let _ = g722.decode_into(payload, &mut pcm[start..]);
                concealment.heard(&mut pcm[start..]);
            }
            Decoding::G711(law, concealment) => {
                law.decode(payload, pcm);
                concealment.heard(&mut pcm[start..]);
            }
        }
        self.resample(start, pcm);
    }

    /// Appends a replacement for lost samples; `next`, the packet after them, may have in-band FEC (RFC 7587, 3.3).
    pub(super) fn conceal(&mut self, samples: usize, next: Option<&[u8]>, pcm: &mut Vec<i16>) {
        let samples = samples.min(self.longest());
        let (start, made) = (pcm.len(), samples * self.made as usize / self.rate as usize);
        match &mut self.codec {
            Decoding::Opus(opus) => opus_append(opus, next.unwrap_or_default(), samples, next.is_some(), pcm),
            Decoding::G722(_, concealment) | Decoding::G711(_, concealment) => concealment.conceal(made, pcm),
        }
        self.resample(start, pcm);
    }

    fn resample(&mut self, start: usize, pcm: &mut Vec<i16>) {
        if let Some(resampler) = &mut self.resampler {
            self.room.clear();
            self.room.extend_from_slice(&pcm[start..]);
            pcm.truncate(start);
            resampler.resample(&self.room, pcm);
        }
    }

    fn longest(&self) -> usize {
        LONGEST_PACKET_MS * self.rate as usize / 1000
    }
}

/// Calls libopus; where it fails (a damaged packet, a length that is not a multiple of 2.5 ms), the result is silence.
fn opus_append(opus: &mut opus::Decoder, payload: &[u8], samples: usize, copy: bool, pcm: &mut Vec<i16>) {
    let start = pcm.len();
    pcm.resize(start + samples, 0);
    if opus.decode(payload, &mut pcm[start..], copy).is_err() {
        pcm[start..].fill(0);
    }
}

/// Whether a packet of Opus has in-band FEC (RFC 6716, 2.1.7): a flag after the voice activity flags, of which there is one for
/// each 20 ms of SILK (4.2.3, 4.2.4). Packets of more than two frames are rare, and count as having none.
fn opus_has_copy(payload: &[u8]) -> bool {
    let [contents, first, ..] = payload else { return false };
    let (configuration, is_plain) = (contents >> 3, contents & 3 < 2);
    let voices = match configuration {
        0..=11 if configuration % 4 == 3 => 3,
        0..=11 if configuration % 4 == 2 => 2,
        0..=15 => 1,
        // CELT only.
        _ => return false,
    };
    is_plain && first >> (7 - voices) & 1 == 1
}

/// An encoder.
pub(super) struct Encoder {
    codec: Encoding,
}

enum Encoding {
    Opus(opus::Encoder),
    G722(Box<G722Encoder>),
    G711(Law),
}

impl Encoder {
    pub(super) fn new(codec: Codec, rate: u32) -> Result<Self, SoundError> {
        let codec = match codec {
            Codec::Opus => Encoding::Opus(opus_encoder(rate)?),
            Codec::G722 => Encoding::G722(Box::new(G722Encoder::new())),
            Codec::Pcma => Encoding::G711(Law::A),
            Codec::Pcmu => Encoding::G711(Law::Mu),
        };
        Ok(Self { codec })
    }

    /// Sets the packet loss of the recipient, per cent: accordingly, packets get in-band FEC of a higher or lower bit rate (RFC
    /// 6716, 2.1.6 and 2.1.7).
    pub(super) fn expect_loss(&mut self, percent: u8) {
        if let Encoding::Opus(opus) = &mut self.codec {
            // Fails only for a value that is not a percentage.
            let _ = opus.set_inband_fec(percent > 0).and_then(|()| opus.set_packet_loss_perc(i32::from(percent.min(100))));
        }
    }

    /// Encodes one frame into `out`, whose content is replaced: 10, 20, 40 or 60 ms for Opus.
    pub(super) fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        out.clear();
        match &mut self.codec {
            Encoding::Opus(opus) => {
                out.resize(LARGEST_FRAME, 0);
                let length = opus.encode(pcm, out).unwrap_or(0);
                out.truncate(length);
            }
            Encoding::G722(g722) => {
                out.resize(pcm.len() / 2, 0);
                let length = g722.encode_into(pcm, out).unwrap_or(0);
                out.truncate(length);
            }
            Encoding::G711(law) => law.encode(pcm, out),
        }
    }
}

fn opus_encoder(rate: u32) -> Result<opus::Encoder, SoundError> {
    let mut encoder = opus::Encoder::new(rate, Channels::Mono, Application::Voip)?;
    encoder.set_complexity(COMPLEXITY)?;
    // Higher than speech needs: a speech codec distorts DTMF tones, which at 16 kbit/s lose a quarter of their amplitude.
    encoder.set_bitrate(Bitrate::Bits(if rate > 16_000 { 32_000 } else { 24_000 }))?;
    Ok(encoder)
}
