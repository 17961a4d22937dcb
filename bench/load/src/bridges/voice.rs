//! What is said and heard: a tone of 100 ms once a second, in silence. When it begins is when a mouth opens; when it begins to be heard, less
//! that, is the delay.

use std::f64::consts::TAU;
use std::time::Duration;

use offhook_media::Moment;

use crate::trial::Failure;

/// Samples of a frame of 20 ms.
const FRAME: usize = 160;
/// Frames after which all is said again.
const CYCLE: usize = 50;
/// The frames that hold the tone.
const TONE: std::ops::Range<usize> = 25..30;
/// A third of what the tone reaches.
const LOUD: i16 = 4_000;
/// So long nothing is loud before the next tone.
const QUIET: Duration = Duration::from_millis(400);

/// What is done to the sound on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Page and phone have G.711.
    Passed,
    /// The page has Opus, the phone G.711.
    Transcoded,
}

/// One second of sound, as packets.
pub struct Mouth {
    frames: Vec<Vec<u8>>,
    next: usize,
    /// When the last tone began to be said.
    pub began: Option<Moment>,
}

impl Mouth {
    /// In Opus or µ-law.
    ///
    /// # Errors
    ///
    /// Where libopus cannot begin.
    pub fn new(opus: bool) -> Result<Self, Failure> {
        let mut encoder = opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip)?;
        encoder.set_bitrate(opus::Bitrate::Bits(24_000))?;
        let frames = (0..CYCLE).map(|frame| {
            let pcm = pcm(frame);
            Ok(if opus { encoder.encode_vec(&pcm, 400)? } else { pcm.iter().copied().map(mu_law).collect() })
        });
        Ok(Self { frames: frames.collect::<Result<_, Failure>>()?, next: 0, began: None })
    }

    /// The next frame, which is sent now.
    pub fn say(&mut self, now: Moment) -> &[u8] {
        let index = self.next % CYCLE;
        self.next += 1;
        if index == TONE.start {
            self.began = Some(now);
        }
        &self.frames[index]
    }
}

fn pcm(frame: usize) -> Vec<i16> {
    let sample = |i: usize| ((i as f64 * TAU / 8.0).sin() * 12_000.0) as i16;
    (0..FRAME).map(|i| if TONE.contains(&frame) { sample(i + 1) } else { 0 }).collect()
}

/// ITU-T G.711.
fn mu_law(sample: i16) -> u8 {
    let magnitude = (u32::from(sample.unsigned_abs()) + 132).min(0x7fff);
    let segment = 24 - magnitude.leading_zeros();
    !(u8::from(sample < 0) << 7 | (segment << 4 | magnitude >> (segment + 3) & 15) as u8)
}

/// Listens for tones.
pub struct Ear {
    opus: Option<opus::Decoder>,
    pcm: Vec<i16>,
    /// When something loud was heard last.
    loud: Option<Moment>,
    /// Packets that came.
    pub packets: u64,
}

impl Ear {
    /// In Opus or µ-law.
    ///
    /// # Errors
    ///
    /// Where libopus cannot begin.
    pub fn new(opus: bool) -> Result<Self, Failure> {
        let opus = if opus { Some(opus::Decoder::new(8_000, opus::Channels::Mono)?) } else { None };
        Ok(Self { opus, pcm: vec![0; 960], loud: None, packets: 0 })
    }

    /// A packet came: the instant of the sample with which a tone begins in it. A frame is heard from its arrival on, as it was said from
    /// its departure on.
    pub fn hear(&mut self, now: Moment, payload: &[u8]) -> Option<Moment> {
        self.packets += 1;
        let loud = match &mut self.opus {
            Some(opus) => {
                let length = opus.decode(payload, &mut self.pcm, false).ok()?;
                self.pcm[..length].iter().position(|sample| sample.unsigned_abs() > LOUD.unsigned_abs())
            }
            // Bytes of µ-law fall as samples grow: the sixth segment and up.
            None => payload.iter().position(|byte| !byte & 0x7f >= 0x50),
        };
        let at = now + Duration::from_secs_f64(loud? as f64 / 8_000.0);
        let begins = self.loud.is_none_or(|before| at.saturating_duration_since(before) > QUIET);
        self.loud = Some(now);
        begins.then_some(at)
    }
}
