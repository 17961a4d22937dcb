//! Transactions (RFC 3261, section 17, with the corrections of RFC 6026): they absorb retransmissions, retransmit requests and final responses
//! over unreliable transports, acknowledge failures of an INVITE, and time out.
//!
//! ```text
//!                     ┌── InviteClient ── NonInviteClient ──┐
//! request, respond ──▶│ a state machine per transaction,    │──▶ poll: Effect::Send, TimedOut, NoAck
//! receive          ──▶│ by its ClientKey or ServerKey       │──▶ Received: what a message is to the user of the transactions
//! handle_timeout   ──▶└── InviteServer ── NonInviteServer ──┘──▶ deadline
//! ```
//!
//! The diagrams of the four state machines are in their files.

mod invite_client;
mod invite_server;
mod key;
mod non_invite_client;
mod non_invite_server;
pub(crate) mod retransmission;

use core::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use offhook_sip::text::number;
use offhook_sip::{Message, Method, Name, StatusCode, Writer, parse_text};

#[cfg(not(target_arch = "wasm32"))]
use crate::log::CallId;
use crate::log::{debug, trace};
use crate::time::Instant;
use invite_client::InviteClient;
use invite_server::InviteServer;
use non_invite_client::NonInviteClient;
use non_invite_server::NonInviteServer;

pub use key::{ClientKey, ServerKey};

/// All transactions of one element. `F` names a flow: the connection or address that a message came from or goes to.
///
/// Order of calls: any of `request`, `respond`, `receive`, `handle_timeout`; then `poll` until it gives `None`; then `deadline`.
///
/// A request over UDP that is lost twice is answered, in virtual time:
///
/// ```
/// use std::time::Duration;
///
/// use offhook_sip::{StatusCode, parse, reply};
/// use offhook_ua::time::Instant;
/// use offhook_ua::transaction::{ClientKey, Effect, Received, Transactions, Transport};
///
/// let options = "OPTIONS sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
///     From: <sip:alice@a.test>;tag=1\r\nTo: <sip:bob@b.test>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
/// let (mut alice, mut bob) = (Transactions::new(), Transactions::new());
/// let start = Instant::from_millis(0);
/// let mut now = start;
/// let key = ClientKey::of(&parse(options.as_bytes())?).expect("its Via has a branch");
/// alice.request(now, "to bob", Transport::Unreliable, &key, options.to_owned());
///
/// for _ in 0..2 {
///     assert!(matches!(alice.poll(), Some(Effect::Send { .. })), "lost by the network");
///     now = alice.deadline().expect("timer E is running");
///     alice.handle_timeout(now);
/// }
/// let Some(Effect::Send { flow: "to bob", text }) = alice.poll() else { panic!("the second retransmission") };
/// assert_eq!(now - start, Duration::from_millis(1_500));
///
/// let request = parse(text.as_bytes())?;
/// let Received::Request(id) = bob.receive(now, "to alice", Transport::Unreliable, &request) else { panic!("a new request") };
/// bob.respond(now, &id, reply(&request, StatusCode::OK, Some("2")).end());
///
/// let Some(Effect::Send { flow: "to alice", text }) = bob.poll() else { panic!("the response") };
/// assert_eq!(alice.receive(now, "to bob", Transport::Unreliable, &parse(text.as_bytes())?), Received::Response(key));
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
pub struct Transactions<F> {
    clients: BTreeMap<ClientKey, Client<F>>,
    servers: BTreeMap<ServerKey, Server<F>>,
    /// When which transaction may have a timer that fires: a deadline that has moved since then stays in here until it has passed.
    wakes: BinaryHeap<Reverse<(Instant, Key)>>,
    /// In the order in which they came up.
    effects: VecDeque<Effect<F>>,
}

/// Whether the transport retransmits lost messages by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, TLS, WebSocket.
    Reliable,
    /// UDP.
    Unreliable,
}

