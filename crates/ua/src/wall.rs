//! The wall clock beside the clock of the machines. Machines are driven by one that only goes on: what lasts is measured by it. The wall
//! clock may be put ahead or back at any time; it is asked only where a date is shown, or judged.

use crate::time::Instant;

/// How far the wall clock is ahead of the machines' clock, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wall(i64);

impl Wall {
    /// The wall clock shows `date` where the machines have `now`.
    #[must_use]
    pub const fn new(now: Instant, date: Instant) -> Self {
        Self(date.millis().wrapping_sub(now.millis()).cast_signed())
    }

    /// What the wall clock shows at `moment`.
    #[must_use]
    pub const fn date(self, moment: Instant) -> Instant {
        Instant::from_millis(moment.millis().saturating_add_signed(self.0))
    }

    /// When the wall clock will show `date`, unless it is put ahead or back before.
    #[must_use]
    pub const fn moment(self, date: Instant) -> Instant {
        Instant::from_millis(date.millis().saturating_add_signed(self.0.saturating_neg()))
    }

    /// By how many milliseconds it was put ahead (or, less than 0, back) since it was as `before`.
    #[must_use]
    pub const fn step(self, before: Self) -> i64 {
        self.0.saturating_sub(before.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
