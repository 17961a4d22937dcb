//! Transactions (RFC 3261, section 17, with the corrections of RFC 6026): copies are absorbed, requests and final answers are repeated
//! over unreliable transports, failures of an INVITE are acknowledged, and silence ends in a time-out.
//!
//! ```text
//! client   Trying ── 1xx ──▶ Proceeding ── final ──▶ Completed ── D/K ──▶ gone      server   Proceeding ── final ──▶ Completed ── J ──▶ gone
//!            │ B/F: TimedOut    └── 2xx to INVITE ──▶ Accepted ── M ──▶ gone                  │                        │ ACK ──▶ Confirmed ── I ──▶ gone
//!            ▼                                                                                └── 2xx to INVITE ──▶ Accepted ── L ──▶ gone
//! ```

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use offhook_sip::text::{concat, cut_last, digits, number};
use offhook_sip::{Message, Name, Writer, parse_text};

use super::log::{debug, trace};
use super::table::Table;
use super::{T1, T2, T4, TIMEOUT};
use crate::time::Instant;

/// All transactions of one element. `F` names a flow: the connection or address that a message came from or goes to.
///
/// Order of calls: any of `request`, `respond`, `receive`, `handle_timeout`; then `poll` until it gives `None`; then `deadline`.
pub struct Transactions<F> {
    table: Table<Transaction<F>>,
    wakes: BinaryHeap<Reverse<(Instant, String)>>,
    /// In the order in which they came up.
    effects: Vec<Effect<F>>,
    /// Those of before that `poll` was not asked for yet, the next one last.
    queued: Vec<Effect<F>>,
}

/// Whether the transport repeats lost messages by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, TLS, WebSocket.
    Reliable,
    /// UDP.
    Unreliable,
}

/// What a received message is to the user of the transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A new request; answer it with this key.
    Request(ServerKey),
    /// An ACK to a 2xx: it belongs to no transaction.
    Ack,
    /// An answer to the request with this key.
    Response(ClientKey),
    /// A copy, or an ACK to a failure: done with.
    Absorbed,
    /// An answer to nothing that was asked.
    Stray,
}

/// What has to be done, and what came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<F> {
    /// Put this on the wire.
    Send {
        /// Where to.
        flow: F,
        /// A complete message.
        text: String,
    },
    /// No final answer came (timers B and F): treat it as a 408.
    TimedOut(ClientKey),
    /// A failure was never acknowledged (timer H).
    NoAck(ServerKey),
}

/// Names a client transaction (RFC 3261, 17.1.3): `c BRANCH METHOD`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientKey(String);

impl ClientKey {
    /// By the branch of the topmost Via and the method in CSeq.
    #[must_use]
    pub fn new(branch: &str, method: &str) -> Self {
        Self(concat(&["c ", branch, " ", method]))
    }

    /// The branch of the topmost Via.
    #[must_use]
    pub fn branch(&self) -> &str {
        parts(&self.0).0
    }

    /// The method in CSeq.
    #[must_use]
    pub fn method(&self) -> &str {
        parts(&self.0).1
    }

    fn of(message: &Message<'_>) -> Option<Self> {
        Some(Self::new(message.via().ok()?.branch()?, message.cseq().ok()?.method))
    }
}

/// Names a server transaction (RFC 3261, 17.2.3): `s BRANCH HOST:PORT METHOD`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerKey(String);

impl ServerKey {
    /// By the branch of the topmost Via, or what stands for it in an RFC 2543 request, the host and port in it, and the method.
    #[must_use]
    pub fn new(branch: &str, sent_by: (&str, Option<u16>), method: &str) -> Self {
        let port = sent_by.1.map(|port| concat(&[":", &digits(port.into())])).unwrap_or_default();
        Self(concat(&["s ", branch, " ", sent_by.0, &port, " ", method]))
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        parts(&self.0).1
    }

    /// The INVITE transaction that a CANCEL with this key speaks of (RFC 3261, 9.2).
    #[must_use]
    pub fn invite(&self) -> Self {
        Self(concat(&["s ", parts(&self.0).0, INVITE]))
    }

