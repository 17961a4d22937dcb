//! A sender, a seeded network, a transcoder and a listener, in virtual time.

use std::collections::BTreeMap;

use offhook_media::Codec;
use offhook_media::sound::{Packet, Transcoder};
use offhook_ua::time::Instant;

use offhook_testing::tone;

pub const TONE: f64 = 425.0;
pub const BEGIN: u64 = 1_790_000_000_000;

/// A random number generator (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// The sound that is sent, and the faults of the network.
#[derive(Clone, Copy)]
pub struct Line {
    pub from: Codec,
    pub to: Codec,
    /// The length of the packets in, and of the frames out, ms.
    pub ptime: (u32, u32),
    pub seconds: u32,
    pub seed: u64,
    /// Packets lost, of a thousand; and how many in a row.
    pub loss: u64,
    pub burst: u64,
    /// The largest delay of a packet, ms; packets may be reordered.
    pub jitter: u64,
    /// Packets duplicated, of a thousand.
    pub twice: u64,
    /// How much faster the sender's clock is, parts per million.
    pub drift: i64,
    /// Whether the sender uses in-band FEC.
    pub copies: bool,
    /// The loss that the listener reports, per cent.
    pub expected: u8,
    /// The sound, at a sampling rate and from a sample on.
    pub sound: fn(u32, usize, usize) -> Vec<i16>,
}

fn beep(rate: u32, start: usize, samples: usize) -> Vec<i16> {
    tone::sine(rate, TONE, 0.3, start, samples)
}

impl Line {
    pub fn new(from: Codec, to: Codec) -> Self {
        Self {
            from,
            to,
            ptime: (20, 20),
            seconds: 5,
            seed: 1,
            loss: 0,
            burst: 1,
            jitter: 0,
            twice: 0,
            drift: 0,
            copies: false,
            expected: 0,
            sound: beep,
        }
    }

    /// Sends the sound over the network.
    pub fn run(self) -> Heard {
        let mut transcoder = Transcoder::new(self.from, self.to, self.ptime.1).expect("there is a way");
        transcoder.expect_loss(self.expected);
        let mut ear = Ear::new(self.to);
        let mut arrivals = self.arrivals();
        let mut heard = Heard::default();
        while let Some(now) = next(&arrivals, &transcoder) {
            for (sent, packet) in arrivals.remove(&now).unwrap_or_default() {
                heard.sent.insert(packet.timestamp / ticks(self.from), sent);
                transcoder.handle_packet(Instant::from_millis(now), &packet.borrow());
            }
            while let Some(frame) = transcoder.poll_frame(Instant::from_millis(now)) {
                heard.frames.push((now, frame.timestamp, frame.marker));
                heard.pcm.extend(ear.hear(frame.payload));
                heard.payloads.push(frame.payload.to_vec());
            }
            heard.delays.push(transcoder.delay());
        }
        heard
    }

    /// Returns all packets by their time of arrival, ms, with the time at which they were sent.
    fn arrivals(&self) -> BTreeMap<u64, Vec<(u64, Sent)>> {
        let mut dice = Dice(self.seed);
        let mut arrivals: BTreeMap<u64, Vec<(u64, Sent)>> = BTreeMap::new();
        let mut lost = 0;
        for packet in packets(self.from, self.ptime.0, self.seconds * 1000, self.copies, self.sound) {
            let media = u64::from(packet.timestamp / ticks(self.from));
            let sent = (BEGIN + media).saturating_add_signed(-(media as i64 * self.drift / 1_000_000));
            // The beginning is never lost, so that the sound of two networks can be compared sample by sample.
            if lost == 0 && dice.below(1000) * self.burst < self.loss && packet.sequence > 10 {
                lost = self.burst;
            }
            if lost > 0 {
                lost -= 1;
                continue;
            }
            let at = sent + 30 + dice.below(self.jitter + 1);
            if dice.below(1000) < self.twice {
                arrivals.entry(at + dice.below(40)).or_default().push((sent, packet.clone()));
            }
            arrivals.entry(at).or_default().push((sent, packet));
        }
        arrivals
    }
}

/// Returns the next instant at which something is due; none after the frames of the last packet.
fn next(arrivals: &BTreeMap<u64, Vec<(u64, Sent)>>, transcoder: &Transcoder) -> Option<u64> {
    let arrival = *arrivals.first_key_value()?.0;
    Some(transcoder.deadline().map_or(arrival, |deadline| deadline.millis().min(arrival)))
}

/// The result.
#[derive(Default)]
pub struct Heard {
    /// For each frame the time at which it was sent, its timestamp and marker.
    pub frames: Vec<(u64, u32, bool)>,
    pub payloads: Vec<Vec<u8>>,
    pub pcm: Vec<i16>,
    pub delays: Vec<u64>,
    /// For each millisecond of the sender's timeline the time at which it was sent.
    sent: BTreeMap<u32, u64>,
}

