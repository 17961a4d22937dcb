//! The switch: who is there, who may say what, and which message goes where. A registrar and a forking proxy (RFC 3261, 10 and 16) over
//! WebSocket (RFC 7118), as one machine without clock, socket or store.
//!
//! ```text
//!   message ── parse ── admission ── identity? ──┬─ REGISTER ── register ── registrar
//!                       allowance   no: 401/407  ├─ INVITE ──── invite ──── forks, best answer
//!                                                ├─ in a dialog ── dialog ── the other user's device
//!                                                └─ answer ──── the INVITE or request that it answers
//! ```
//!
//! It stands on `sip`, `ua` and `access`; the gateway gives it what connections bring, and takes calls that leave the browser from it to the
//! back-to-back user agent.
//!
//! Order of calls: [`Hub::handle`], then [`Hub::poll`] until it gives `None`, then [`Hub::deadline`].

mod admission;
mod best;
mod call;
mod dialog;
mod flows;
mod invite;
mod party;
mod port;
mod refusal;
mod register;
pub mod registrar;
mod rewrite;
mod room;
pub mod test_number;
mod timers;
mod token;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use offhook_sip::{ApiCode, Branch, Message, Method, StatusCode, escape_user, quote};
use offhook_ua::log;
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use offhook_ua::timers::Timers;
use offhook_ua::transaction::{ClientKey, Effect, Received, ServerKey, Transactions, Transport};
use offhook_ua::wall::Wall;
use tracing::Level;

use admission::Request;
use call::{Call, CallKey};
use dialog::{Forward, ForwardKey, Held, HeldKey};
use flows::Flows;
pub use party::Aor;
use party::{ApplicationId, Flow, Party};
pub use port::{Account, Application, ConnId, IceServer, Input, Output, QueryId, Record, Settings};
use refusal::Refusal;
pub use rewrite::is_apps;
use timers::Timer;

use crate::registrar::Registrar;

/// How long the store may take.
const QUERY: Duration = Duration::from_secs(10);
/// How often answered calls are looked at.
const SWEEP: Duration = Duration::from_secs(60);

/// The switch.
pub struct Hub {
    settings: Settings,
    /// The keys of the applications, by [`ApplicationId`].
    keys: Vec<String>,
    random: Random,
    nonce_key: [u8; 32],
    /// The last number given to anything.
    serial: u64,
    wall: Wall,
    draining: bool,
    overloaded: bool,
    transactions: Transactions<Flow>,
    registrar: Registrar,
    flows: Flows,
    timers: Timers<Timer>,
    pending: BTreeMap<QueryId, Pending>,
    calls: BTreeMap<CallKey, Call>,
    /// Calls by the caller's transaction.
    setups: BTreeMap<ServerKey, CallKey>,
    /// Calls by application and Call-ID.
    call_ids: BTreeMap<(String, String), CallKey>,
    /// How many of the calls are not over.
    live: usize,
    /// Those by user, caller or callee.
    calls_of: BTreeMap<Aor, BTreeSet<CallKey>>,
    forwards: BTreeMap<ForwardKey, Forward>,
    /// Passed-on re-INVITEs by the sender's transaction.
    relayed: BTreeMap<ServerKey, ForwardKey>,
    held: BTreeMap<HeldKey, Held>,
    held_for: BTreeMap<Party, BTreeSet<HeldKey>>,
    /// What our own branches belong to.
    legs: BTreeMap<Branch, Leg>,
    out: VecDeque<Output>,
}

/// What the store was asked for.
enum Pending {
    /// The password of a user who showed a digest, or a ticket that was given for a password.
    Login(Request),
    /// Whether the callee of a call exists.
    Callee(CallKey),
    /// The name of a user who showed a ticket.
    Name(Aor),
}

/// What a branch of ours is part of.
#[derive(Clone, Copy, Debug)]
enum Leg {
    /// A call: the INVITE to one device.
    Branch(CallKey, usize),
    /// A request in a dialog.
    Forward(ForwardKey),
}