    fn of(message: &Message<'_>) -> Option<Self> {
        let via = message.via().ok()?;
        let method = message.method()?;
        let method = if method == "ACK" { "INVITE" } else { method };
        let sent_by = (via.host, via.port);
        match via.branch().filter(|branch| branch.starts_with("z9hG4bK")) {
            Some(branch) => Some(Self::new(branch, sent_by, method)),
            None => {
                let old = concat(&[message.get(Name::CallId)?, " ", &digits(message.number(Name::CSeq)?)]);
                Some(Self::new(&old, sent_by, method))
            }
        }
    }
}

/// What precedes the method in a key, and the method.
fn parts(key: &str) -> (&str, &str) {
    key.get(2..).and_then(|rest| cut_last(rest, b' ')).unwrap_or_default()
}

struct Transaction<F> {
    state: State,
    flow: F,
    transport: Transport,
    /// What is sent again: the request, its ACK, or the last answer.
    text: String,
    /// The interval until the next copy.
    interval: u64,
    /// When the state ends by itself.
    end: Option<Instant>,
    /// When the next copy or the end is due.
    wake: Option<Instant>,
}

impl<F: Copy> Transaction<F> {
    #[inline(never)]
    fn send(&self, effects: &mut Vec<Effect<F>>) {
        effects.push(Effect::Send { flow: self.flow, text: self.text.clone() });
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Client: sent, nothing heard.
    Trying,
    /// Client: a provisional answer came. Server: no final answer yet.
    Proceeding,
    /// A final answer was received or sent; copies are dealt with.
    Completed,
    /// A 2xx to an INVITE went through; copies are passed on (client) or absorbed (server).
    Accepted,
    /// Server: the ACK to a failure came.
    Confirmed,
}

/// What the keys of INVITE transactions end with.
const INVITE: &str = " INVITE";
/// What the keys of client transactions begin with.
const CLIENT: &str = "c ";

impl<F: Copy + Ord> Transactions<F> {
    /// No transaction yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { table: Table::new(), wakes: BinaryHeap::new(), effects: Vec::new(), queued: Vec::new() }
    }

    /// Starts a client transaction: `text` is a complete request whose topmost Via has a branch of its own. Not for an ACK to a 2xx.
    pub fn request(&mut self, now: Instant, flow: F, transport: Transport, text: String) -> ClientKey {
        let key = parse_text(&text).ok().and_then(|request| ClientKey::of(&request));
        debug_assert!(key.is_some(), "a request of our own has a Via with a branch and a CSeq");
        let key = key.unwrap_or_else(|| ClientKey::new("", ""));
        self.effects.push(Effect::Send { flow, text: text.clone() });
        let end = Some(now + TIMEOUT);
        let wake = if transport == Transport::Unreliable { Some(now + T1) } else { end };
        self.insert(key.0.clone(), Transaction { state: State::Trying, flow, transport, text, interval: T1, end, wake });
        key
    }

    /// Sends an answer, provisional or final, to the request with `key`. Without that transaction (it ended) nothing is sent.
    pub fn respond(&mut self, now: Instant, key: &ServerKey, text: String) {
        let code = text.get(8..11).and_then(number).unwrap_or(500);
        let Some(transaction) = self.table.get_mut(&key.0) else { return };
        if transaction.state != State::Proceeding {
            return;
        }
        let invite = key.method() == "INVITE";
        let accepted = invite && (200..300).contains(&code);
        // A 2xx is repeated by whoever answered, not here (RFC 6026, 7.1): nothing to keep for half a minute.
        transaction.text = if accepted { String::new() } else { text.clone() };
        self.effects.push(Effect::Send { flow: transaction.flow, text });
        if code < 200 {
            return;
        }
        let unreliable = transaction.transport == Transport::Unreliable;
        transaction.state = if accepted { State::Accepted } else { State::Completed };
        transaction.interval = T1;
        // Timer J would be 0 over a reliable transport; kept for T4, a request that came twice is answered twice and acted on once.
        transaction.end = Some(now + if invite || unreliable { TIMEOUT } else { T4 });
        let repeats = invite && code >= 300 && unreliable;
        transaction.wake = if repeats { Some(now + T1) } else { transaction.end };
        self.settle(now, &key.0);
    }

    /// Takes a message in: tells what it is, absorbs copies, acknowledges failures.
    pub fn receive(&mut self, now: Instant, flow: F, transport: Transport, message: &Message<'_>) -> Received {
        if message.is_request() { self.receive_request(now, flow, transport, message) } else { self.receive_response(now, message) }
    }

