//! The non-INVITE server transaction (RFC 3261, 17.2.2).
//!
//! ```text
//!           │ request: pass on
//!           ▼
//!        Trying ── request: absorb ──▶ Trying
//!           │
//!       1xx │ send
//!           ▼
//!      Proceeding ── request: send the last 1xx again ──▶ Proceeding
//!           │   └─── 1xx: send ─────────────────────────▶ Proceeding
//!  200..699 │ send (also from Trying)
//!           ▼
//!      Completed ── request: send the final response again ──▶ Completed
//!           │ J
//!           ▼
//!      Terminated
//! ```

use offhook_sip::StatusCode;

use super::{Fired, Transport};
use crate::time::Instant;
use crate::{T4, TIMEOUT};

/// One request that came and is neither INVITE nor ACK.
#[derive(Clone, Copy, Debug)]
pub struct NonInviteServer {
    state: State,
    transport: Transport,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing has been sent.
    Trying,
    /// A provisional response was sent.
    Proceeding,
    /// The final response was sent.
    Completed { j: Instant },
    /// Over.
    Terminated,
}

impl NonInviteServer {
    /// The request is new.
    pub const fn new(transport: Transport) -> Self {
        Self { state: State::Trying, transport }
    }

    /// Whether a response is to be sent: none is after a final one.
    pub fn respond(&mut self, now: Instant, code: StatusCode) -> bool {
        if !matches!(self.state, State::Trying | State::Proceeding) {
            return false;
        }
        self.state = if code.is_provisional() {
            State::Proceeding
        } else {
            // Timer J would be 0 over a reliable transport. A request that comes again over a new connection is acted on once.
            State::Completed { j: now + if self.transport == Transport::Unreliable { TIMEOUT } else { T4 } }
        };
        true
    }

    /// Whether the last response is sent again where the request comes again.
    pub const fn answers_retransmission(&self) -> bool {
        matches!(self.state, State::Proceeding | State::Completed { .. })
    }

    /// The deadline has come.
    pub const fn handle_timeout(&mut self) -> Fired {
        self.state = State::Terminated;
        Fired::Ended
    }

    /// When the next timer fires.
    pub const fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Completed { j } => Some(j),
            State::Trying | State::Proceeding | State::Terminated => None,
        }
    }
}
