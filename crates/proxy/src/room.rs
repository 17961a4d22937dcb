//! How many calls there may be of a user: those that he makes himself, and those that others make ring or wait at him. Neither takes room
//! from the other, and no caller takes the room of all others.

use std::collections::BTreeSet;

use offhook_sip::{ApiCode, Message, StatusCode};

use super::Hub;
use super::call::{Call, CallKey};
use super::party::Party;
use super::refusal::Refusal;

/// Calls for help of one user beyond the most calls of a user.
const HELP: usize = 4;

impl Hub {
    /// Whether one more call of `caller`, who is `source` to the callee, may begin; `help`: to an emergency number.
    pub(super) fn check_room(&self, caller: &Party, source: &str, callee: &Party, help: bool) -> Result<(), Refusal> {
        let most = self.settings.max_calls_per_user;
        let own = self.calls_of(caller).filter(|call| call.caller == *caller).count();
        if !caller.is_outside() && own >= most + if help { HELP } else { 0 } {
            return Err(Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Too many calls at once"));
        }
        if callee.is_outside() {
            return Ok(());
        }
        // Who calls from outside may name any number, and so be any number of callers: they are counted apart from users.
        let there = || {
            let alike = |call: &&Call| call.callee == *callee && call.caller.is_outside() == caller.is_outside();
            self.calls_of(callee).filter(alike)
        };
        let waiting = there().filter(|call| call.is_waiting()).count();
        let same = there().filter(|call| call.is_waiting() && call.source == source).count();
        if same >= self.settings.max_waiting_per_caller {
            return Err(Refusal::new(StatusCode::BUSY_HERE, ApiCode::Busy, "Earlier calls of this caller still ring or wait"));
        }
        // Where it gets crowded each caller has one: so a few of them cannot fill it, and the next one finds room.
        if there().count() >= most || same > 0 && waiting >= most.div_ceil(2) {
            return Err(Refusal::new(StatusCode::BUSY_HERE, ApiCode::Busy, "Too many calls to this user"));
        }
        Ok(())
    }

    /// The calls of a user, made or received, that are not over.
    fn calls_of(&self, party: &Party) -> impl Iterator<Item = &Call> {
        party
            .user()
            .and_then(|aor| self.calls_of.get(aor))
            .into_iter()
            .flat_map(BTreeSet::iter)
            .filter_map(|key: &CallKey| self.calls.get(key))
    }
}

/// Who a caller is to the callee: the user, or, from outside, the number or address; all who withhold theirs are one.
pub(super) fn source(caller: &Party, invite: &Message<'_>) -> String {
    let Some(from) = invite.from().ok().filter(|_| caller.is_outside()) else { return caller.name().to_owned() };
    let user = from.uri.user_text();
    let number = !user.is_empty() && user.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit());
    match &*user {
        "" => String::new(),
        user if user.eq_ignore_ascii_case("anonymous") => String::new(),
        user if number => user.to_owned(),
        user => [user, "@", &from.uri.host.to_ascii_lowercase()].concat(),
    }
}
