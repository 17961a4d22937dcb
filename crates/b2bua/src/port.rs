//! What goes into the bridge and what comes out: values only.

use std::time::Duration;

use offhook_ledger::{Answer, CallRef, Query};
use offhook_media::{Command, Event, Traffic};
use offhook_sip::StatusCode;
use offhook_trunk as trunk;

use crate::Emergency;

/// What the operator has set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SIP domain of the gateway.
    pub domain: String,
    /// The most calls at once that are not to test numbers; calls for help may be [`RESERVE`] more.
    pub calls: usize,
    /// The most calls at once to test numbers; of one application at most half of these, of one user a tenth, and one in any case.
    pub test_calls: usize,
    /// Where calls for help go.
    pub emergency: Emergency,
}

/// Calls for help beyond the most calls at once: enough for those in need, too few to be an attack.
pub const RESERVE: usize = 16;

/// One question whose number it is; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MapId(pub u64);

/// Whom a call from outside is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callee {
    /// Application key.
    pub application: String,
    /// User id.
    pub user: String,
}

/// What happens to the bridge.
#[derive(Clone, Debug)]
pub enum Input {
    /// The switch has sent a message out.
    Page {
        /// Key of the application.
        application: String,
        /// One SIP message.
        text: String,
    },
    /// Something happened to the trunks.
    Trunk(trunk::Input),
    /// The media tell something.
    Media(Event),
    /// The ledger has answered.
    Ledger {
        /// The call.
        call: CallRef,
        /// What it says.
        answer: Answer,
    },
    /// The answer to [`Output::Map`].
    Mapped {
        /// The question.
        query: MapId,
        /// `None`: nobody has this number.
        callee: Option<Callee>,
    },
    /// The deadline has come.
    Timeout,
    /// Take no new calls.
    Drain,
    /// End all calls, and take back what was registered.
    Stop,
}

/// What has to be done for the bridge, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Say this to the switch.
    Page {
        /// Key of the application.
        application: String,
        /// One SIP message.
        text: String,
    },
    /// Do this for the trunks; never an event of theirs.
    Trunk(trunk::Output),
    /// Do this to the media.
    Media(Command),
    /// Ask or tell the ledger.
    Ledger(Query),
    /// Whose number is this? Answered by [`Input::Mapped`].
    Map {
        /// The question.
        query: MapId,
        /// The user part that was called: a number, with or without `+`, or a user id.
        called: String,
    },
    /// Something to log and count.
    Record(Record),
}

/// What is worth a log line or a metric. Never holds a secret or SDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A call was put on a trunk.
    Dialled {
        /// SIP Call-ID of the page's side.
        call_id: String,
        /// The trunk.
        trunk: String,
    },
    /// A trunk did not take it; the next one is tried, if there is one.
    Passed {
        /// SIP Call-ID of the page's side.
        call_id: String,
        /// The trunk.
        trunk: String,
        /// The SIP status; 408 for silence.
        code: StatusCode,
    },
    /// A call is over.
    Ended {
        /// SIP Call-ID of the page's side.
        call_id: String,
        /// The trunk; empty where there was none.
        trunk: String,
        /// In a word, as in the ledger.
        cause: &'static str,
        /// The SIP status.
        code: StatusCode,
        /// From the answer to the end; zero where it was not answered.
        duration: Duration,
    },
    /// What went over it.
    Traffic {
        /// The session of the media.
        session: u64,
        /// Packets.
        traffic: Traffic,
    },
}
