//! A token bucket: a rate limit that allows bursts.

use offhook_ua::time::Instant;

/// A token bucket, which is refilled with time.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// The tokens left, in 1/60,000 of a token, so that each millisecond adds an integer at any rate in tokens per minute.
    level: u64,
    filled: Instant,
}

impl Bucket {
    /// Returns a full bucket for [`Bucket::take`] with this rate: tokens for two seconds.
    #[must_use]
    pub const fn new(now: Instant, per_second: u32) -> Self {
        Self::full(now, per_second.saturating_mul(2))
    }

    /// Returns a bucket with `burst` tokens.
    #[must_use]
    pub const fn full(now: Instant, burst: u32) -> Self {
        Self { level: burst as u64 * 60_000, filled: now }
    }

    /// Takes a token from a bucket that gets `per_second` tokens a second and holds twice as many; false where none is left. A rate of 0 means
    /// no limit.
    pub fn take(&mut self, now: Instant, per_second: u32) -> bool {
        per_second == 0 || self.draw(now, per_second.saturating_mul(60), per_second.saturating_mul(2))
    }

    /// Takes a token from a bucket that gets `per_minute` tokens a minute and holds `burst`; false where none is left.
    pub fn draw(&mut self, now: Instant, per_minute: u32, burst: u32) -> bool {
        let most = u64::from(burst) * 60_000;
        self.level = self.level.saturating_add(now.millis_since(self.filled).saturating_mul(u64::from(per_minute))).min(most);
        self.filled = now;
        let rest = self.level.checked_sub(60_000);
        self.level = rest.unwrap_or(self.level);
        rest.is_some()
    }

    /// Returns when a token was last asked for.
    #[must_use]
    pub const fn used(&self) -> Instant {
        self.filled
    }
}
