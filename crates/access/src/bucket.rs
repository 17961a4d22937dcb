//! A token bucket: so many at once, and then so many in a time.

use offhook_ua::time::Instant;

/// What is left of an allowance.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// In 60,000ths of a token, so that a millisecond adds a whole number.
    level: u64,
    filled: Instant,
}

impl Bucket {
    /// A full one, for [`Bucket::take`].
    #[must_use]
    pub const fn new(now: Instant, per_second: u32) -> Self {
        Self::full(now, per_second.saturating_mul(2))
    }

    /// One with `burst` tokens in it.
    #[must_use]
    pub const fn full(now: Instant, burst: u32) -> Self {
        Self { level: burst as u64 * 60_000, filled: now }
    }

    /// Takes a token out, where there are so many a second and twice as many at once; false where there is none left. A rate of 0 is no
    /// limit.
    pub fn take(&mut self, now: Instant, per_second: u32) -> bool {
        per_second == 0 || self.draw(now, per_second.saturating_mul(60), per_second.saturating_mul(2))
    }

    /// The same, where there are so many a minute and `burst` at once.
    pub fn draw(&mut self, now: Instant, per_minute: u32, burst: u32) -> bool {
        let most = u64::from(burst) * 60_000;
        self.level = self.level.saturating_add(now.millis_since(self.filled).saturating_mul(u64::from(per_minute))).min(most);
        self.filled = now;
        let rest = self.level.checked_sub(60_000);
        self.level = rest.unwrap_or(self.level);
        rest.is_some()
    }

    /// When somebody last took of it.
    #[must_use]
    pub const fn used(&self) -> Instant {
        self.filled
    }
}
