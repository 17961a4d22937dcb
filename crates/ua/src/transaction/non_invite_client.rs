//! The non-INVITE client transaction (RFC 3261, 17.1.2).
//!
//! ```text
//!               │ request: send
//!               ▼
//!            Trying ── E: retransmit ──▶ Trying
//!               │ └─── F: timed out ───▶ Terminated
//!           1xx │
//!               ▼
//!          Proceeding ── E: retransmit, every T2 ──▶ Proceeding
//!               │ └───── F: timed out ─────────────▶ Terminated
//!      200..699 │ (also from Trying)
//!               ▼
//!           Completed ── any response: absorb ──▶ Completed
//!               │ K
//!               ▼
//!           Terminated
//! ```

use offhook_sip::StatusCode;

use super::retransmission::{Retransmission, earlier};
use super::{Fired, Response, Transport};
use crate::time::Instant;
use crate::{T2, T4, TIMEOUT};

/// One request of ours that is no INVITE.
#[derive(Clone, Copy, Debug)]
pub struct NonInviteClient {
    state: State,
    transport: Transport,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The request was sent, and has no response.
    Trying { e: Option<Retransmission>, f: Instant },
    /// A provisional response came; timer F goes on all the same (17.1.2.2).
    Proceeding { e: Option<Retransmission>, f: Instant },
    /// A final response came; its retransmissions are absorbed.
    Completed { k: Instant },
    /// Over.
    Terminated,
}

impl NonInviteClient {
    /// The request has been sent.
    pub fn new(now: Instant, transport: Transport) -> Self {
        let e = Retransmission::start(now, transport);
        Self { state: State::Trying { e, f: now + TIMEOUT }, transport }
    }

    /// A response came.
    pub fn receive(&mut self, now: Instant, code: StatusCode) -> Response {
        match self.state {
            State::Trying { mut e, f } | State::Proceeding { mut e, f } => {
                self.state = if code.is_provisional() {
                    e.iter_mut().for_each(|e| e.slow_down(T2));
                    State::Proceeding { e, f }
                } else if self.transport == Transport::Unreliable {
                    State::Completed { k: now + T4 }
                } else {
                    State::Terminated
                };
                Response::Pass
            }
            State::Completed { .. } | State::Terminated => Response::Absorb,
        }
    }

    /// The deadline has come.
    pub fn handle_timeout(&mut self, now: Instant) -> Fired {
        if let State::Trying { e: Some(e), f } | State::Proceeding { e: Some(e), f } = &mut self.state
            && now < *f
        {
            e.fired(now, Some(T2));
            return Fired::Retransmit;
        }
        match core::mem::replace(&mut self.state, State::Terminated) {
            State::Trying { .. } | State::Proceeding { .. } => Fired::TimedOut,
            State::Completed { .. } | State::Terminated => Fired::Ended,
        }
    }

    /// When the next timer fires.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { e, f } | State::Proceeding { e, f } => Some(earlier(e, f)),
            State::Completed { k } => Some(k),
            State::Terminated => None,
        }
    }

    /// Whether no final response has come.
    pub const fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    /// Whether it is over.
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}
