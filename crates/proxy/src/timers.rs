//! All timers of the switch.

use super::call::CallKey;
use super::dialog::{ForwardKey, HeldKey};
use super::party::Aor;
use super::{ConnId, QueryId};

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// When to close a connection that has shown no identity.
    Login(ConnId),
    /// When what a connection has shown for its identity ends.
    Proof(ConnId),
    /// When to stop waiting for the store.
    Query(QueryId),
    /// When to tell the caller that no device of the callee has come.
    Hold(CallKey),
    /// When to stop one device from ringing (Timer C, RFC 3261, 16.6).
    Branch(CallKey, usize),
    /// When to answer the caller although a device has not answered its CANCEL.
    GiveUp(CallKey),
    /// When no late answer of a device can come any more.
    Linger(CallKey),
    /// When a forwarded INVITE has taken too long, or no late answer to it can come any more.
    Forward(ForwardKey),
    /// When to refuse a request whose receiver has not come back.
    Held(HeldKey),
    /// When to stop waiting for the successor of a lost connection.
    Lost(ConnId),
    /// When to forget which connection followed a lost one.
    Moved(ConnId),
    /// When the next registration of a user runs out.
    Bindings(Aor),
    /// When to look for answered calls that both sides have left without a word.
    Sweep,
}
