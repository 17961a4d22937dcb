//! Tones for tests, and their detection in decoded sound (Goertzel).

use std::f64::consts::TAU;

/// Returns `samples` of a sine at `rate` samples a second, beginning with sample `start`; an `amplitude` of 1 is full scale.
pub fn sine(rate: u32, frequency: f64, amplitude: f64, start: usize, samples: usize) -> Vec<i16> {
    let step = TAU * frequency / f64::from(rate);
    (start..start + samples).map(|i| ((i as f64 * step).sin() * amplitude * 32767.0).round() as i16).collect()
}

/// Returns sound like a voice: harmonics of a changing pitch, in syllables. Unlike a tone, it cannot be predicted from the samples before.
pub fn voice(rate: u32, start: usize, samples: usize) -> Vec<i16> {
    let at = |i: usize| {
        let t = i as f64 / f64::from(rate);
        let pitch = TAU * 150.0 * t + 22.0 * (TAU * 0.7 * t).sin();
        let harmonics: f64 = (1..=12).map(|n| (pitch * f64::from(n)).sin() / f64::from(n)).sum();
        let syllable = (0.5 - 0.5 * (TAU * 3.7 * t).cos()).sqrt();
        (harmonics * syllable * 0.25 * 32767.0).round() as i16
    };
    (start..start + samples).map(at).collect()
}

/// Returns the ratio of the signal `other` to the difference of both, dB.
pub fn likeness(pcm: &[i16], other: &[i16]) -> f64 {
    let power = |samples: &mut dyn Iterator<Item = f64>| samples.map(|s| s.powi(2)).sum::<f64>();
    let noise = power(&mut pcm.iter().zip(other).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    10.0 * (power(&mut other.iter().map(|s| f64::from(*s))) / (noise + 1.0)).log10()
}

/// Returns the root mean square of samples; full scale is 1.
pub fn loudness(pcm: &[i16]) -> f64 {
    (pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len().max(1) as f64).sqrt() / 32768.0
}

/// Returns the mean of [`snr`] over segments of 100 ms, each capped at 40 dB: like an ear, it does not depend on the phase over seconds.
pub fn quality(rate: u32, frequency: f64, pcm: &[i16]) -> f64 {
    let all: Vec<f64> = pcm.chunks_exact(rate as usize / 10).map(|piece| snr(rate, frequency, piece).min(40.0)).collect();
    all.iter().sum::<f64>() / all.len() as f64
}

/// Returns the ratio of a tone of this frequency and constant phase to everything else, dB.
pub fn snr(rate: u32, frequency: f64, pcm: &[i16]) -> f64 {
    let (sine, cosine) = amplitudes(rate, frequency, pcm);
    let step = TAU * frequency / f64::from(rate);
    let (mut signal, mut noise) = (0.0, 1.0);
    for (i, sample) in pcm.iter().enumerate() {
        let tone = sine * (i as f64 * step).sin() + cosine * (i as f64 * step).cos();
        signal += tone.powi(2);
        noise += (f64::from(*sample) - tone).powi(2);
    }
    10.0 * (signal / noise).log10()
}

fn amplitudes(rate: u32, frequency: f64, pcm: &[i16]) -> (f64, f64) {
    let step = TAU * frequency / f64::from(rate);
    let along = |wave: fn(f64) -> f64| {
        pcm.iter().enumerate().map(|(i, s)| f64::from(*s) * wave(i as f64 * step)).sum::<f64>() * 2.0 / pcm.len() as f64
    };
    (along(f64::sin), along(f64::cos))
}
