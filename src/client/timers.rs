//! Every timer of the client.

use offhook_ua::time::Instant;

use crate::client::call::CallId;

/// What becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Time-out of opening the WebSocket.
    Connect,
    /// When to try the next server.
    Reconnect,
    /// Time-out of the answers of servers that were asked what they are.
    Inquiry,
    /// When to send a keep-alive to the server.
    KeepAlive,
    /// Time-out of the answer to a keep-alive: the connection counts as lost.
    KeepAliveTimeout,
    /// When to refresh the registration.
    Register,
    /// When to tell the app that its ticket or token will expire.
    TokenWarning,
    /// When to see whether the server still accepts a ticket or token that has expired.
    TokenExpiry,
    /// Time-out of the server's word on new credentials.
    TokenUpdate,
    /// Time-out of the server's word on whether calls are received.
    Activation,
    /// UAC: when to end a call that cannot be placed.
    Fault(CallId),
    /// UAC: time-out of the first sign of the callee.
    ProgressTimeout(CallId),
    /// Time-out of the answer to the call.
    AnswerTimeout(CallId),
    /// UAC: when an INVITE that was sent again over a new connection, and not answered, begins a new transaction.
    NewTransaction(CallId),
    /// UAS: when to retransmit a 2xx or a reliable provisional response that was not acknowledged.
    Retransmit(CallId),
    /// When to refresh the session (RFC 4028).
    SessionRefresh(CallId),
    /// When a session that was not refreshed is over (RFC 4028).
    SessionExpiry(CallId),
    /// When to tell the app that the path of the media is lost, unless it is back by then.
    Interruption(CallId),
    /// When to look for a new path for the media.
    Path(CallId),
    /// Time-out of a media path that is lost: the call is over.
    MediaTimeout(CallId),
    /// When to offer again after offers have crossed (RFC 3261, 14.1).
    Glare(CallId),
    /// When to drop a call whose signalling never came to its end.
    Forget(CallId),
}

impl Timer {
    /// The call that it belongs to.
    pub const fn call(self) -> Option<CallId> {
        match self {
            Self::Connect
            | Self::Reconnect
            | Self::Inquiry
            | Self::KeepAlive
            | Self::KeepAliveTimeout
            | Self::Register
            | Self::TokenWarning
            | Self::TokenExpiry
            | Self::TokenUpdate
            | Self::Activation => None,
            Self::Fault(id)
            | Self::ProgressTimeout(id)
            | Self::AnswerTimeout(id)
            | Self::NewTransaction(id)
            | Self::Retransmit(id)
            | Self::SessionRefresh(id)
            | Self::SessionExpiry(id)
            | Self::Interruption(id)
            | Self::Path(id)
            | Self::MediaTimeout(id)
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
