//! Instants in milliseconds. The core reads no clock: whoever drives it says what time it is.

use core::ops::{Add, Sub};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, on a clock that never goes back.
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
}

impl Add<u64> for Instant {
    type Output = Self;

    /// `millis` milliseconds later.
    fn add(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl Sub for Instant {
    type Output = u64;

    /// Milliseconds from `earlier` to here; 0 where `earlier` is later.
    fn sub(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