impl Heard {
    /// Returns the smallest delay that `percent` of all frames do not exceed, ms.
    pub fn delay(&self, percent: usize) -> u64 {
        let mut sorted = self.delays.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100]
    }

    /// Returns the mean delay from the sending of a packet to that of the frame that it begins, for all frames between two
    /// instants, network included.
    pub fn latency(&self, ticks_out: u32, from: u64, until: u64) -> f64 {
        let base = *self.sent.first_key_value().expect("a packet").0;
        let late = self.frames.iter().filter(|(now, ..)| (BEGIN + from..BEGIN + until).contains(now)).filter_map(|frame| {
            let sent = self.sent.get(&(base + frame.1 / ticks_out))?;
            Some((frame.0 - sent) as f64)
        });
        let all: Vec<f64> = late.collect();
        all.iter().sum::<f64>() / all.len() as f64
    }
}

#[derive(Clone)]
pub struct Sent {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub payload: Vec<u8>,
}

impl Sent {
    pub fn borrow(&self) -> Packet<'_> {
        Packet { ssrc: self.ssrc, sequence: self.sequence, timestamp: self.timestamp, payload: &self.payload }
    }
}

/// Returns the packets of a tone, made by other codec implementations where there are any.
pub fn tone_packets(codec: Codec, ptime: u32, length: u32) -> Vec<Sent> {
    packets(codec, ptime, length, false, beep)
}

fn packets(codec: Codec, ptime: u32, length: u32, copies: bool, sound: fn(u32, usize, usize) -> Vec<i16>) -> Vec<Sent> {
    let rate = rate(codec);
    let samples = (rate / 1000 * ptime) as usize;
    let mut mouth = Mouth::new(codec, copies);
    (0..length / ptime)
        .map(|i| Sent {
            ssrc: 7,
            sequence: i as u16,
            timestamp: i * ptime * ticks(codec),
            payload: mouth.say(&sound(rate, i as usize * samples, samples)),
        })
        .collect()
}

/// Returns the sampling rate of a telephone.
pub const fn rate(codec: Codec) -> u32 {
    match codec {
        Codec::Opus => 48_000,
        Codec::G722 => 16_000,
        Codec::Pcma | Codec::Pcmu => 8_000,
    }
}

/// Returns the ticks of the RTP clock in a millisecond.
pub const fn ticks(codec: Codec) -> u32 {
    if matches!(codec, Codec::Opus) { 48 } else { 8 }
}

/// The encoder of a telephone.
pub enum Mouth {
    Opus(opus::Encoder),
    Other(Box<dyn audio_codec::Encoder>),
}

impl Mouth {
    pub fn new(codec: Codec, copies: bool) -> Self {
        match codec {
            Codec::Opus => {
                let mut opus = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip).expect("libopus");
                opus.set_bitrate(opus::Bitrate::Bits(24_000)).expect("a bit rate");
                if copies {
                    opus.set_inband_fec(true).and_then(|()| opus.set_packet_loss_perc(20)).expect("settings");
                }
                Self::Opus(opus)
            }
            Codec::G722 => Self::Other(Box::new(audio_codec::g722::G722Encoder::new())),
            Codec::Pcma => Self::Other(Box::new(audio_codec::pcma::PcmaEncoder::new())),
            Codec::Pcmu => Self::Other(Box::new(audio_codec::pcmu::PcmuEncoder::new())),
        }
    }

    pub fn say(&mut self, pcm: &[i16]) -> Vec<u8> {
        let mut out = vec![0; 1500];
        let length = match self {
            Self::Opus(opus) => opus.encode(pcm, &mut out).expect("a frame"),
            Self::Other(codec) => codec.encode_into(pcm, &mut out).expect("a frame"),
        };
        out.truncate(length);
        out
    }
}

/// The decoder of a telephone.
pub enum Ear {
    Opus(opus::Decoder),
    Other(Box<dyn audio_codec::Decoder>),
}

impl Ear {
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Opus => Self::Opus(opus::Decoder::new(48_000, opus::Channels::Mono).expect("libopus")),
            Codec::G722 => Self::Other(Box::new(audio_codec::g722::G722Decoder::new())),
            Codec::Pcma => Self::Other(Box::new(audio_codec::pcma::PcmaDecoder::new())),
            Codec::Pcmu => Self::Other(Box::new(audio_codec::pcmu::PcmuDecoder::new())),
        }
    }

    pub fn hear(&mut self, payload: &[u8]) -> Vec<i16> {
        let mut pcm = vec![0; 5760];
        let length = match self {
            Self::Opus(opus) => opus.decode(payload, &mut pcm, false).expect("a frame"),
            Self::Other(codec) => codec.decode_into(payload, &mut pcm).expect("a frame"),
        };
        pcm.truncate(length);
        pcm
    }
}
