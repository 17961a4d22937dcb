//! Inputs and outputs of the B2BUA: values only.

use offhook_ledger::{Answer, CallRef, Query};
use offhook_media::{Command, Event};
use offhook_trunk as trunk;

use crate::Emergency;

/// What the operator has set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SIP domain of the gateway.
    pub domain: String,
    /// The most calls at once that are not to test numbers; emergency calls may be [`RESERVE`] more.
    pub calls: usize,
    /// The most calls at once to test numbers; of one application at most half of these, of one user a tenth, and one in any case.
    pub test_calls: usize,
    /// Which calls are emergency calls, and where they go.
    pub emergency: Emergency,
}

/// Emergency calls beyond the most calls at once: enough for those in need, too few to be an attack.
pub const RESERVE: usize = 16;

/// One question whose number was called; never used twice.
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

/// What happens to the B2BUA.
#[derive(Clone, Debug)]
pub enum Input {
    /// The switch has sent a message.
    FromSwitch {
        /// Key of the application.
        application: String,
        /// One SIP message.
        text: String,
    },
    /// Something happened to the trunks.
    Trunk(trunk::Input),
    /// An event of the media.
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

/// What has to be done for the B2BUA, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send this message to the switch.
    ToSwitch {
        /// Key of the application.
        application: String,
        /// One SIP message.
        text: String,
    },
    /// Do this for the trunks; never [`trunk::Output::Event`].
    Trunk(trunk::Output),
    /// Do this to the media.
    Media(Command),
    /// Ask or tell the ledger.
    Ledger(Query),
    /// Whose number is this? Answered by [`Input::Mapped`].
    Map {
        /// The question.
        query: MapId,
        /// Who may be called, the likeliest first and never empty: numbers, with or without `+`. The last one may be a user id.
        called: Vec<String>,
    },
}
