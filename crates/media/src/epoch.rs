//! Conversion between the instants of the standard library, which str0m uses, and those of the gateway.

use std::time::Duration;

use offhook_ua::time::Instant;

/// An instant of the standard library.
#[expect(clippy::disallowed_types, reason = "str0m takes and gives these; no clock is read for them here")]
pub type Moment = std::time::Instant;

/// The largest difference; anything further away counts as never.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// The instant of the gateway.
    pub gateway: Instant,
    /// The instant of the standard library.
    pub std: Moment,
}

impl Epoch {
    /// Converts an instant of the gateway.
    #[must_use]
    pub fn moment(&self, now: Instant) -> Moment {
        self.std + (now - self.gateway)
    }

    /// Converts an instant of the standard library, rounded up; `None` for one that is too far away.
    #[must_use]
    pub fn instant(&self, now: Instant, moment: Moment) -> Option<Instant> {
        let wait = moment.saturating_duration_since(self.moment(now));
        (wait < NEVER).then(|| now + Duration::from_millis(u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(0)))
    }
}
