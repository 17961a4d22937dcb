//! Instants in milliseconds; the time between two is a [`Duration`]. The state machines read no clock: time is an argument.

use core::ops::{Add, Sub};
use std::time::Duration;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, by a monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// The instant `millis` milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Milliseconds from `earlier` to here, for what counts in them: 0 where `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// `duration` later, in whole milliseconds; never after the last instant that there is.
    fn add(self, duration: Duration) -> Self {
        let millis = duration.as_secs().saturating_mul(1_000).saturating_add(duration.subsec_millis().into());
        Self(self.0.saturating_add(millis))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The time from `earlier` to here; zero where `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis_since(earlier))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// `duration` earlier, in whole milliseconds; never before the first instant that there is.
    fn sub(self, duration: Duration) -> Self {
        let millis = duration.as_secs().saturating_mul(1_000).saturating_add(duration.subsec_millis().into());
        Self(self.0.saturating_sub(millis))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Instant;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn instants_are_apart_by_whole_milliseconds_and_never_out_of_range() {
        let noon = Instant::from_millis(43_200_000);
        assert_eq!(noon + Duration::from_micros(1_999), Instant::from_millis(43_200_001));
        assert_eq!((noon + Duration::from_secs(2)) - noon, Duration::from_secs(2));
        assert_eq!(noon - (noon + Duration::from_secs(2)), Duration::ZERO);
        assert_eq!(noon + Duration::MAX, Instant::from_millis(u64::MAX));
        assert_eq!((noon - Duration::from_secs(1), noon - Duration::MAX), (Instant::from_millis(43_199_000), Instant::default()));
    }
}
