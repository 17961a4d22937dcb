//! str0m tells time by the standard library's instants, the gateway by its own: one pair of both, taken once, translates.

use std::time::Duration;

use offhook_ua::time::Instant;

/// A moment of the standard library's clock.
#[expect(clippy::disallowed_types, reason = "str0m takes and gives these; no clock is read for them here")]
pub type Moment = std::time::Instant;

/// Further away than this is never.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// On ours.
    pub ours: Instant,
    /// On the standard library's.
    pub theirs: Moment,
}

impl Epoch {
    /// Ours as theirs.
    #[must_use]
    pub fn moment(&self, now: Instant) -> Moment {
        self.theirs + (now - self.ours)
    }

    /// Theirs as ours, rounded up; `None`: too far away to matter.
    #[must_use]
    pub fn instant(&self, now: Instant, moment: Moment) -> Option<Instant> {
        let wait = moment.saturating_duration_since(self.moment(now));
        (wait < NEVER).then(|| now + Duration::from_millis(u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(0)))
    }
}