/// What a received message is for the user of the transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A new request; answer it with this key.
    Request(ServerKey),
    /// An ACK to a 2xx: it belongs to no transaction.
    Ack,
    /// A response to the request with this key.
    Response(ClientKey),
    /// A retransmission, or the ACK to a failure: nothing is left to do.
    Absorbed,
    /// A response without a transaction.
    Stray,
}

/// What has to be done, and which transactions have failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<F> {
    /// Put this on the wire.
    Send {
        /// Where to.
        flow: F,
        /// A complete message.
        text: String,
    },
    /// No final response came (timers B and F): it counts as a 408.
    TimedOut(ClientKey),
    /// A failure was never acknowledged (timer H).
    NoAck(ServerKey),
}

/// The key of a transaction, client or server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Client(ClientKey),
    Server(ServerKey),
}

struct Client<F> {
    machine: ClientMachine,
    flow: F,
    /// What is retransmitted: the request, or the ACK to its failure.
    text: String,
    cancel: Cancel,
}

/// Whether an INVITE of ours is cancelled. A CANCEL that overtook it would match no transaction, so it waits for a provisional response
/// (RFC 3261, 9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    /// CANCEL leaves with the first provisional response, and this Reason.
    Wanted(Option<String>),
    Sent,
}

enum ClientMachine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

struct Server<F> {
    machine: ServerMachine,
    flow: F,
    /// The last response, as long as it may have to be sent again.
    text: String,
}

enum ServerMachine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

/// What becomes of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Response {
    /// The user gets it.
    Pass,
    /// The user gets it, and it is acknowledged: the first failure of an INVITE.
    PassAndAcknowledge,
    /// It is acknowledged: the failure of an INVITE once more.
    Acknowledge,
    /// Nothing.
    Absorb,
}

/// What becomes of a transaction whose deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fired {
    /// It goes on, and what it sent last is sent once more.
    Retransmit,
    /// It is over: no final response came (timers B and F).
    TimedOut,
    /// It is over: the failure was not acknowledged (timer H).
    NotAcknowledged,
    /// It is over, as it had to be.
    Ended,
}

