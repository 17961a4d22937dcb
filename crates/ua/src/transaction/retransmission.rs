//! Timers A, E and G: when to retransmit, at intervals that double.

use std::time::Duration;

use super::Transport;
use crate::T1;
use crate::time::Instant;

/// Runs while something is retransmitted, which it is over unreliable transports only.
#[derive(Clone, Copy, Debug)]
pub struct Retransmission {
    at: Instant,
    interval: Duration,
}

impl Retransmission {
    /// First after T1. `None` over a reliable transport.
    pub fn start(now: Instant, transport: Transport) -> Option<Self> {
        (transport == Transport::Unreliable).then(|| Self { at: now + T1, interval: T1 })
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