impl Hub {
    /// An empty switch. `seed` makes its tags, branches and nonces: it must not be guessable.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let nonce_key = random.bytes();
        let keys = settings.applications.keys().cloned().collect();
        Self {
            settings,
            keys,
            random,
            nonce_key,
            serial: 0,
            wall: Wall::default(),
            draining: false,
            overloaded: false,
            transactions: Transactions::new(),
            registrar: Registrar::default(),
            flows: Flows::default(),
            timers: Timers::default(),
            pending: BTreeMap::new(),
            calls: BTreeMap::new(),
            setups: BTreeMap::new(),
            call_ids: BTreeMap::new(),
            live: 0,
            calls_of: BTreeMap::new(),
            forwards: BTreeMap::new(),
            relayed: BTreeMap::new(),
            held: BTreeMap::new(),
            held_for: BTreeMap::new(),
            legs: BTreeMap::new(),
            out: VecDeque::new(),
        }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Opened { conn, peer, application } => self.open(now, conn, peer, application),
            Input::Received { conn, text } => self.receive(now, Flow::WebSocket(conn), text),
            Input::FromB2bua { application, text } => {
                if let Some(id) = self.application_id(&application).filter(|_| self.settings.b2bua) {
                    self.receive(now, Flow::B2bua(id), text);
                }
            }
            Input::Closed { conn, left } => {
                self.closed(now, conn);
                if left {
                    self.left(now, conn);
                }
            }
            Input::Account { query, account } => self.account(now, query, account),
            Input::PasswordChanged { application, user, revision } => {
                self.password_changed(now, &Aor { application, user }, revision);
            }
            Input::Timeout => self.timeout(now),
            Input::Wall(wall) => self.wall = wall,
            Input::Drain => self.draining = true,
            Input::Overloaded(overloaded) => self.overloaded = overloaded,
        }
        self.flush(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.timers.next(), self.transactions.deadline()].into_iter().flatten().min()
    }

    /// How many calls there are, ringing or answered.
    #[must_use]
    pub const fn calls(&self) -> usize {
        self.live
    }

    /// How many devices are online.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.registrar.devices()
    }

    /// How many things are remembered, of whatever kind: 0 when everybody is gone and every timer has run out.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let calls = self.calls.len() + self.setups.len() + self.call_ids.len() + self.calls_of.len() + self.live;
        let requests = self.forwards.len() + self.relayed.len() + self.held.len() + self.held_for.len() + self.legs.len();
        let rest = self.pending.len() + self.registrar.len() + self.flows.len() + self.timers.len() + self.transactions.len();
        calls + requests + rest + self.out.len()
    }

    fn timeout(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        self.flush(now);
        while let Some(timer) = self.timers.pop(now) {
            self.timer(now, timer);
            self.flush(now);
        }
    }

    fn timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Login(conn) => self.hang_up(now, conn, 1008, "not authenticated in time"),
            Timer::Proof(conn) => self.lapse(now, conn),
            Timer::Query(query) => self.query_expired(now, query),
            Timer::Hold(key) => self.hold_ended(now, key),
            Timer::Branch(key, index) => self.branch_expired(now, key, index),
            Timer::GiveUp(key) => self.give_up(now, key),
            Timer::Linger(key) => self.forget_setup(key),
            Timer::Forward(key) => self.forward_expired(now, key),
            Timer::Held(key) => self.refuse_held(now, key),
            Timer::Lost(conn) => self.lost_for_good(now, conn),
            Timer::Moved(conn) => self.forget_moved(conn),
            Timer::Bindings(aor) => self.expire_bindings(now, &aor),
            Timer::Sweep => self.sweep(now),
        }
    }

    /// The store has answered.
    fn account(&mut self, now: Instant, query: QueryId, account: Option<Account>) {
        self.timers.clear(&Timer::Query(query));
        match self.pending.remove(&query) {
            Some(Pending::Login(request)) => self.finish_login(now, &request, account),
            Some(Pending::Callee(key)) => self.looked_up(now, key, account.is_some()),
            Some(Pending::Name(aor)) => {
                if let (Some(user), Some(account)) = (self.flows.users.get_mut(&aor), account) {
                    user.display = account.display_name;
                }
            }
            None => {}
        }
    }

    fn query_expired(&mut self, now: Instant, query: QueryId) {
        let refusal = Refusal::new(StatusCode::SERVER_INTERNAL_ERROR, ApiCode::Internal, "The user store does not answer");
        match self.pending.remove(&query) {
            Some(Pending::Login(request)) => self.refuse(now, &request, refusal),
            Some(Pending::Callee(key)) => self.fail_call(now, key, refusal, "failed"),
            Some(Pending::Name(_)) | None => {}
        }
    }

    /// The question to the store that the INVITE with `key` waits for.
    fn pending_login(&self, flow: Flow, key: &ServerKey) -> Option<QueryId> {
        let waits = |pending: &Pending| matches!(pending, Pending::Login(request) if request.flow == flow && request.key == *key);
        self.pending.iter().find(|(_, pending)| waits(pending)).map(|(query, _)| *query)
    }

    /// The caller takes back an INVITE before it was admitted.
    fn cancel_login(&mut self, now: Instant, request: &Request, query: QueryId) {
        self.timers.clear(&Timer::Query(query));
        let Some(Pending::Login(invite)) = self.pending.remove(&query) else { return };
        self.answer_cancel(now, request);
        self.refuse(now, &invite, Refusal::new(StatusCode::REQUEST_TERMINATED, ApiCode::Terminated, "Request terminated"));
    }

    /// An answer came by `flow`. It counts only where the request went, and for the transaction that asked (RFC 3261, 17.1.3).
    fn response(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        let Ok(via) = message.via() else { return };
        let Some(leg) = via.branch().and_then(|branch| self.legs.get(branch)).copied() else { return };
        let asked = match leg {
            Leg::Branch(key, index) => {
                self.calls.get(&key).and_then(|call| call.setup.as_ref()?.branches.get(index)).map(|branch| branch.flow)
            }
            Leg::Forward(key) => self.forwards.get(&key).map(|forward| forward.flow),
        };
        let expected = asked.and_then(|asked| self.flows.resolve(asked)) == Some((flow, true));
        if !expected || !via.host.eq_ignore_ascii_case(&self.settings.domain) {
            return;
        }
        if let Received::Response(client) = self.transactions.receive(now, flow, Transport::Reliable, message)
            && client.method() != Method::Cancel
        {
            self.flush(now);
            if client.method() == Method::Invite && message.code().is_some_and(StatusCode::creates_dialog) {
                self.learn(now, flow, message);
            }
            match leg {
                Leg::Branch(key, index) => self.branch_answered(now, key, index, message),
                Leg::Forward(key) => self.forward_answered(now, key, message),
            }
        }
    }

    /// What the transactions want done. Called before anything is sent beside them: so messages leave in their order.
    fn flush(&mut self, now: Instant) {
        while let Some(effect) = self.transactions.poll() {
            match effect {
                Effect::Send { flow, text } => self.deliver(flow, text),
                Effect::TimedOut(key) => self.timed_out(now, &key),
                Effect::NoAck(_) => {}
            }
        }
    }

    fn timed_out(&mut self, now: Instant, key: &ClientKey) {
        if key.method() == Method::Cancel {
            return;
        }
        match self.legs.get(key.branch()).copied() {
            Some(Leg::Branch(key, index)) => self.branch_failed(now, key, index, StatusCode::REQUEST_TIMEOUT, None),
            Some(Leg::Forward(key)) => self.forward_expired(now, key),
            None => {}
        }
    }

    fn respond(&mut self, now: Instant, key: &ServerKey, text: String) {
        self.transactions.respond(now, key, text);
        self.flush(now);
    }

    fn push(&mut self, output: Output) {
        self.out.push_back(output);
    }

    /// Sends a message over an open connection, or to the back-to-back user agent.
    fn send(&mut self, flow: Flow, text: String) {
        tell_message("sent", flow, &text);
        match flow {
            Flow::WebSocket(conn) => self.push(Output::Send { conn, text }),
            Flow::B2bua(id) => {
                let application = self.key_of(id).to_owned();
                self.push(Output::ToB2bua { application, text });
            }
        }
    }

    fn application_id(&self, key: &str) -> Option<ApplicationId> {
        self.keys.binary_search_by(|known| (**known).cmp(key)).ok().map(ApplicationId)
    }

    fn key_of(&self, id: ApplicationId) -> &str {
        self.keys.get(id.0).map_or("", String::as_str)
    }

    /// The back-to-back user agent of an application.
    fn b2bua(&self, application: &str) -> Option<Flow> {
        self.application_id(application).filter(|_| self.settings.b2bua).map(Flow::B2bua)
    }

    /// Who speaks by `flow`: the user whom a connection has proven to be, if it has.
    fn party(&self, flow: Flow) -> Option<Party> {
        match flow {
            Flow::WebSocket(conn) => self.identity(conn).cloned().map(Party::User),
            Flow::B2bua(id) => Some(Party::Outside { application: self.key_of(id).to_owned() }),
        }
    }

    fn record(&mut self, record: Record) {
        self.out.push_back(Output::Record(record));
    }

    fn application(&self, flow: Flow) -> Option<Application> {
        self.settings.applications.get(self.application_of(flow)).cloned()
    }

    /// The From that others see: the proven user, with the name that the store has; from outside, whoever it names.
    fn identity_value(&self, party: &Party, message: &Message<'_>) -> String {
        let Some(aor) = party.user() else {
            let Ok(from) = message.from() else { return String::new() };
            let display = from.display();
            let name = if display.is_empty() { String::new() } else { [&quote(&display), " "].concat() };
            return [&name, "<", from.uri_text, ">"].concat();
        };
        let uri = ["<sip:", &escape_user(&aor.user), "@", &self.settings.domain, ">"].concat();
        match self.flows.users.get(aor).map(|user| user.display.as_str()).filter(|display| !display.is_empty()) {
            Some(display) => [&quote(display), " ", &uri].concat(),
            None => uri,
        }
    }

    fn branch(&mut self) -> Branch {
        Branch::new(&self.random.token())
    }

    fn via(&self, branch: &Branch) -> String {
        ["SIP/2.0/WS ", &self.settings.domain, ";branch=", branch.as_str()].concat()
    }
}

/// Says at `trace` that a message came in or goes out.
fn tell_message(direction: &'static str, flow: Flow, text: &str) {
    if tracing::enabled!(Level::TRACE) {
        let by = flow.number().map_or_else(|| "b2bua".to_owned(), |number| number.to_string());
        log::message(direction, by, text.as_bytes());
    }
}
