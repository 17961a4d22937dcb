//! The proxy of the gateway: a registrar and a forking proxy (RFC 3261, 10 and 16) over WebSocket (RFC 7118), with authentication and admission,
//! as one state machine without clock, socket or store.
//!
//! ```text
//!                                    ┌── Logins ─────── authentication: challenges, digests, tickets
//!   Input ──▶ Proxy, the router ─────┼── Registrar ──── which device is reached over which connection
//!             lib, messages,         ├── Calls ──────── INVITEs that make a call: forks, the best answer
//!             lifecycle              ├── Relay ──────── requests in dialogs: to the other party's device
//!                                    └── Queries ────── questions to the store
//!                                           │
//!   Output ◀─────────────────────────── Context: time, timers, transactions, and the Connections that messages leave by
//! ```
//!
//! Each part changes its own state alone; what concerns several goes through the router, which learns of it by what their methods return.
//!
//! The crate stands on `sip`, `ua` and `access`; the gateway gives it what connections bring, and hands calls that leave the browser on to
//! the back-to-back user agent.
//!
//! Order of calls: [`Proxy::handle`], then [`Proxy::poll`] until it gives `None`, then [`Proxy::deadline`].

mod calls;
mod connections;
mod context;
mod in_dialog;
mod lifecycle;
mod login;
mod messages;
mod party;
mod port;
mod queries;
mod refusal;
mod register;
mod registrar;
mod request;
mod rewrite;
pub mod test_number;
mod timers;
mod token;

use offhook_sip::{ApiCode, Method, StatusCode};
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use offhook_ua::transaction::ClientKey;

use calls::Calls;
use context::{Context, Due, Leg};
use in_dialog::Relay;
use login::Logins;
use party::{Aor, Flow};
pub use port::{Account, Application, ConnId, IceServer, Input, Output, QueryId, Record, Settings};
use queries::{Pending, Queries};
use refusal::Refusal;
use registrar::Registrar;
pub use rewrite::is_apps;
use timers::Timer;

/// The proxy, with its registrar.
///
/// Order of calls: [`Proxy::handle`], then [`Proxy::poll`] until it gives `None`, then [`Proxy::deadline`].
pub struct Proxy {
    cx: Context,
    logins: Logins,
    queries: Queries,
    registrar: Registrar,
    calls: Calls,
    relay: Relay,
}

impl Proxy {
    /// A proxy with no connections. `seed` makes its tags, branches and nonces: it must not be guessable.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let logins = Logins::new(random.bytes());
        Self {
            cx: Context::new(settings, random),
            logins,
            queries: Queries::default(),
            registrar: Registrar::default(),
            calls: Calls::default(),
            relay: Relay::default(),
        }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.cx.clock.now = now;
        match input {
            Input::Opened { conn, peer, application } => self.opened(conn, peer, application),
            Input::Received { conn, text } => self.receive(Flow::WebSocket(conn), text),
            Input::FromB2bua { application, text } => {
                if let Some(flow) = self.cx.b2bua(&application) {
                    self.receive(flow, text);
                }
            }
            Input::Closed { conn, left } => {
                self.closed(conn);
                if left {
                    self.left(conn);
                }
            }
            Input::Account { query, account } => self.answered(query, account),
            Input::PasswordChanged { application, user, revision } => self.password_changed(&Aor { application, user }, revision),
            Input::Timeout => self.timeout(),
            Input::Wall(wall) => self.cx.set_wall(wall),
            Input::Drain => self.calls.drain(),
            Input::Overloaded(overloaded) => self.calls.set_overloaded(overloaded),
        }
        self.settle();
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.cx.out.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.cx.clock.next(), self.cx.transactions.deadline()].into_iter().flatten().min()
    }

    /// How many calls there are, ringing or answered.
    #[must_use]
    pub const fn calls(&self) -> usize {
        self.calls.live()
    }

    /// How many devices are online.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.registrar.devices()
    }

    /// How many things are remembered, of whatever kind: 0 when everybody is gone and every timer has run out.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.cx.len() + self.queries.len() + self.registrar.len() + self.calls.len() + self.relay.len()
    }

    /// Does what the parts have left to the router, and sends what the transactions want sent.
    fn settle(&mut self) {
        self.cx.flush();
        while let Some(due) = self.cx.due.pop_front() {
            match due {
                Due::HangUp(conn, code, reason) => self.hang_up(conn, code, reason),
                Due::TimedOut(key) => self.timed_out(&key),
            }
            self.cx.flush();
        }
    }

    fn timeout(&mut self) {
        self.cx.transactions.handle_timeout(self.cx.clock.now);
        self.settle();
        while let Some(timer) = self.cx.clock.pop() {
            self.timer(timer);
            self.settle();
        }
    }

    fn timer(&mut self, timer: Timer) {
        let cx = &mut self.cx;
        match timer {
            Timer::Login(conn) => self.hang_up(conn, 1008, "not authenticated in time"),
            Timer::Proof(conn) => self.lapse(conn),
            Timer::Query(query) => self.unanswered(query),
            Timer::Hold(key) => self.calls.hold_ended(cx, key),
            Timer::Branch(key, index) => self.calls.branch_expired(cx, key, index),
            Timer::GiveUp(key) => self.calls.give_up(cx, key),
            Timer::Linger(key) => self.calls.forget_setup(cx, key),
            Timer::Forward(key) => self.relay.expire(cx, key),
            Timer::Held(key) => self.relay.refuse_held(cx, key),
            Timer::Lost(conn) => self.lost_for_good(conn),
            Timer::Moved(conn) => cx.connections.forget_moved(conn),
            Timer::Bindings(aor) => self.registrar.expire_due(cx, &aor),
            Timer::Sweep => self.calls.sweep(cx),
        }
    }

    /// A request of ours has got no final answer in time.
    fn timed_out(&mut self, key: &ClientKey) {
        if key.method() == Method::Cancel {
            return;
        }
        match self.cx.leg(key.branch().as_str()) {
            Some(Leg::Branch(key, index)) => {
                self.calls.branch_failed(&mut self.cx, key, index, StatusCode::REQUEST_TIMEOUT, None);
            }
            Some(Leg::Forward(key)) => self.relay.expire(&mut self.cx, key),
            None => {}
        }
    }

    /// The store has answered.
    fn answered(&mut self, query: QueryId, account: Option<Account>) {
        match self.queries.take(&mut self.cx, query) {
            Some(Pending::Login(request)) => self.finish_login(&request, account),
            Some(Pending::Callee(key)) => self.calls.looked_up(&mut self.cx, &self.registrar, key, account.is_some()),
            Some(Pending::Name(aor)) => {
                if let Some(account) = account {
                    self.cx.connections.set_display_name(&aor, account.display_name);
                }
            }
            None => {}
        }
    }

    /// The store does not answer.
    fn unanswered(&mut self, query: QueryId) {
        let refusal = Refusal::new(StatusCode::SERVER_INTERNAL_ERROR, ApiCode::Internal, "The user store does not answer");
        match self.queries.take(&mut self.cx, query) {
            Some(Pending::Login(request)) => self.cx.refuse(&request, refusal),
            Some(Pending::Callee(key)) => self.calls.fail(&mut self.cx, key, refusal, "failed"),
            Some(Pending::Name(_)) | None => {}
        }
    }
}
