//! The wall clock beside the monotonic clock of the state machines, which measures durations. The wall clock may be set ahead or back at any
//! time; it is read only where a date is shown or checked.

use crate::time::Instant;

/// How far the wall clock is ahead of the monotonic clock, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wall(i64);

impl Wall {
    /// Returns the one that shows `date` at `now`.
    #[must_use]
    pub const fn new(now: Instant, date: Instant) -> Self {
        Self(date.millis().wrapping_sub(now.millis()).cast_signed())
    }

    /// Returns what the wall clock shows at `moment`.
    #[must_use]
    pub const fn date(self, moment: Instant) -> Instant {
        Instant::from_millis(moment.millis().saturating_add_signed(self.0))
    }

    /// Returns when the wall clock will show `date`, unless it is set before.
    #[must_use]
    pub const fn moment(self, date: Instant) -> Instant {
        Instant::from_millis(date.millis().saturating_add_signed(self.0.saturating_neg()))
    }

    /// Returns by how many milliseconds it was set ahead (or, less than 0, back) since `before`.
    #[must_use]
    pub const fn step(self, before: Self) -> i64 {
        self.0.saturating_sub(before.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn dates_and_moments_go_there_and_back() {
        let at = Instant::from_millis;
        for (now, date) in [(5, 5), (1_000, 3_601_000), (3_601_000, 1_000), (0, u64::MAX / 2)] {
            let wall = Wall::new(at(now), at(date));
            assert_eq!((wall.date(at(now)), wall.moment(at(date))), (at(date), at(now)));
            assert_eq!(wall.step(Wall::default()), date.cast_signed() - now.cast_signed());
        }
        assert_eq!(Wall::new(at(10), at(0)).date(at(5)), at(0), "before 1970 there is nothing");
    }
}
