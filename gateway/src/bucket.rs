//! A token bucket: so many messages a second, twice as many at once.

use offhook::time::Instant;

/// What is left of an allowance.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Thousandths of a message.
    left: u64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub const fn new(now: Instant, per_second: u32) -> Self {
        Self { left: per_second as u64 * 2000, at: now }
    }

    /// Takes one message out; `false` where there is none left. A rate of 0 is no limit.
    pub fn take(&mut self, now: Instant, per_second: u32) -> bool {
        let rate = u64::from(per_second);
        self.left = (rate * 2000).min(self.left.saturating_add((now - self.at).saturating_mul(rate)));
        self.at = now;
        match self.left.checked_sub(1000) {
            Some(left) => self.left = left,
            None => return rate == 0,
        }
        true
    }
}
