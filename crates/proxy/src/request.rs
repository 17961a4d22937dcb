//! A request that has to be answered, and the user that its From claims.

use offhook_sip::{Message, Method, Name, OwnedMessage};
use offhook_ua::transaction::ServerKey;

use super::party::{Aor, Flow, Party};

/// A request with a server transaction. A clone shares the message.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Where it came from.
    pub(super) flow: Flow,
    /// Its server transaction.
    pub(super) key: ServerKey,
    /// The message.
    pub(super) owned: OwnedMessage,
    /// The To tag of the proxy's own responses to it, and of the 200 to its CANCEL (RFC 3261, 8.2.6.2 and 9.2).
    pub(super) tag: String,
}

impl Request {
    /// The message.
    pub(super) fn message(&self) -> &Message<'_> {
        self.owned.get()
    }

    /// The method.
    pub(super) fn method(&self) -> Method<'_> {
        self.key.method()
    }

    /// The Call-ID; empty where there is none.
    pub(super) fn call_id(&self) -> &str {
        self.message().call_id().unwrap_or_default()
    }
}

/// The credentials that a request shows.
pub(super) fn credentials<'m>(message: &Message<'m>) -> Option<&'m str> {
    message.get(Name::Authorization).or_else(|| message.get(Name::ProxyAuthorization))
}

/// The user whom From names; empty where it cannot be read.
pub(super) fn claimed_user(message: &Message<'_>) -> String {
    message.from().map(|from| from.uri.user_text().into_owned()).unwrap_or_default()
}

/// Whether a request belongs to a dialog, by its To.
pub(super) fn is_in_dialog(message: &Message<'_>) -> bool {
    message.to_tag().is_some()
}

/// Whether From names the party: what comes from outside speaks for anybody.
pub(super) fn is_from(message: &Message<'_>, party: &Party) -> bool {
    party.user().is_none_or(|aor| is_from_user(message, aor))
}

/// Whether From names the user, however it is escaped.
pub(super) fn is_from_user(message: &Message<'_>, aor: &Aor) -> bool {
    message.from().is_ok_and(|from| from.uri.is_sip() && from.uri.user_text() == aor.user)
}
