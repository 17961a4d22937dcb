//! How many calls there may be at once. Calls to test numbers are free, so they have room of their own and take none from those that are
//! paid or come from outside; and no user or application has all of it.

use std::collections::BTreeMap;

use offhook_sip::{ApiCode, StatusCode};

use offhook_ledger::Kind;

use super::call::Call;
use super::failure::Failure;
use super::{RESERVE, Settings};

/// The calls that have not ended.
#[derive(Default)]
pub(super) struct Room {
    calls: usize,
    /// To test numbers, by application and user.
    tests: BTreeMap<(String, String), usize>,
    door: Door,
}

/// Who may begin a call, for what the gateway is about to do.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Door {
    #[default]
    Open,
    /// It waits for its calls to end: only calls for help.
    Help,
    /// It ends: nobody.
    Closed,
}

impl Room {
    /// From now on there is room for calls for help only.
    pub(super) fn drain(&mut self) {
        if self.door == Door::Open {
            self.door = Door::Help;
        }
    }

    /// From now on there is no room.
    pub(super) const fn close(&mut self) {
        self.door = Door::Closed;
    }

    /// Whether there is room for one more call of this kind.
    pub(super) fn check(&self, settings: &Settings, kind: Kind, application: &str, user: &str) -> Result<(), Failure> {
        let help = kind == Kind::Emergency;
        if self.door == Door::Closed || self.door == Door::Help && !help {
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Server is going down"));
        }
        if kind != Kind::Test {
            let full = self.calls >= settings.calls.saturating_add(if help { RESERVE } else { 0 });
            return if full {
                Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Too many calls at once"))
            } else {
                Ok(())
            };
        }
        let share = |part: usize| (settings.test_calls / part).max(1);
        let here = || self.tests.iter().filter(|((known, _), _)| known == application);
        let own: usize = here().filter(|((_, known), _)| known == user).map(|(_, calls)| calls).sum();
        if own >= share(10) {
            return Err(Failure::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Too many test calls of this user at once"));
        }
        let all: usize = self.tests.values().sum();
        if all >= settings.test_calls || here().map(|(_, calls)| calls).sum::<usize>() >= share(2) {
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Too many test calls at once"));
        }
        Ok(())
    }

    /// A call has begun.
    pub(super) fn enter(&mut self, call: &Call) {
        if call.kind == Kind::Test {
            *self.tests.entry((call.application.clone(), call.user.clone())).or_default() += 1;
        } else {
            self.calls += 1;
        }
    }

    /// It has ended.
    pub(super) fn leave(&mut self, call: &Call) {
        if call.kind != Kind::Test {
            self.calls -= 1;
            return;
        }
        let key = (call.application.clone(), call.user.clone());
        if let Some(calls) = self.tests.get_mut(&key) {
            *calls -= 1;
            if *calls == 0 {
                self.tests.remove(&key);
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.calls + self.tests.values().sum::<usize>()
    }
}