    /// Gives up waiting for an answer to `key`: what still comes is a stray.
    pub fn abandon(&mut self, key: &ClientKey) {
        self.table.remove(&key.0);
    }

    /// Sends everything again that still waits, requests for their final answer and refusals of an INVITE for their ACK: the connection
    /// is a new one, and what was in the old one is lost.
    pub fn resend(&mut self, flow: F) {
        for (key, transaction) in self.table.iter_mut() {
            let waits = match transaction.state {
                State::Trying | State::Proceeding => key.starts_with(CLIENT),
                state => state == State::Completed && key.ends_with(INVITE) && !key.starts_with(CLIENT),
            };
            if waits {
                transaction.flow = flow;
                transaction.send(&mut self.effects);
            }
        }
    }

    /// Where the transaction with `key` sends to.
    #[must_use]
    pub fn flow(&self, key: &ClientKey) -> Option<F> {
        self.table.get(&key.0).map(|transaction| transaction.flow)
    }

    /// Whether the request with `key` came, and its transaction still lives.
    #[must_use]
    pub fn knows(&self, key: &ServerKey) -> bool {
        self.table.get(&key.0).is_some()
    }

    /// Where answers to the request with `key` go.
    #[must_use]
    pub fn way_back(&self, key: &ServerKey) -> Option<F> {
        self.table.get(&key.0).map(|transaction| transaction.flow)
    }

    /// Where the request came from that `message` is a copy of, or acknowledges; where the one went to that it answers.
    #[must_use]
    pub fn origin(&self, message: &Message<'_>) -> Option<F> {
        let key = if message.is_request() { ServerKey::of(message)?.0 } else { ClientKey::of(message)?.0 };
        self.table.get(&key).map(|transaction| transaction.flow)
    }

