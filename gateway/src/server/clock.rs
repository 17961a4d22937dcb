//! The one clock of the gateway.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use offhook::time::Instant;

/// Milliseconds since 1970 that never go back. A step of the system clock forwards (a suspended machine, a first time
/// synchronisation) is followed, because tickets carry dates; a step backwards is not, because timers must go on.
#[derive(Debug)]
pub struct Clock {
    start: tokio::time::Instant,
    /// What to add to the milliseconds since `start`; only grows.
    offset: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: tokio::time::Instant::now(), offset: AtomicU64::new(system_millis()) }
    }
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        let elapsed = self.elapsed();
        let behind = system_millis().saturating_sub(elapsed);
        let offset = self.offset.fetch_max(behind, Ordering::Relaxed).max(behind);
        Instant::from_millis(elapsed + offset)
    }

    /// When tokio has to wake whoever waits for `instant`.
    #[must_use]
    pub fn wake_at(&self, instant: Instant) -> tokio::time::Instant {
        tokio::time::Instant::now() + std::time::Duration::from_millis(instant - self.now())
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[expect(clippy::disallowed_types, reason = "the gateway reads the system clock here and nowhere else")]
fn system_millis() -> u64 {
    // Before 1970 there is no sensible answer, and only a broken machine asks.
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
