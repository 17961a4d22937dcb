//! The clocks of the gateway; nothing else reads a clock.

use std::time::UNIX_EPOCH;

use offhook_ua::time::Instant;
use offhook_ua::wall::Wall;

/// The clock by which everything lasts: calls, bills, timers, registrations. It is `CLOCK_MONOTONIC`, by which the runtime sleeps, too: no
/// step of the wall clock moves it. While the machine is suspended it stands: nobody can talk through a gateway that does not run, so
/// nothing is billed for that time and nothing has run out meanwhile. Dates are those of the wall clock, which is
/// read whenever one is needed, and so is right at once after a step or a suspension.
#[derive(Debug)]
pub struct Clock {
    start: tokio::time::Instant,
    /// The time at `start`.
    epoch: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self::starting_at(date())
    }
}

impl Clock {
    /// Returns a clock that is at `epoch` now.
    #[must_use]
    pub fn starting_at(epoch: Instant) -> Self {
        Self { start: tokio::time::Instant::now(), epoch }
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.epoch + self.start.elapsed()
    }

    /// Returns the time of the wall clock.
    #[must_use]
    pub fn date(&self) -> Instant {
        self.wall().date(self.now())
    }

    /// Returns the difference to the wall clock.
    #[must_use]
    pub fn wall(&self) -> Wall {
        Wall::new(self.now(), date())
    }

    /// Returns the instant for tokio's timers.
    #[must_use]
    pub fn wake_at(&self, instant: Instant) -> tokio::time::Instant {
        tokio::time::Instant::now() + (instant - self.now())
    }
}

#[expect(clippy::disallowed_types, reason = "the gateway reads the system clock here and nowhere else")]
fn date() -> Instant {
    // Before 1970 there is no valid time, and only a broken machine is there.
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    Instant::from_millis(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}
