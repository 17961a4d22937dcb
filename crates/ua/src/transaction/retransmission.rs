//! Timers A, E and G, and those of reliable responses: when to retransmit, at intervals that double.

use std::time::Duration;

use super::Transport;
use crate::T1;
use crate::time::Instant;

/// Runs while something is retransmitted.
#[derive(Clone, Copy, Debug)]
pub struct Retransmission {
    at: Instant,
    interval: Duration,
}

impl Retransmission {
    /// The first one follows after T1.
    pub fn new(now: Instant) -> Self {
        Self { at: now + T1, interval: T1 }
    }

    /// The same over an unreliable transport; `None` over a reliable one.
    pub fn start(now: Instant, transport: Transport) -> Option<Self> {
        (transport == Transport::Unreliable).then(|| Self::new(now))
    }

    /// When to retransmit next.
    pub const fn at(self) -> Instant {
        self.at
    }

    /// The next one follows after twice the interval, or after `longest`.
    pub fn fired(&mut self, now: Instant, longest: Option<Duration>) {
        self.interval *= 2;
        if let Some(longest) = longest {
            self.interval = self.interval.min(longest);
        }
        self.at = now + self.interval;
    }

    /// The next interval after the one that runs is `interval`.
    pub const fn slow_down(&mut self, interval: Duration) {
        self.interval = interval;
    }
}

/// The earlier of the next retransmission, if there is one, and the `end` of the state.
pub fn earlier(retransmission: Option<Retransmission>, end: Instant) -> Instant {
    retransmission.map_or(end, |retransmission| retransmission.at().min(end))
}
