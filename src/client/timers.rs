//! Every timer of the client.

use offhook_ua::time::Instant;

use crate::client::call::CallId;

/// What becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// When to give up opening the WebSocket.
    Connect,
    /// When to try the next server.
    Reconnect,
    /// When to ask the server for a sign of life.
    KeepAlive,
    /// When a server that was asked counts as dead.
    Silence,
    /// When to refresh the registration.
    Refresh,
    /// When to tell the app that its ticket or token will run out.
    TokenWarning,
    /// When to see whether the server still takes a ticket or token that has run out.
    TokenEnd,
    /// When to tell the app that its call cannot be placed.
    Refuse(CallId),
    /// When a caller gives up waiting for the first sign of the callee.
    Progress(CallId),
    /// When it has rung long enough.
    Answer(CallId),
    /// When an INVITE that was said again over a new connection, and not answered, begins a new transaction.
    Again(CallId),
    /// When to retransmit a 2xx or a reliable provisional response that was not acknowledged.
    Retransmit(CallId),
    /// When to refresh the session (RFC 4028).
    SessionRefresh(CallId),
    /// When a session that nobody refreshed is over.
    SessionEnd(CallId),
    /// When to look for a new path for the media.
    Path(CallId),
    /// When a call whose media never came back is over.
    PathLost(CallId),
    /// When to offer again after both sides did at once (RFC 3261, 14.1).
    Glare(CallId),
    /// When to forget a call whose signalling never came to its end.
    Forget(CallId),
}

impl Timer {
    /// The call that it belongs to.
    pub const fn call(self) -> Option<CallId> {
        match self {
            Self::Connect
            | Self::Reconnect
            | Self::KeepAlive
            | Self::Silence
            | Self::Refresh
            | Self::TokenWarning
            | Self::TokenEnd => None,
            Self::Refuse(id)
            | Self::Progress(id)
            | Self::Answer(id)
            | Self::Again(id)
            | Self::Retransmit(id)
            | Self::SessionRefresh(id)
            | Self::SessionEnd(id)
            | Self::Path(id)
            | Self::PathLost(id)
            | Self::Glare(id)
            | Self::Forget(id) => Some(id),
        }
    }
}

/// The timers that run: each at most once.
#[derive(Default)]
pub struct Timers {
    running: Vec<(Instant, Timer)>,
}

impl Timers {
    /// Starts a timer, or moves it.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        self.running.push((at, timer));
    }

    /// Stops a timer.
    pub fn stop(&mut self, timer: Timer) {
        self.running.retain(|(_, running)| *running != timer);
    }

    /// Stops all timers of a call.
    pub fn stop_call(&mut self, id: CallId) {
        self.running.retain(|(_, running)| running.call() != Some(id));
    }

    /// Whether a timer runs.
    pub fn runs(&self, timer: Timer) -> bool {
        self.running.iter().any(|(_, running)| *running == timer)
    }

    /// Takes out the timer that was due first, if one is due.
    pub fn due(&mut self, now: Instant) -> Option<Timer> {
        let next = self.next().filter(|next| *next <= now)?;
        let position = self.running.iter().position(|(at, _)| *at == next)?;
        Some(self.running.remove(position).1)
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.running.iter().map(|(at, _)| *at).min()
    }
}
