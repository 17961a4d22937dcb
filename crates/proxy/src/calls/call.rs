//! A call as the proxy sees it, from the INVITE to the BYE.
//!
//! ```text
//!            INVITE               known, no device             a device came
//!   (none) ─────────▶ Looking ───────────────────▶ Holding ─────────────────┐
//!                     │  │ known, devices                                   ▼
//!                     │  └───────────────────────────────────────────────▶ Ringing ── 2xx ──▶ Answered ── BYE ──▶ Over
//!              unknown│           time, CANCEL         6xx, CANCEL │          │                  ▲
//!                     └────────────▶ Over ◀───── all settled ── Stopping ◀────┘ ── 2xx ──────────┘
//! ```
//!
//! An Over call stays until no late 2xx can come any more.

use std::borrow::Cow;

use offhook_sip::OwnedMessage;
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, ServerKey};

use super::best::Best;
use crate::party::{Aor, Flow, Party};
use crate::registrar::Device;
use crate::rewrite::Head;

/// One call; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallKey(pub(super) u64);

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The store is asked whether there is such a user.
    Looking,
    /// The user has no device; one may come.
    Holding,
    /// Devices have the INVITE.
    Ringing,
    /// The devices were told to stop; the caller gets this status when they have.
    Stopping,
    /// A device has answered.
    Answered,
    /// The caller has a final answer, or a BYE went through.
    Over,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) stage: Stage,
    pub(super) call_id: String,
    pub(super) caller: Party,
    pub(super) callee: Party,
    /// Who the caller is to the callee ([`super::limits::source`]).
    pub(super) source: Option<String>,
    /// Where the caller is.
    pub(super) flow: Flow,
    /// Where the device is that answered.
    pub(super) answered: Option<Flow>,
    /// When it answered.
    pub(super) connected: Option<Instant>,
    /// Whose page was closed in the middle of it.
    pub(super) left: Option<Aor>,
    /// The caller's request, until no answer to it can come any more.
    pub(super) setup: Option<Setup>,
}

/// What is needed to set a call up.
#[derive(Debug)]
pub(super) struct Setup {
    /// The caller's transaction.
    pub(super) key: ServerKey,
    /// The To tag of our own responses to it.
    pub(super) tag: String,
    /// The caller's INVITE; `None` once no further device gets it.
    pub(super) invite: Option<OwnedMessage>,
    pub(super) head: Head,
    /// Our Record-Route.
    pub(super) route: String,
    pub(super) branches: Vec<Branch>,
    pub(super) best: Best,
    /// Whether the caller has taken it back.
    pub(super) cancelled: bool,
    /// Why devices are told to stop (RFC 3326).
    pub(super) reason: Option<Cow<'static, str>>,
}

/// The INVITE to one device.
#[derive(Debug)]
pub(super) struct Branch {
    /// The device; `None`: the back-to-back user agent.
    pub(super) device: Option<Device>,
    pub(super) flow: Flow,
    pub(super) key: ClientKey,
    pub(super) progress: Progress,
    /// Whether it was told to stop, or will be as soon as it may (RFC 3261, 9.1).
    pub(super) stopped: bool,
}

/// How far a device is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has not answered this INVITE yet.
    Calling(String),
    /// A provisional answer came.
    Proceeding,
    /// A final answer came, or none will.
    Done,
}

impl Call {
    /// Whether it counts as a call: neither side has ended it.
    pub(super) fn is_live(&self) -> bool {
        self.stage != Stage::Over
    }

    /// No further device gets the INVITE: it, the largest part of a call, need not wait for late answers with the rest.
    pub(super) fn drop_invite(&mut self) {
        if let Some(setup) = self.setup.as_mut() {
            setup.invite = None;
        }
    }

    /// Whether it rings or waits: neither answered nor over.
    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Looking | Stage::Holding | Stage::Ringing | Stage::Stopping)
    }

    /// Whether another device may still be asked.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Holding | Stage::Ringing)
    }
}
