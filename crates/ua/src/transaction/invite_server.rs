//! The INVITE server transaction (RFC 3261, 17.2.1; RFC 6026, 7.1).
//!
//! ```text
//!                    │ INVITE: pass on
//!                    ▼
//!               Proceeding ── INVITE: send the last 1xx again ──▶ Proceeding
//!                    │   └─── 1xx: send ────────────────────────▶ Proceeding
//!         ┌──────────┴─────────────┐
//!     2xx │ send          300..699 │ send
//!         ▼                        ▼
//!     Accepted                 Completed ── INVITE, G: send the failure again ──▶ Completed
//!      │  └─ INVITE: absorb        │ └───── H: not acknowledged ────────────────▶ Terminated
//!      │     ACK: pass on      ACK │
//!      │                           ▼
//!      │ L                     Confirmed ── INVITE, ACK: absorb ──▶ Confirmed
//!      │                           │ I
//!      └──────▶ Terminated ◀───────┘
//! ```

use offhook_sip::StatusCode;

use super::retransmission::{Retransmission, earlier};
use super::{Fired, Transport};
use crate::time::Instant;
use crate::{T2, T4, TIMEOUT};

/// One INVITE that came.
#[derive(Clone, Copy, Debug)]
pub struct InviteServer {
    state: State,
    transport: Transport,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No final response has been sent.
    Proceeding,
    /// A failure was sent, which is not acknowledged.
    Completed { g: Option<Retransmission>, h: Instant },
    /// The failure was acknowledged; other ACKs are absorbed.
    Confirmed { i: Instant },
    /// A 2xx was sent. Its sender retransmits it, not this transaction (RFC 6026, 7.1).
    Accepted { l: Instant },
    /// Over.
    Terminated,
}

impl InviteServer {
    /// The INVITE is new.
    pub const fn new(transport: Transport) -> Self {
        Self { state: State::Proceeding, transport }
    }

    /// Whether a response is to be sent: none is after a final one.
    pub fn respond(&mut self, now: Instant, code: StatusCode) -> bool {
        if !matches!(self.state, State::Proceeding) {
            return false;
        }
        if code.is_success() {
            self.state = State::Accepted { l: now + TIMEOUT };
        } else if code.is_failure() {
            self.state = State::Completed { g: Retransmission::start(now, self.transport), h: now + TIMEOUT };
        }
        true
    }

    /// Whether the last response is sent again where the INVITE comes again.
    pub const fn answers_retransmission(&self) -> bool {
        matches!(self.state, State::Proceeding | State::Completed { .. })
    }

    /// An ACK came: whether it acknowledges a 2xx, and so is none of this transaction's.
    pub fn acknowledge(&mut self, now: Instant) -> bool {
        if let State::Completed { .. } = self.state {
            // Timer I would be 0 over a reliable transport. Over a new connection an ACK may come twice there, too.
            self.state = State::Confirmed { i: now + T4 };
        }
        matches!(self.state, State::Accepted { .. })
    }

    /// The deadline has come.
    pub fn handle_timeout(&mut self, now: Instant) -> Fired {
        if let State::Completed { g: Some(g), h } = &mut self.state
            && now < *h
        {
            g.fired(now, Some(T2));
            return Fired::Retransmit;
        }
        match core::mem::replace(&mut self.state, State::Terminated) {
            State::Completed { .. } => Fired::NotAcknowledged,
            _ => Fired::Ended,
        }
    }

    /// When the next timer fires.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Completed { g, h } => Some(earlier(g, h)),
            State::Confirmed { i } => Some(i),
            State::Accepted { l } => Some(l),
            State::Proceeding | State::Terminated => None,
        }
    }

    /// Whether a failure was sent that is not acknowledged.
    pub const fn awaits_ack(&self) -> bool {
        matches!(self.state, State::Completed { .. })
    }
}
