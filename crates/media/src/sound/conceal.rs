//! Packet loss concealment for codecs without their own: voiced speech is nearly periodic, so the last pitch period is repeated and
//! faded out (as in ITU-T G.711, appendix I, but without its delay).
//!
//! ```text
//! heard ─────────╮period│period│period╲ … silence after 60 ms
//!                └ lost ┘             ╲╱ cross-fade into what comes next
//! ```

/// The pitch of voices is 66 to 400 Hz: the bounds of its period, ms.
const SHORTEST_MS: f64 = 2.5;
const LONGEST_MS: usize = 15;
/// The length of sound by which periods are compared.
const TEMPLATE_MS: usize = 15;
/// How long the replacement has full amplitude, and when it has faded to silence.
const FULL_MS: usize = 10;
const SILENT_MS: usize = 60;
/// The length of the cross-fade from the replacement to the next packet.
const FADE_MS: usize = 5;

/// The last samples, and the replacement that is made from them.
pub(super) struct Concealment {
    /// Samples in a millisecond.
    per_ms: usize,
    /// The last samples, a little more than twice [`LONGEST_MS`], oldest first.
    history: Vec<i16>,
    /// The pitch period that is repeated; empty while nothing is lost.
    period: Vec<i16>,
    /// The number of replacement samples since the loss began.
    made: usize,
}

impl Concealment {
    pub(super) fn new(rate: u32) -> Self {
        let per_ms = rate as usize / 1000;
        Self { per_ms, history: vec![0; (LONGEST_MS * 2 + TEMPLATE_MS) * per_ms], period: Vec::new(), made: 0 }
    }

    /// Takes decoded samples; after a loss their beginning is cross-faded with the replacement.
    pub(super) fn heard(&mut self, pcm: &mut [i16]) {
        if !self.period.is_empty() {
            let fade = (FADE_MS * self.per_ms).min(pcm.len());
            for (i, sample) in pcm[..fade].iter_mut().enumerate() {
                let made = i32::from(self.next());
                let mixed = made + (i32::from(*sample) - made) * i as i32 / fade as i32;
                *sample = clip(mixed);
            }
            self.period.clear();
            self.made = 0;
        }
        self.remember(pcm);
    }

    /// Appends replacement samples for a loss.
    pub(super) fn conceal(&mut self, samples: usize, pcm: &mut Vec<i16>) {
        if self.period.is_empty() {
            self.find_period();
        }
        let start = pcm.len();
        pcm.extend(std::iter::repeat_with(|| self.next()).take(samples));
        self.remember(&pcm[start..]);
    }

    fn next(&mut self) -> i16 {
        let (full, silent) = (FULL_MS * self.per_ms, SILENT_MS * self.per_ms);
        let left = silent.saturating_sub(self.made.max(full)) as i32;
        let sample = i32::from(self.period[self.made % self.period.len()]);
        self.made += 1;
        clip(sample * left / (silent - full) as i32)
    }

    fn remember(&mut self, pcm: &[i16]) {
        let kept = pcm.len().min(self.history.len());
        self.history.drain(..kept);
        self.history.extend_from_slice(&pcm[pcm.len() - kept..]);
    }

    /// Returns one pitch period: the last samples over the distance at which they are most similar to those before. Its end is
    /// cross-faded with the samples before its beginning, so that repetitions join without a step.
    fn find_period(&mut self) {
        let shortest = (SHORTEST_MS * self.per_ms as f64) as usize;
        let longest = LONGEST_MS * self.per_ms;
        let end = self.history.len();
        let template = end - TEMPLATE_MS * self.per_ms;
        let lag = (shortest..=longest)
            .max_by(|a, b| self.likeness(template, *a).total_cmp(&self.likeness(template, *b)))
            .unwrap_or(longest);
        self.period.extend_from_slice(&self.history[end - lag..]);
        let fade = lag / 4;
        for i in 0..fade {
            let late = &mut self.period[lag - fade + i];
            let before = i32::from(self.history[end - lag - fade + i]);
            *late = clip(i32::from(*late) + (before - i32::from(*late)) * (i + 1) as i32 / fade as i32);
        }
    }

    /// Returns the correlation of the samples from `template` on with those `lag` before, normalised by the energy of the latter.
    fn likeness(&self, template: usize, lag: usize) -> f32 {
        let late = &self.history[template..];
        let early = &self.history[template - lag..self.history.len() - lag];
        let (mut product, mut strength) = (0.0, 1.0);
        for (a, b) in late.iter().zip(early) {
            let (a, b) = (f32::from(*a), f32::from(*b));
            product += a * b;
            strength += b * b;
        }
        product / f32::sqrt(strength)
    }
}

/// Returns the nearest sample value.
pub(super) fn clip(sample: i32) -> i16 {
    sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}
