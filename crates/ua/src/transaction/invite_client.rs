//! The INVITE client transaction (RFC 3261, 17.1.1; RFC 6026, 7.2).
//!
//! ```text
//!                  │ INVITE: send
//!                  ▼
//!      ┌─────── Calling ── A: retransmit ──▶ Calling
//!      │           │ └──── B: timed out ───▶ Terminated
//!      │       1xx │
//!      │           ▼
//!      │      Proceeding ── 1xx ──▶ Proceeding
//!      │           │
//!      ├───────────┴──────────────────┐
//!  2xx │                     300..699 │ ACK
//!      ▼                              ▼
//!   Accepted ── 2xx ──▶ Accepted   Completed ── 300..699: ACK ──▶ Completed
//!      │ M                            │ D
//!      └────────▶ Terminated ◀────────┘
//! ```

use offhook_sip::StatusCode;

use super::retransmission::{Retransmission, earlier};
use super::{Fired, Response, Transport};
use crate::TIMEOUT;
use crate::time::Instant;

/// One INVITE of ours.
#[derive(Clone, Copy, Debug)]
pub struct InviteClient {
    state: State,
    transport: Transport,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The INVITE was sent, and has no response.
    Calling { a: Option<Retransmission>, b: Instant },
    /// A provisional response came: it may ring for as long as it likes.
    Proceeding,
    /// A failure came; its retransmissions are acknowledged.
    Completed { d: Instant },
    /// A 2xx came; its retransmissions and those of other forks are passed on.
    Accepted { m: Instant },
    /// Over.
    Terminated,
}

impl InviteClient {
    /// The INVITE has been sent.
    pub fn new(now: Instant, transport: Transport) -> Self {
        let a = Retransmission::start(now, transport);
        Self { state: State::Calling { a, b: now + TIMEOUT }, transport }
    }

    /// A response came.
    pub fn receive(&mut self, now: Instant, code: StatusCode) -> Response {
        match self.state {
            State::Calling { .. } | State::Proceeding => {
                self.state = if code.is_provisional() {
                    State::Proceeding
                } else if code.is_success() {
                    State::Accepted { m: now + TIMEOUT }
                } else if self.transport == Transport::Unreliable {
                    State::Completed { d: now + TIMEOUT }
                } else {
                    State::Terminated
                };
                if code.is_failure() { Response::PassAndAcknowledge } else { Response::Pass }
            }
            State::Completed { .. } if code.is_failure() => Response::Acknowledge,
            State::Accepted { .. } if code.is_success() => Response::Pass,
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => Response::Absorb,
        }
    }

    /// The deadline has come.
    pub fn handle_timeout(&mut self, now: Instant) -> Fired {
        if let State::Calling { a: Some(a), b } = &mut self.state
            && now < *b
        {
            // Timer A doubles without bound (17.1.1.2).
            a.fired(now, None);
            return Fired::Retransmit;
        }
        match core::mem::replace(&mut self.state, State::Terminated) {
            State::Calling { .. } => Fired::TimedOut,
            _ => Fired::Ended,
        }
    }

    /// When the next timer fires.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Calling { a, b } => Some(earlier(a, b)),
            State::Completed { d } => Some(d),
            State::Accepted { m } => Some(m),
            State::Proceeding | State::Terminated => None,
        }
    }

    /// Whether a provisional response has come, and no final one: only then may the INVITE be cancelled (9.1).
    pub const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding)
    }

    /// What it was sent over.
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether no final response has come.
    pub const fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding)
    }

    /// Whether something may have to be sent once more: the INVITE, or the ACK to its failure.
    pub const fn may_retransmit(&self) -> bool {
        !matches!(self.state, State::Accepted { .. } | State::Terminated)
    }

    /// Whether it is over.
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}
