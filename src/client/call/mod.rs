//! The call as an app sees it: with whom, its state, how it ended and why. Values only; the state machine is `client::session`.

mod destination;
mod error;

pub use destination::{Destination, check_headers, header_name};
pub use error::{Error, ErrorResponse};

use offhook_ua::time::Instant;

/// The id of a call within one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u32);

/// A call, as an app sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct CallInfo {
    /// Its id within the client.
    pub id: CallId,
    /// The SIP Call-ID: a UUID that the caller has created.
    pub call_id: String,
    /// Whether this client called.
    pub outgoing: bool,
    /// The kind of the remote party.
    pub domain: Domain,
    /// The caller: user, number, or SIP address.
    pub from_id: String,
    /// The callee: user, number, SIP address, or room.
    pub to_id: String,
    /// The name the caller shows, empty where there is none.
    pub display_name: String,
    /// Headers of the app, in order.
    pub headers: Vec<(String, String)>,
    /// Its state.
    pub state: State,
    /// How it ended.
    pub end_cause: EndCause,
    /// When it began to ring.
    pub progressing: Option<Instant>,
    /// When it was answered.
    pub established: Option<Instant>,
    /// When it ended.
    pub ended: Option<Instant>,
    /// Why it failed.
    pub error: Option<Error>,
    /// Whether the app muted it.
    pub muted: bool,
    /// Whether it has video.
    pub video: bool,
}

/// The kind of the remote party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// A user of the same server.
    Data,
    /// A phone number.
    Pstn,
    /// A conference room.
    Conference,
    /// A SIP address.
    Sip,
}

impl Domain {
    /// The value of `callDomain` in the original SDK.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Pstn => "pstn",
            Self::Conference => "conference",
            Self::Sip => "sip",
        }
    }
}

/// The state of a call. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The remote party has not responded yet.
    Initiating = 0,
    /// It rings.
    Progressing = 1,
    /// It was answered.
    Established = 2,
    /// It is over.
    Ended = 3,
}

impl State {
    /// The result of `getState()`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initiating => "INITIATING",
            Self::Progressing => "PROGRESSING",
            Self::Established => "ESTABLISHED",
            Self::Ended => "ENDED",
        }
    }
}

/// How a call ended. The first cause is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// It has not.
    None = 0,
    /// No device of the callee reacted.
    Timeout = 1,
    /// Declined or busy.
    Denied = 2,
    /// It rang, and was not answered in time.
    NoAnswer = 3,
    /// Rejected by a server, or broken: see the error.
    Failure = 4,
    /// Ended after it was answered, by either party.
    HungUp = 5,
    /// The caller hung up before the answer.
    Canceled = 6,
    /// Answered on another device of the same user.
    OtherDeviceAnswered = 7,
}

impl EndCause {
    /// The result of `getEndCause()`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Timeout => "TIMEOUT",
            Self::Denied => "DENIED",
            Self::NoAnswer => "NO_ANSWER",
            Self::Failure => "FAILURE",
            Self::HungUp => "HUNG_UP",
            Self::Canceled => "CANCELED",
            Self::OtherDeviceAnswered => "OTHER_DEVICE_ANSWERED",
        }
    }
}
