//! What all parts of the proxy share: settings, time, random, transactions, and the connections that messages leave by.

use std::collections::{BTreeMap, VecDeque};

use offhook_sip::{Branch, Message, Method, StatusCode, Uri, escape_user, quote, reply};
use offhook_ua::log::{self, Plain, named};
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Effect, ServerKey, Transactions, Transport};
use offhook_ua::wall::Wall;
use tracing::{Level, debug, info};

use super::calls::CallKey;
use super::connections::Connections;
use super::in_dialog::ForwardKey;
use super::party::{ApplicationId, Flow, Party};
use super::refusal::Refusal;
use super::request::Request;
use super::timers::Clock;
use super::{Application, ConnId, Output, Record, Settings};

/// What all parts share. Everybody sends through it. Its connections are changed by the router, and by [`super::login`] as to who speaks on
/// them; calls and requests in dialogs only look up where somebody is.
pub(super) struct Context {
    pub(super) settings: Settings,
    /// The keys of the applications, by [`ApplicationId`].
    keys: Vec<String>,
    random: Random,
    /// The last number given to anything.
    serial: u64,
    wall: Wall,
    pub(super) clock: Clock,
    pub(super) transactions: Transactions<Flow>,
    pub(super) connections: Connections,
    /// What our own branches belong to.
    legs: BTreeMap<Branch, Leg>,
    /// What concerns more than the part that found it out.
    pub(super) due: VecDeque<Due>,
    pub(super) out: VecDeque<Output>,
}

/// What a branch of ours is part of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leg {
    /// A call: the INVITE to one device.
    Branch(CallKey, usize),
    /// A request in a dialog.
    Forward(ForwardKey),
}

