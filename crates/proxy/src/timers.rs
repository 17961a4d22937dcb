//! All timers of the proxy, and what time it is.

use std::time::Duration;

use offhook_ua::time::Instant;
use offhook_ua::timers::Timers;

use super::calls::CallKey;
use super::in_dialog::{ForwardKey, HeldKey};
use super::party::Aor;
use super::{ConnId, QueryId};

/// Names a timer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// When to close a connection that has shown no identity.
    Login(ConnId),
    /// When what a connection has shown for its identity ends.
    Proof(ConnId),
    /// Time-out of a question to the store.
    Query(QueryId),
    /// When to tell the caller that no device of the callee has come.
    Hold(CallKey),
    /// When to stop one device from ringing (Timer C, RFC 3261, 16.6).
    Branch(CallKey, usize),
    /// When to answer the caller although a device has not answered its CANCEL.
    GiveUp(CallKey),
    /// When no late answer of a device can come any more.
    Linger(CallKey),
    /// Time-out of a re-INVITE that was passed on; after its 2xx: when no retransmission of that can come any more.
    Forward(ForwardKey),
    /// When to refuse a request whose receiver has not come back.
    Held(HeldKey),
    /// When to give up what was to be sent over a lost connection.
    Lost(ConnId),
    /// When to forget which connection followed a lost one.
    Moved(ConnId),
    /// When the next registration of a user runs out.
    Bindings(Aor),
    /// When to look for answered calls that both sides have left without a BYE.
    Sweep,
}

/// What time it is, and the timers that run.
#[derive(Debug, Default)]
pub(super) struct Clock {
    pub(super) now: Instant,
    timers: Timers<Timer>,
}

impl Clock {
    /// Starts a timer that fires after `wait`, or moves it.
    pub(super) fn set(&mut self, timer: Timer, wait: Duration) {
        self.timers.set(timer, self.now + wait);
    }

    /// Starts a timer that fires at `at`, or moves it.
    pub(super) fn set_at(&mut self, timer: Timer, at: Instant) {
        self.timers.set(timer, at);
    }

    /// Starts a timer that fires after `wait`, unless it runs.
    pub(super) fn start(&mut self, timer: Timer, wait: Duration) {
        self.timers.start(timer, self.now + wait);
    }

    /// Stops a timer.
    pub(super) fn clear(&mut self, timer: &Timer) {
        self.timers.clear(timer);
    }

    /// The next timer that is due.
    pub(super) fn pop(&mut self) -> Option<Timer> {
        self.timers.pop(self.now)
    }

    /// When the next timer is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// How many run.
    pub(super) fn len(&self) -> usize {
        self.timers.len()
    }
}