    /// How many transactions live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Sends the copies that are due and ends what is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(Reverse((at, _))) = self.wakes.peek() {
            if *at > now {
                break;
            }
            let Some(Reverse((at, id))) = self.wakes.pop() else { break };
            if self.table.get(&id).is_some_and(|transaction| transaction.wake == Some(at)) {
                self.wake(now, &id);
            }
        }
    }

    /// When `handle_timeout` is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.wakes.peek().map(|Reverse((at, _))| *at)
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Effect<F>> {
        if self.queued.is_empty() {
            self.queued = ::core::mem::take(&mut self.effects);
            self.queued.reverse();
        }
        self.queued.pop()
    }

    fn receive_request(&mut self, now: Instant, flow: F, transport: Transport, message: &Message<'_>) -> Received {
        let Some(key) = ServerKey::of(message) else { return Received::Stray };
        let ack = message.method() == Some("ACK");
        let Some(transaction) = self.table.get_mut(&key.0) else {
            if ack {
                return Received::Ack;
            }
            let text = String::new();
            let new = Transaction { state: State::Proceeding, flow, transport, text, interval: T1, end: None, wake: None };
            self.insert(key.0.clone(), new);
            return Received::Request(key);
        };
        if ack {
            return self.acknowledged(now, &key.0);
        }
        trace!(call = %message.call_id().unwrap_or_default(), method = message.method(), "a retransmission");
        // A copy may come over another connection than the first: the answer goes where the request came from.
        transaction.flow = flow;
        if transaction.state != State::Accepted && !transaction.text.is_empty() {
            transaction.send(&mut self.effects);
        }
        Received::Absorbed
    }

    fn acknowledged(&mut self, now: Instant, id: &str) -> Received {
        let Some(transaction) = self.table.get_mut(id) else { return Received::Ack };
        match transaction.state {
            State::Accepted => return Received::Ack,
            State::Completed => {
                transaction.state = State::Confirmed;
                transaction.end = Some(now + T4);
                transaction.wake = transaction.end;
                self.settle(now, id);
            }
            State::Trying | State::Proceeding | State::Confirmed => {}
        }
        Received::Absorbed
    }

    fn receive_response(&mut self, now: Instant, message: &Message<'_>) -> Received {
        let Some((key, code)) = ClientKey::of(message).zip(message.code()) else { return Received::Stray };
        let Some(transaction) = self.table.get_mut(&key.0) else { return Received::Stray };
        let invite = key.method() == "INVITE";
        match transaction.state {
            State::Trying | State::Proceeding if code < 200 => {
                transaction.state = State::Proceeding;
                // An INVITE may ring as long as it likes; anything else still has its time-out (RFC 3261, 17.1.2.2).
                if invite {
                    transaction.end = None;
                    transaction.wake = None;
                } else {
                    transaction.interval = T2;
                }
                Received::Response(key)
            }
            State::Trying | State::Proceeding => {
                self.finish(now, &key.0, message, code, invite);
                Received::Response(key)
            }
            State::Accepted if (200..300).contains(&code) => Received::Response(key),
            State::Completed if invite && code >= 300 => {
                transaction.send(&mut self.effects);
                Received::Absorbed
            }
            _ => Received::Absorbed,
        }
    }

    /// The first final answer to a request of ours.
    fn finish(&mut self, now: Instant, id: &str, message: &Message<'_>, code: u16, invite: bool) {
        let Some(transaction) = self.table.get_mut(id) else { return };
        let unreliable = transaction.transport == Transport::Unreliable;
        let stay = match (invite, code < 300) {
            (true, true) => TIMEOUT,
            (true, false) if unreliable => TIMEOUT,
            (false, _) if unreliable => T4,
            _ => 0,
        };
        transaction.state = if invite && code < 300 { State::Accepted } else { State::Completed };
        transaction.end = Some(now + stay);
        transaction.wake = transaction.end;
        if invite && code < 300 {
            transaction.text = String::new();
        } else if invite {
            transaction.text = follow_up(&transaction.text, "ACK", message.get(Name::To));
            transaction.send(&mut self.effects);
        }
        self.settle(now, id);
    }

    fn wake(&mut self, now: Instant, id: &str) {
        let Some(transaction) = self.table.get_mut(id) else { return };
        if transaction.end.is_some_and(|end| end <= now) {
            match transaction.state {
                State::Trying | State::Proceeding => {
                    debug!(call = %super::log::CallId(transaction.text.as_bytes()), method = parts(id).1, "no final answer in time");
                    self.effects.push(Effect::TimedOut(ClientKey(id.to_owned())));
                }
                State::Completed if id.ends_with(INVITE) && !id.starts_with(CLIENT) => {
                    debug!(call = %super::log::CallId(transaction.text.as_bytes()), "a refusal was never acknowledged");
                    self.effects.push(Effect::NoAck(ServerKey(id.to_owned())));
                }
                _ => {}
            }
            self.table.remove(id);
            return;
        }
        transaction.send(&mut self.effects);
        // Timer A doubles without bound, E and G up to T2 (RFC 3261, 17.1.1.2, 17.1.2.2 and 17.2.1).
        let calling = id.ends_with(INVITE) && id.starts_with(CLIENT);
        transaction.interval = if calling { transaction.interval * 2 } else { (transaction.interval * 2).min(T2) };
        let next = now + transaction.interval;
        transaction.wake = Some(transaction.end.map_or(next, |end| next.min(end)));
        self.settle(now, id);
    }

    fn insert(&mut self, id: String, transaction: Transaction<F>) {
        if let Some(at) = transaction.wake {
            self.wakes.push(Reverse((at, id.clone())));
        }
        self.table.insert(id, transaction);
    }

    /// Notes the new wake of a transaction, or removes it where its time is over.
    fn settle(&mut self, now: Instant, id: &str) {
        let Some(wake) = self.table.get(id).and_then(|transaction| transaction.wake) else { return };
        if wake <= now {
            self.table.remove(id);
        } else {
            self.wakes.push(Reverse((wake, id.to_owned())));
        }
    }
}

impl<F: Copy + Ord> Default for Transactions<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// A request in the transaction of an INVITE of ours: its CANCEL (RFC 3261, 9.1), or the ACK to a failure (17.1.1.3), with To of the answer.
#[must_use]
pub fn follow_up(invite: &str, method: &str, to: Option<&str>) -> String {
    let Ok(invite) = parse_text(invite) else { return String::new() };
    let mut request = Writer::request(method, invite.uri().unwrap_or_default());
    let mut on_top = true;
    for field in invite.fields() {
        let value = match field.name {
            Name::Via if ::core::mem::take(&mut on_top) => field.value,
            Name::From | Name::CallId | Name::Route | Name::MaxForwards => field.value,
            Name::To => to.unwrap_or(field.value),
            _ => continue,
        };
        request = request.field(field.name.as_str(), value);
    }
    let number = invite.number(Name::CSeq).unwrap_or(0);
    request.cseq(number, method).end()
}
