//! Questions to the store, and what waits for the answers.

use std::collections::BTreeMap;
use std::time::Duration;

use offhook_ua::transaction::ServerKey;

use super::calls::CallKey;
use super::context::Context;
use super::party::{Aor, Flow};
use super::request::Request;
use super::timers::Timer;
use super::{Output, QueryId};

/// How long the store may take.
const QUERY: Duration = Duration::from_secs(10);

/// The questions that were not answered yet.
#[derive(Debug, Default)]
pub(super) struct Queries(BTreeMap<QueryId, Pending>);

/// What a user is asked for.
#[derive(Debug)]
pub(super) enum Pending {
    /// The password of a user who showed a digest, or a ticket that was given for a password.
    Login(Request),
    /// Whether the callee of a call exists.
    Callee(CallKey),
    /// The name of a user who showed a ticket.
    Name(Aor),
}

impl Queries {
    /// Asks the store for a user.
    pub(super) fn ask(&mut self, cx: &mut Context, aor: &Aor, pending: Pending) {
        let query = QueryId(cx.next_id());
        self.0.insert(query, pending);
        cx.clock.set(Timer::Query(query), QUERY);
        let Aor { application, user } = aor.clone();
        cx.push(Output::Lookup { query, application, user });
    }

    /// The question is answered, or will not be.
    pub(super) fn take(&mut self, cx: &mut Context, query: QueryId) -> Option<Pending> {
        cx.clock.clear(&Timer::Query(query));
        self.0.remove(&query)
    }

    /// Takes back the question that the request with `key` waits for.
    pub(super) fn take_login(&mut self, cx: &mut Context, flow: Flow, key: &ServerKey) -> Option<Request> {
        let waits = |pending: &Pending| matches!(pending, Pending::Login(request) if request.flow == flow && request.key == *key);
        let query = self.0.iter().find(|(_, pending)| waits(pending)).map(|(query, _)| *query)?;
        match self.take(cx, query)? {
            Pending::Login(request) => Some(request),
            Pending::Callee(_) | Pending::Name(_) => None,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