impl<F: Copy> Transactions<F> {
    /// No transaction yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { clients: BTreeMap::new(), servers: BTreeMap::new(), wakes: BinaryHeap::new(), effects: VecDeque::new() }
    }

    /// Starts a client transaction: `text` is a complete request with the method of `key`, whose topmost Via has its branch, used nowhere else.
    /// Not for an ACK to a 2xx.
    pub fn request(&mut self, now: Instant, flow: F, transport: Transport, key: &ClientKey, text: String) {
        let machine = ClientMachine::new(key.method(), now, transport);
        self.effects.push_back(Effect::Send { flow, text: text.clone() });
        if let Some(at) = machine.deadline() {
            self.wakes.push(Reverse((at, Key::Client(key.clone()))));
        }
        self.clients.insert(key.clone(), Client { machine, flow, text, cancel: Cancel::No });
    }

    /// Cancels the INVITE of ours with `key`: its CANCEL leaves as soon as it may (RFC 3261, 9.1), once, with `reason` as its Reason (RFC 3326). None
    /// leaves where the INVITE has its final response, or gets it before any provisional one: the owner then ends the dialog of a 2xx by BYE.
    /// Responses to the CANCEL come as [`Received::Response`] with a key that has its method, and can be ignored.
    pub fn cancel(&mut self, now: Instant, key: &ClientKey, reason: Option<&str>) {
        let Some(client) = self.clients.get_mut(key).filter(|client| client.cancel == Cancel::No) else { return };
        client.cancel = Cancel::Wanted(reason.map(str::to_owned));
        self.send_cancel(now, key);
    }

    /// Whether the CANCEL for the INVITE of ours with `key` has left.
    #[must_use]
    pub fn is_cancelled(&self, key: &ClientKey) -> bool {
        self.clients.get(key).is_some_and(|client| client.cancel == Cancel::Sent)
    }

    fn send_cancel(&mut self, now: Instant, key: &ClientKey) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let ClientMachine::Invite(machine) = &client.machine else { return };
        let (Cancel::Wanted(reason), true) = (&client.cancel, machine.is_proceeding()) else { return };
        let text = follow_up(&client.text, Method::Cancel, None, reason.as_deref());
        let (flow, transport) = (client.flow, machine.transport());
        client.cancel = Cancel::Sent;
        self.request(now, flow, transport, &ClientKey::new(key.branch().clone(), Method::Cancel), text);
    }

    /// Sends a response, provisional or final, to the request with `key`. If that transaction has ended, nothing is sent.
    pub fn respond(&mut self, now: Instant, key: &ServerKey, text: String) {
        let code = text.get(8..11).and_then(number).and_then(|code| StatusCode::new(code.try_into().ok()?));
        let Some(server) = self.servers.get_mut(key) else { return };
        if !server.machine.respond(now, code.unwrap_or(StatusCode::SERVER_INTERNAL_ERROR)) {
            return;
        }
        if server.machine.answers_retransmission() {
            server.text.clone_from(&text);
        } else {
            server.text = String::new();
        }
        self.effects.push_back(Effect::Send { flow: server.flow, text });
        if let Some(at) = server.machine.deadline() {
            self.wakes.push(Reverse((at, Key::Server(key.clone()))));
        }
    }

    /// Takes a message: absorbs retransmissions, acknowledges failures, and returns what the message is for the user.
    pub fn receive(&mut self, now: Instant, flow: F, transport: Transport, message: &Message<'_>) -> Received {
        match message.method() {
            Some(Method::Ack) => self.receive_ack(now, message),
            Some(_) => self.receive_request(flow, transport, message),
            None => self.receive_response(now, message),
        }
    }

    /// Abandons the request with `key`: later responses are [`Received::Stray`].
    pub fn abandon(&mut self, key: &ClientKey) {
        self.clients.remove(key);
    }

    /// Retransmits over a new connection all that waits: requests for their final response, and failures of an INVITE for their ACK.
    pub fn resend(&mut self, flow: F) {
        for client in self.clients.values_mut().filter(|client| client.machine.is_pending()) {
            client.flow = flow;
            self.effects.push_back(Effect::Send { flow, text: client.text.clone() });
        }
        for server in self.servers.values_mut().filter(|server| server.machine.awaits_ack()) {
            server.flow = flow;
            self.effects.push_back(Effect::Send { flow, text: server.text.clone() });
        }
    }

    /// Where the transaction with `key` sends to.
    #[must_use]
    pub fn flow(&self, key: &ClientKey) -> Option<F> {
        self.clients.get(key).map(|client| client.flow)
    }

    /// Whether the request with `key` was received, and its transaction still exists.
    #[must_use]
    pub fn knows(&self, key: &ServerKey) -> bool {
        self.servers.contains_key(key)
    }

    /// Where responses to the request with `key` go.
    #[must_use]
    pub fn way_back(&self, key: &ServerKey) -> Option<F> {
        self.servers.get(key).map(|server| server.flow)
    }

    /// Where the request came from that `message` retransmits or acknowledges; where the request went to that it responds to.
    #[must_use]
    pub fn origin(&self, message: &Message<'_>) -> Option<F> {
        if message.is_request() { self.way_back(&ServerKey::of(message)?) } else { self.flow(&ClientKey::of(message)?) }
    }

    /// How many transactions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.servers.is_empty()
    }

    /// Fires the timers that are due: retransmits, and ends what is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(Reverse((at, _))) = self.wakes.peek() {
            if *at > now {
                break;
            }
            match self.wakes.pop() {
                Some(Reverse((at, Key::Client(key)))) => self.wake_client(now, at, key),
                Some(Reverse((at, Key::Server(key)))) => self.wake_server(now, at, key),
                None => break,
            }
        }
    }

    /// When `handle_timeout` is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.wakes.peek().map(|Reverse((at, _))| *at)
    }

    /// Returns the next effect.
    pub fn poll(&mut self) -> Option<Effect<F>> {
        self.effects.pop_front()
    }

    fn receive_request(&mut self, flow: F, transport: Transport, request: &Message<'_>) -> Received {
        let Some(key) = ServerKey::of(request) else { return Received::Stray };
        let Some(server) = self.servers.get_mut(&key) else {
            let machine = ServerMachine::new(key.method(), transport);
            self.servers.insert(key.clone(), Server { machine, flow, text: String::new() });
            return Received::Request(key);
        };
        trace!(call = %request.call_id().unwrap_or_default(), method = key.method().as_str(), "a retransmission");
        // A retransmission may come over another connection than the request: the response goes where it came from.
        server.flow = flow;
        if server.machine.answers_retransmission() && !server.text.is_empty() {
            self.effects.push_back(Effect::Send { flow, text: server.text.clone() });
        }
        Received::Absorbed
    }

    fn receive_ack(&mut self, now: Instant, ack: &Message<'_>) -> Received {
        let Some(key) = ServerKey::of(ack) else { return Received::Stray };
        let Some(Server { machine: ServerMachine::Invite(machine), text, .. }) = self.servers.get_mut(&key) else {
            return Received::Ack;
        };
        let before = machine.deadline();
        if machine.acknowledge(now) {
            return Received::Ack;
        }
        if let Some(at) = machine.deadline().filter(|at| before != Some(*at)) {
            *text = String::new();
            self.wakes.push(Reverse((at, Key::Server(key))));
        }
        Received::Absorbed
    }

    fn receive_response(&mut self, now: Instant, response: &Message<'_>) -> Received {
        let Some((key, code)) = ClientKey::of(response).zip(response.code()) else { return Received::Stray };
        let Some(client) = self.clients.get_mut(&key) else { return Received::Stray };
        let before = client.machine.deadline();
        let becomes = client.machine.receive(now, code);
        if becomes == Response::PassAndAcknowledge {
            client.text = follow_up(&client.text, Method::Ack, response.get(Name::To), None);
        }
        if matches!(becomes, Response::Acknowledge | Response::PassAndAcknowledge) {
            self.effects.push_back(Effect::Send { flow: client.flow, text: client.text.clone() });
        }
        if !client.machine.may_retransmit() {
            client.text = String::new();
        }
        if client.machine.is_terminated() {
            self.clients.remove(&key);
        } else if let Some(at) = client.machine.deadline().filter(|at| before != Some(*at)) {
            self.wakes.push(Reverse((at, Key::Client(key.clone()))));
        }
        if code.is_provisional() {
            self.send_cancel(now, &key);
        }
        match becomes {
            Response::Pass | Response::PassAndAcknowledge => Received::Response(key),
            Response::Acknowledge | Response::Absorb => Received::Absorbed,
        }
    }

    /// Fires the timer of a client transaction, if it is still due at that instant.
    fn wake_client(&mut self, now: Instant, at: Instant, key: ClientKey) {
        let Some(client) = self.clients.get_mut(&key).filter(|client| client.machine.deadline() == Some(at)) else { return };
        let fired = client.machine.handle_timeout(now);
        if fired == Fired::Retransmit {
            self.effects.push_back(Effect::Send { flow: client.flow, text: client.text.clone() });
            self.wakes.extend(client.machine.deadline().map(|at| Reverse((at, Key::Client(key)))));
            return;
        }
        let timed_out = fired == Fired::TimedOut;
        if timed_out {
            debug!(call = %CallId(client.text.as_bytes()), method = key.method().as_str(), "no final answer in time");
        }
        self.clients.remove(&key);
        if timed_out {
            self.effects.push_back(Effect::TimedOut(key));
        }
    }

    /// Fires the timer of a server transaction, if it is still due at that instant.
    fn wake_server(&mut self, now: Instant, at: Instant, key: ServerKey) {
        let Some(server) = self.servers.get_mut(&key).filter(|server| server.machine.deadline() == Some(at)) else { return };
        let fired = server.machine.handle_timeout(now);
        if fired == Fired::Retransmit {
            self.effects.push_back(Effect::Send { flow: server.flow, text: server.text.clone() });
            self.wakes.extend(server.machine.deadline().map(|at| Reverse((at, Key::Server(key)))));
            return;
        }
        let not_acknowledged = fired == Fired::NotAcknowledged;
        if not_acknowledged {
            debug!(call = %CallId(server.text.as_bytes()), "a refusal was never acknowledged");
        }
        self.servers.remove(&key);
        if not_acknowledged {
            self.effects.push_back(Effect::NoAck(key));
        }
    }
}

