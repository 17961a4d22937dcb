//! The user part of our Record-Route: names the parties of the dialog (empty: outside), with a code that only the proxy can make. So
//! requests in a dialog need no table, and calls outlive a restart.
//!
//! `base64url(caller) . base64url(callee) . base64url(HMAC-SHA256 truncated to 128 bit)`

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Application;
use super::party::{Aor, Party};

/// The two parties of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parties {
    /// Who sent the INVITE.
    pub(super) caller: Party,
    /// Whom it was for.
    pub(super) callee: Party,
}

impl Parties {
    /// The token for the dialogs of one call.
    pub(super) fn token(&self, application: &Application, call_id: &str) -> String {
        let mac = self.code(application, call_id).finalize().into_bytes();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        [encode(name(&self.caller).as_bytes()), encode(name(&self.callee).as_bytes()), encode(&mac[..16])].join(".")
    }

    /// The parties that `token` names, where it was made for this call of this application.
    pub(super) fn verify(application: &Application, call_id: &str, token: &str) -> Option<Self> {
        let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let mut next = || parts.next().flatten();
        let (caller, callee, mac) = (next()?, next()?, next()?);
        let party = |name| Some(named(&application.key, String::from_utf8(name).ok()?));
        let parties = Self { caller: party(caller)?, callee: party(callee)? };
        let whole = mac.len() == 16 && parts.next().is_none();
        (whole && parties.code(application, call_id).verify_truncated_left(&mac).is_ok()).then_some(parties)
    }

    /// The one who is not `party`; `None` where `party` is neither.
    pub(super) fn other(&self, party: &Party) -> Option<&Party> {
        if self.caller == *party { Some(&self.callee) } else { (self.callee == *party).then_some(&self.caller) }
    }

    fn code(&self, application: &Application, call_id: &str) -> Hmac<Sha256> {
        let key = application.secret.own("offhook record-route 1");
        let mut hash = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
        for part in [&application.key, call_id, name(&self.caller), name(&self.callee)] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash
    }
}

/// The name of a party in a token: the user id, or nothing outside.
fn name(party: &Party) -> &str {
    party.user().map_or("", |aor| &aor.user)
}

/// The party of an application that a token names so.
fn named(application: &str, name: String) -> Party {
    let application = application.to_owned();
    if name.is_empty() { Party::Outside { application } } else { Party::User(Aor { application, user: name }) }
}
