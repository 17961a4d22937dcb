//! Unpredictable values from one seed: the state machines have no other source of randomness, so a whole call can be run again.

use std::time::Duration;

use offhook_sip::hash::sha256;
use offhook_sip::text::hex;

/// A deterministic generator: SHA-256 over seed and counter. As unpredictable as its seed.
///
/// ```
/// use offhook_ua::random::Random;
///
/// let (mut random, mut same) = (Random::new([7; 32]), Random::new([7; 32]));
/// let (tag, branch) = (random.token(), random.token());
/// assert_eq!((same.token(), same.token()), (tag.clone(), branch.clone()), "a test can be repeated");
/// assert!(tag != branch && tag.len() == 24);
/// assert!(random.below(11) <= 10);
/// ```
#[derive(Clone)]
pub struct Random {
    seed: [u8; 32],
    counter: u64,
}

impl Random {
    /// Returns a generator whose values are unpredictable without `seed`.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// 32 bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        self.counter += 1;
        let mut text = [0; 40];
        text[..32].copy_from_slice(&self.seed);
        text[32..].copy_from_slice(&self.counter.to_be_bytes());
        sha256(&text)
    }

    /// 96 bits as 24 lower-case hexadecimal digits: fit for tags, branches and nonces (RFC 3261, 19.3).
    pub fn token(&mut self) -> String {
        hex(&self.bytes()[..12])
    }

    /// A version 4 UUID (RFC 9562, 5.4).
    pub fn uuid(&mut self) -> String {
        let mut b = self.bytes();
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (at, byte) in b.iter().take(16).enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&hex(&[*byte]));
        }
        text
    }

    /// A number from 0 to `bound - 1`, and 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let b = self.bytes();
        let n = u64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        n.checked_rem(bound).unwrap_or(0)
    }

    /// A length of time in whole milliseconds, below `bound`; zero where that is below 1 ms.
    pub fn duration(&mut self, bound: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX)))
    }
}