impl<F: Copy> Default for Transactions<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientMachine {
    fn new(method: Method<'_>, now: Instant, transport: Transport) -> Self {
        match method {
            Method::Invite => Self::Invite(InviteClient::new(now, transport)),
            _ => Self::NonInvite(NonInviteClient::new(now, transport)),
        }
    }

    fn receive(&mut self, now: Instant, code: StatusCode) -> Response {
        match self {
            Self::Invite(machine) => machine.receive(now, code),
            Self::NonInvite(machine) => machine.receive(now, code),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Fired {
        match self {
            Self::Invite(machine) => machine.handle_timeout(now),
            Self::NonInvite(machine) => machine.handle_timeout(now),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::NonInvite(machine) => machine.deadline(),
        }
    }

    const fn is_pending(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_pending(),
            Self::NonInvite(machine) => machine.is_pending(),
        }
    }

    const fn may_retransmit(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.may_retransmit(),
            Self::NonInvite(machine) => machine.is_pending(),
        }
    }

    const fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::NonInvite(machine) => machine.is_terminated(),
        }
    }
}

impl ServerMachine {
    const fn new(method: Method<'_>, transport: Transport) -> Self {
        match method {
            Method::Invite => Self::Invite(InviteServer::new(transport)),
            _ => Self::NonInvite(NonInviteServer::new(transport)),
        }
    }

