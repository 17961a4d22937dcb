//! How many calls there may be at once. Calls to test numbers are free, so they have a limit of their own and take nothing from those that are
//! paid or come from outside; and no user or application can use all of it.

use std::collections::BTreeMap;

use offhook_sip::{ApiCode, StatusCode};

use offhook_ledger::Kind;

use super::call::Call;
use super::failure::Failure;
use super::{RESERVE, Settings};

/// Counts the calls that have not ended.
#[derive(Default)]
pub(super) struct Limits {
    /// All calls but those to test numbers.
    calls: usize,
    /// Calls to test numbers, by application and user.
    tests: BTreeMap<(String, String), usize>,
    admission: Admission,
}

/// Which calls may begin.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Admission {
    /// All.
    #[default]
    Open,
    /// Emergency calls only, while the gateway waits for its calls to end.
    Emergency,
    /// None, as the gateway ends.
    Closed,
}

impl Limits {
    /// From now on only emergency calls may begin.
    pub(super) fn drain(&mut self) {
        if self.admission == Admission::Open {
            self.admission = Admission::Emergency;
        }
    }

    /// From now on no call may begin.
    pub(super) const fn close(&mut self) {
        self.admission = Admission::Closed;
    }

    /// Whether one more call of this kind may begin.
    ///
    /// # Errors
    ///
    /// What its INVITE is rejected with.
    pub(super) fn check(&self, settings: &Settings, kind: Kind, application: &str, user: &str) -> Result<(), Failure> {
        let emergency = kind == Kind::Emergency;
        if self.admission == Admission::Closed || self.admission == Admission::Emergency && !emergency {
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Server is going down"));
        }
        if kind != Kind::Test {
            let full = self.calls >= settings.calls.saturating_add(if emergency { RESERVE } else { 0 });
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

    /// Takes note of a call that has begun.
    pub(super) fn add(&mut self, call: &Call) {
        if call.kind == Kind::Test {
            *self.tests.entry((call.application.clone(), call.user.clone())).or_default() += 1;
        } else {
            self.calls += 1;
        }
    }

    /// Takes note of its end.
    pub(super) fn remove(&mut self, call: &Call) {
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

    /// How many calls there are.
    pub(super) fn len(&self) -> usize {
        self.calls + self.tests.values().sum::<usize>()
    }
}
