//! How many calls there may be of a user: those that he makes himself, and those that others make ring or wait at him. Neither uses
//! up the other's limit, and no caller uses up that of all others.

use offhook_sip::{ApiCode, Message, StatusCode, telephone};

use super::Calls;
use super::call::Call;
use crate::Settings;
use crate::party::Party;
use crate::refusal::Refusal;

/// Emergency calls of one user beyond the most calls of a user.
const EMERGENCY: usize = 4;

impl Calls {
    /// Checks whether one more call of `caller`, who is `source` to the callee, may begin; `emergency`: to an
    /// emergency number.
    pub(super) fn check_limits(
        &self,
        settings: &Settings,
        caller: &Party,
        source: Option<&str>,
        callee: &Party,
        emergency: bool,
    ) -> Result<(), Refusal> {
        let most = settings.max_calls_per_user;
        let own = self.of(caller).filter(|call| call.caller == *caller).count();
        if !caller.is_outside() && own >= most + if emergency { EMERGENCY } else { 0 } {
            return Err(Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Too many calls at once"));
        }
        if callee.is_outside() {
            return Ok(());
        }
        // Who calls from outside may name any number, and so be any number of callers: they are counted apart from users.
        let there = || {
            let alike = |call: &&Call| call.callee == *callee && call.caller.is_outside() == caller.is_outside();
            self.of(callee).filter(alike)
        };
        let waiting = there().filter(|call| call.is_waiting()).count();
        let same = there().filter(|call| call.is_waiting() && call.source.as_deref() == source).count();
        if same >= settings.max_waiting_per_caller {
            return Err(Refusal::new(StatusCode::BUSY_HERE, ApiCode::Busy, "Earlier calls of this caller still ring or wait"));
        }
        // Where it gets crowded each caller has one: so a few of them cannot fill it, and the next one gets through.
        if there().count() >= most || same > 0 && waiting >= most.div_ceil(2) {
            return Err(Refusal::new(StatusCode::BUSY_HERE, ApiCode::Busy, "Too many calls to this user"));
        }
        Ok(())
    }
}

/// Returns the key by which calls of one caller are counted: the user, or, from outside, the number or address. Callers that withhold their
/// number share one key, `None`.
pub(super) fn source(caller: &Party, invite: &Message<'_>) -> Option<String> {
    if let Some(aor) = caller.user() {
        return Some(aor.user.clone());
    }
    let from = invite.from().ok()?;
    // Who writes a number in another way is the same caller.
    if let Some(number) = telephone::number_in(&from.uri) {
        return Some(number);
    }
    match &*from.uri.user_text() {
        "" => None,
        user if user.eq_ignore_ascii_case("anonymous") => None,
        user => Some(format!("{user}@{}", from.uri.host.to_ascii_lowercase())),
    }
}