    fn respond(&mut self, now: Instant, code: StatusCode) -> bool {
        match self {
            Self::Invite(machine) => machine.respond(now, code),
            Self::NonInvite(machine) => machine.respond(now, code),
        }
    }

    const fn answers_retransmission(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.answers_retransmission(),
            Self::NonInvite(machine) => machine.answers_retransmission(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Fired {
        match self {
            Self::Invite(machine) => machine.handle_timeout(now),
            Self::NonInvite(machine) => machine.handle_timeout(),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::NonInvite(machine) => machine.deadline(),
        }
    }

    const fn awaits_ack(&self) -> bool {
        matches!(self, Self::Invite(machine) if machine.awaits_ack())
    }
}

/// Returns a request that follows an INVITE of ours in its transaction: its CANCEL (RFC 3261, 9.1), or the ACK to a failure (17.1.1.3), with the
/// To of the response. Request-URI, topmost Via, Route, From, Call-ID and CSeq number are the same.
fn follow_up(invite: &str, method: Method<'_>, to: Option<&str>, reason: Option<&str>) -> String {
    let Ok(invite) = parse_text(invite) else { return String::new() };
    let mut request = Writer::request(method, invite.uri().unwrap_or_default());
    let mut on_top = true;
    for field in invite.fields() {
        let value = match field.name {
            Name::Via if ::core::mem::take(&mut on_top) => field.value,
            Name::From | Name::CallId | Name::Route => field.value,
            Name::MaxForwards => "70",
            Name::To => to.unwrap_or(field.value),
            _ => continue,
        };
        request = request.field(field.name.as_str(), value);
    }
    let number = invite.number(Name::CSeq).unwrap_or(0);
    reason.into_iter().fold(request.cseq(number, method), |request, reason| request.field("Reason", reason)).end()
}