/// What is left to the router.
#[derive(Debug)]
pub(super) enum Due {
    /// A connection is to be closed: with which WebSocket close code, and why.
    HangUp(ConnId, u16, &'static str),
    /// A request of ours has got no final answer in time.
    TimedOut(ClientKey),
}

impl Context {
    pub(super) fn new(settings: Settings, random: Random) -> Self {
        Self {
            keys: settings.applications.keys().cloned().collect(),
            settings,
            random,
            serial: 0,
            wall: Wall::default(),
            clock: Clock::default(),
            transactions: Transactions::new(),
            connections: Connections::default(),
            legs: BTreeMap::new(),
            due: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// How many things are remembered.
    pub(super) fn len(&self) -> usize {
        let rest = self.clock.len() + self.transactions.len() + self.legs.len() + self.due.len() + self.out.len();
        self.connections.len() + rest
    }

    // Time, names and random.

    pub(super) const fn now(&self) -> Instant {
        self.clock.now
    }

    /// What the wall clock shows from now on.
    pub(super) const fn set_wall(&mut self, wall: Wall) {
        self.wall = wall;
    }

    /// The date now: milliseconds since 1970 by the wall clock.
    pub(super) fn date(&self) -> Instant {
        self.wall.date(self.clock.now)
    }

    /// The instant of a date.
    pub(super) fn moment(&self, date: Instant) -> Instant {
        self.wall.moment(date)
    }

    /// A number that nothing else has.
    pub(super) const fn next_id(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A tag that nobody can guess.
    pub(super) fn tag(&mut self) -> String {
        self.random.token()
    }

    pub(super) fn branch(&mut self) -> Branch {
        Branch::new(&self.random.token())
    }

    /// Our own Via.
    pub(super) fn via(&self, branch: &Branch) -> String {
        format!("SIP/2.0/WS {};branch={}", self.settings.domain, branch.as_str())
    }

    // Who speaks.

    pub(super) fn application_id(&self, key: &str) -> Option<ApplicationId> {
        self.keys.binary_search_by(|known| (**known).cmp(key)).ok().map(ApplicationId)
    }

    fn key_of(&self, id: ApplicationId) -> &str {
        self.keys.get(id.0).map_or("", String::as_str)
    }

    /// The back-to-back user agent of an application; `None` where nobody goes out.
    pub(super) fn b2bua(&self, application: &str) -> Option<Flow> {
        self.application_id(application).filter(|_| self.settings.b2bua).map(Flow::B2bua)
    }

    /// The key of the application that a flow is of; empty where it is gone.
    pub(super) fn application_of(&self, flow: Flow) -> &str {
        match flow {
            Flow::WebSocket(conn) => self.connections.get(conn).map_or("", |connection| &connection.application),
            Flow::B2bua(id) => self.key_of(id),
        }
    }

    /// The application that a flow is of.
    pub(super) fn application(&self, flow: Flow) -> Option<Application> {
        self.settings.applications.get(self.application_of(flow)).cloned()
    }

    /// Who speaks by `flow`: outside, or the user whom a connection has proven to be.
    pub(super) fn party(&self, flow: Flow) -> Option<Party> {
        match flow {
            Flow::WebSocket(conn) => self.connections.user(conn).cloned().map(Party::User),
            Flow::B2bua(id) => Some(Party::Outside { application: self.key_of(id).to_owned() }),
        }
    }

    /// Whether the identity of who speaks by `flow` holds now.
    pub(super) fn is_proven(&self, flow: Flow) -> bool {
        flow.conn().is_none_or(|conn| self.connections.is_proven(&self.clock, conn))
    }

    /// The From that others see: the proven user, with the name that the store has; from outside, whoever it names.
    pub(super) fn identity_value(&self, party: &Party, message: &Message<'_>) -> String {
        let Some(aor) = party.user() else {
            let Ok(from) = message.from() else { return String::new() };
            let display = from.display();
            let name = if display.is_empty() { String::new() } else { format!("{} ", quote(&display)) };
            return format!("{name}<{}>", from.uri_text);
        };
        let uri = format!("<sip:{}@{}>", escape_user(&aor.user), self.settings.domain);
        match self.connections.display_name(aor) {
            "" => uri,
            display => format!("{} {uri}", quote(display)),
        }
    }

    // What leaves.

    /// Answers the request with `key`.
    pub(super) fn respond(&mut self, key: &ServerKey, text: String) {
        self.transactions.respond(self.clock.now, key, text);
        self.flush();
    }

    /// Sends a request of ours, which is part of `leg`.
    pub(super) fn request(&mut self, flow: Flow, key: &ClientKey, leg: Leg, text: String) {
        self.legs.insert(key.branch().clone(), leg);
        self.transactions.request(self.clock.now, flow, Transport::Reliable, key, text);
        self.flush();
    }

    /// Takes the INVITE of ours with `key` back.
    pub(super) fn cancel(&mut self, key: &ClientKey, reason: Option<&str>) {
        self.transactions.cancel(self.clock.now, key, reason);
        self.flush();
    }

    /// Waits no longer for answers to a request of ours.
    pub(super) fn abandon(&mut self, key: &ClientKey) {
        self.legs.remove(key.branch());
        self.transactions.abandon(key);
    }

    /// What a branch of ours is part of.
    pub(super) fn leg(&self, branch: &str) -> Option<Leg> {
        self.legs.get(branch).copied()
    }

    /// Sends what the transactions want sent. Called before anything is sent beside them: so messages leave in their order.
    pub(super) fn flush(&mut self) {
        while let Some(effect) = self.transactions.poll() {
            match effect {
                Effect::Send { flow, text } => self.deliver(flow, text),
                Effect::TimedOut(key) => self.due.push_back(Due::TimedOut(key)),
                Effect::NoAck(_) => {}
            }
        }
    }

    /// Sends a message that belongs to no transaction, after what these have sent.
    pub(super) fn send_beside(&mut self, flow: Flow, text: String) {
        self.flush();
        self.deliver(flow, text);
    }

    /// Sends by a flow, or whatever has taken its place; what is for a lost connection is kept.
    fn deliver(&mut self, flow: Flow, text: String) {
        match self.connections.resolve(flow) {
            Some((flow, true)) => self.send(flow, text),
            Some((Flow::WebSocket(conn), false)) => self.connections.keep(conn, text),
            Some((Flow::B2bua(_), false)) | None => {}
        }
    }

    /// Sends a message over an open connection, or to the back-to-back user agent.
    pub(super) fn send(&mut self, flow: Flow, text: String) {
        log_message("sent", flow, &text);
        match flow {
            Flow::WebSocket(conn) => self.push(Output::Send { conn, text }),
            Flow::B2bua(id) => {
                let application = self.key_of(id).to_owned();
                self.push(Output::ToB2bua { application, text });
            }
        }
    }

    /// Has a connection closed as soon as the part that wants it is done.
    pub(super) fn hang_up(&mut self, conn: ConnId, code: u16, reason: &'static str) {
        self.due.push_back(Due::HangUp(conn, code, reason));
    }

    pub(super) fn push(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(super) fn record(&mut self, record: Record) {
        self.out.push_back(Output::Record(record));
    }

    /// Answers a CANCEL that has found its request, with the tag of the other responses to that (RFC 3261, 9.2).
    pub(super) fn accept_cancel(&mut self, cancel: &Request, tag: &str) {
        self.respond(&cancel.key, reply(cancel.message(), StatusCode::OK, Some(tag)).end());
    }

    // Refusals.

    /// Refuses a request that has a transaction.
    pub(super) fn refuse(&mut self, request: &Request, refusal: Refusal) {
        self.respond(&request.key, refusal.answer(request.message(), &request.tag).end());
        self.record_refused(request.flow, request.message(), &refusal);
    }

    /// Refuses a request that has no transaction. An ACK is never answered.
    pub(super) fn refuse_statelessly(&mut self, flow: Flow, message: &Message<'_>, refusal: Refusal) {
        if message.is_request() && message.method() != Some(Method::Ack) {
            let tag = self.tag();
            let text = refusal.answer(message, &tag).end();
            self.send(flow, text);
            self.record_refused(flow, message, &refusal);
        }
    }

    /// Counts a refusal, and says in the log what was refused, of whom, and why.
    pub(super) fn record_refused(&mut self, flow: Flow, message: &Message<'_>, refusal: &Refusal) {
        let (method, code, reason) = (message.method(), refusal.code(), refusal.why);
        let dialled = message.uri().filter(|_| method == Some(Method::Invite)).and_then(|uri| Uri::parse(uri).ok());
        let invited = dialled.map(|uri| uri.user_text());
        let method = method.map(Method::as_str);
        let user = message.from().map(|from| from.uri.user_text()).unwrap_or_default();
        let (call, to) = (Plain(message.call_id().unwrap_or_default()), invited.as_deref().and_then(named));
        let (application, conn, from) = (self.application_of(flow), flow.number(), named(&user));
        // Anybody can fail to prove who he is as often as he likes: at `info` that is told by the minute.
        if refusal.is_unproven() {
            debug!(%call, application, user = from, to, conn, method, code = code.as_u16(), reason, "refused");
        } else {
            info!(%call, application, user = from, to, conn, method, code = code.as_u16(), reason, "refused");
        }
        self.record(Record::Refused { conn: flow.conn(), user: user.into_owned(), code, why: reason });
    }
}

/// Says at `trace` that a message came in or goes out.
pub(super) fn log_message(direction: &'static str, flow: Flow, text: &str) {
    if tracing::enabled!(Level::TRACE) {
        let by = flow.number().map_or_else(|| "b2bua".to_owned(), |number| number.to_string());
        log::message(direction, by, text.as_bytes());
    }
}
