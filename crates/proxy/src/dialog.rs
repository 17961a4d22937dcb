//! Requests inside a dialog: from one of its two parties to the device of the other, which the Record-Route token proves
//! ([`super::token`]). No table of dialogs is needed for that.
//!
//! ```text
//!   request ── no or wrong token: 481 ── token of others: 403
//!      │
//!      ▼ device online                      final answer
//!   Forward ───────────────────────────────────────────────▶ gone (an INVITE lingers: its 2xx may be repeated)
//!      ▲ it is back
//!   Held ──── 8 s ──▶ 480
//! ```
//!
//! Where the receiver's page was closed nothing is held: 410.

use std::time::Duration;

use offhook_sip::{ApiCode, Message, Method, Name, NameAddr, OwnedMessage, StatusCode, Uri, reply};
use offhook_ua::TIMEOUT;
use offhook_ua::log::{Plain, millis};
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, ServerKey, Transport};
use tracing::{debug, info};

use super::admission::{Request, is_in_dialog, speaks_for};
use super::best::passed_on;
use super::call::{CallKey, Stage};
use super::party::{Aor, Flow, Party};
use super::refusal::Refusal;
use super::rewrite::{Head, Onward, forward, restore};
use super::timers::Timer;
use super::token::Parties;
use super::{Hub, Leg, Record};
use crate::registrar::Target;

/// How long a request waits for its receiver to reconnect.
const HOLD: Duration = Duration::from_secs(8);
/// Requests of one sender that wait for one user.
const HELD: usize = 32;
/// How long a re-INVITE may take.
const INVITE: Duration = Duration::from_secs(185);

/// One request that was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ForwardKey(pub(super) u64);

/// One request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeldKey(u64);

/// A request that was passed on, until its final answer.
#[derive(Debug)]
pub(super) struct Forward {
    key: ServerKey,
    client: ClientKey,
    head: Head,
    /// The request as it came.
    message: OwnedMessage,
    sender: Flow,
    pub(super) flow: Flow,
    /// The request as it was sent.
    text: String,
    finished: bool,
}

/// A request whose receiver is not connected now.
#[derive(Debug)]
pub(super) struct Held {
    /// `None` for an ACK, which is never answered.
    key: Option<ServerKey>,
    sender: Flow,
    from: Party,
    to: Party,
    target: Target,
    call_id: String,
    message: OwnedMessage,
}

/// Where a request goes and as what.
struct Route {
    from: Party,
    to: Party,
    target: Target,
}

impl Hub {
    /// Passes on a request of a dialog.
    pub(super) fn relay(&mut self, now: Instant, request: &Request, party: &Party) {
        if request.message().number(Name::MaxForwards) == Some(0) {
            return self.refuse(now, request, Refusal::new(StatusCode::TOO_MANY_HOPS, ApiCode::Malformed, "Too many hops"));
        }
        let route = match self.in_dialog(request.flow, request.message(), party) {
            Ok(route) => route,
            Err(refusal) => return self.refuse(now, request, refusal),
        };
        self.learn(now, request.flow, request.message());
        if request.method() == Method::Bye {
            self.hung_up(now, party, request.message().call_id().unwrap_or_default());
        }
        if request.method() == Method::Invite {
            self.respond(now, &request.key, reply(request.message(), StatusCode::TRYING, None).end());
        }
        let held = Held {
            key: Some(request.key.clone()),
            sender: request.flow,
            from: route.from,
            to: route.to,
            target: route.target,
            call_id: request.message().call_id().unwrap_or_default().to_owned(),
            message: request.owned.clone(),
        };
        self.pass_or_hold(now, held);
    }

    /// Passes on the ACK to a 2xx. One that belongs nowhere is dropped.
    pub(super) fn acknowledge(&mut self, now: Instant, flow: Flow, owned: &OwnedMessage) {
        let message = owned.get();
        let Some(party) = self.party(flow) else { return };
        if !speaks_for(message, &party) || message.number(Name::MaxForwards) == Some(0) {
            return;
        }
        if let Ok(Route { from, to, target }) = self.in_dialog(flow, message, &party) {
            let call_id = message.call_id().unwrap_or_default().to_owned();
            self.pass_or_hold(now, Held { key: None, sender: flow, from, to, target, call_id, message: owned.clone() });
        }
    }

    /// Whether a request belongs to a call of whom the flow speaks for: calls go on, also when that has to be proven anew for others.
    pub(super) fn continues(&self, flow: Flow, message: &Message<'_>) -> bool {
        let Some(party) = self.party(flow).filter(|_| message.method() != Some(Method::Register)) else { return false };
        is_in_dialog(message) && speaks_for(message, &party) && self.in_dialog(flow, message, &party).is_ok()
    }

    /// Checks that the sender is one of the two parties of the dialog, and finds the other.
    fn in_dialog(&self, flow: Flow, message: &Message<'_>, party: &Party) -> Result<Route, Refusal> {
        const UNKNOWN: Refusal = Refusal::new(StatusCode::CALL_DOES_NOT_EXIST, ApiCode::NotFound, "No such dialog");
        let application = self.application(flow).ok_or(UNKNOWN)?;
        let route = message.all(Name::Route).next().and_then(|route| NameAddr::parse(route).ok()).ok_or(UNKNOWN)?;
        let call_id = message.call_id().map_err(|_| UNKNOWN)?;
        let parties = Parties::verify(&application, call_id, route.uri.user.unwrap_or_default()).ok_or(UNKNOWN)?;
        let other =
            parties.other(party).ok_or(Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Not a party of this dialog"))?;
        let uri = message.uri().and_then(|uri| Uri::parse(uri).ok()).ok_or(Refusal::new(
            StatusCode::BAD_REQUEST,
            ApiCode::Malformed,
            "Malformed Request-URI",
        ))?;
        Ok(Route { from: party.clone(), to: other.clone(), target: Target::of(&uri) })
    }

    fn pass_or_hold(&mut self, now: Instant, held: Held) {
        match self.way(&held) {
            Some((flow, uri)) => self.pass(now, held, flow, &uri),
            None if self.is_left(&held) => {
                self.turn_back(now, held, Refusal::new(StatusCode::GONE, ApiCode::Gone, "The other side has left"))
            }
            None => self.hold(now, held),
        }
    }

    /// Whether the receiver's page was closed: it cannot come back into this call.
    fn is_left(&self, held: &Held) -> bool {
        let key = self.call_ids.get(&(held.to.application().to_owned(), held.call_id.clone()));
        key.and_then(|key| self.calls.get(key)).is_some_and(|call| call.left.is_some() && call.left.as_ref() == held.to.user())
    }

    /// The open connection of the device that a request is for, and the device's own URI where it was named by its GRUU.
    fn way(&self, held: &Held) -> Option<(Flow, Option<String>)> {
        let aor = match &held.to {
            Party::User(aor) => aor,
            Party::Outside { application } => return Some((self.b2bua(application)?, None)),
        };
        if let Some(conn) = self.flows.find(aor, &held.target) {
            return Some((Flow::WebSocket(conn), None));
        }
        let binding = self.registrar.find(aor, &held.target)?;
        Some((Flow::WebSocket(binding.conn?), Some(binding.contact.clone())))
    }

    fn hold(&mut self, now: Instant, held: Held) {
        let method = held.key.as_ref().map_or("ACK", |key| key.method().as_str());
        debug!(call = %Plain(&held.call_id), method, "the other device is away: a request waits for it");
        self.serial += 1;
        let key = HeldKey(self.serial);
        let waiting = self.held_for.entry(held.to.clone()).or_default();
        // Each sender by himself, from outside each call: nobody fills the place of another's BYE.
        let alike = |o: &Held| o.from == held.from && (!o.from.is_outside() || o.call_id == held.call_id);
        let same = |other: &&HeldKey| self.held.get(other).is_some_and(alike);
        let full = waiting.iter().filter(same).count() >= HELD;
        waiting.insert(key);
        self.held.insert(key, held);
        if full {
            self.refuse_held(now, key);
        } else {
            self.timers.set(Timer::Held(key), now + HOLD);
        }
    }

    fn unhold(&mut self, key: HeldKey) -> Option<Held> {
        let held = self.held.remove(&key)?;
        self.timers.clear(&Timer::Held(key));
        if let Some(waiting) = self.held_for.get_mut(&held.to) {
            waiting.remove(&key);
            if waiting.is_empty() {
                self.held_for.remove(&held.to);
            }
        }
        Some(held)
    }

    /// The receiver has not come back.
    pub(super) fn refuse_held(&mut self, now: Instant, key: HeldKey) {
        if let Some(held) = self.unhold(key) {
            self.turn_back(
                now,
                held,
                Refusal::new(StatusCode::TEMPORARILY_UNAVAILABLE, ApiCode::Offline, "The other side is not connected"),
            );
        }
    }

    fn turn_back(&mut self, now: Instant, held: Held, refusal: Refusal) {
        if let Some(key) = held.key {
            self.refuse(now, &Request { flow: held.sender, key, owned: held.message }, refusal);
        }
    }

    /// A device of `aor` has shown up: what waits for it goes out, in order.
    pub(super) fn release(&mut self, now: Instant, aor: Aor) {
        let keys: Vec<HeldKey> = self.held_for.get(&Party::User(aor)).into_iter().flatten().copied().collect();
        for key in keys {
            let way = self.held.get(&key).and_then(|held| self.way(held));
            if let Some((flow, uri)) = way
                && let Some(held) = self.unhold(key)
            {
                self.pass(now, held, flow, &uri);
            }
        }
    }

    fn pass(&mut self, now: Instant, held: Held, flow: Flow, uri: &Option<String>) {
        let message = held.message.get();
        let Some(method) = message.method() else { return };
        let id = self.branch();
        let (via, from) = (self.via(&id), self.identity_value(&held.from, message));
        let uri = uri.as_deref().or_else(|| message.uri()).unwrap_or_default();
        let outside = held.from.is_outside();
        let text = forward(message, &Onward { method, uri, via: &via, from: &from, record_route: None, outside });
        let Some(key) = held.key else {
            self.flush(now);
            return self.deliver(flow, text);
        };
        let client = ClientKey::new(id.clone(), method);
        self.transactions.request(now, flow, Transport::Reliable, &client, text.clone());
        self.serial += 1;
        let forward = ForwardKey(self.serial);
        if key.method() == Method::Invite {
            self.relayed.insert(key.clone(), forward);
            self.timers.set(Timer::Forward(forward), now + INVITE);
        }
        self.legs.insert(id, Leg::Forward(forward));
        let head = Head::of(message);
        let (message, sender) = (held.message, held.sender);
        self.forwards.insert(forward, Forward { key, client, head, message, sender, flow, text, finished: false });
        self.flush(now);
    }

    /// The receiver has answered.
    pub(super) fn forward_answered(&mut self, now: Instant, key: ForwardKey, response: &Message<'_>) {
        let Some(code) = response.code() else { return };
        let outside = self.forwards.get(&key).is_some_and(|forward| matches!(forward.flow, Flow::B2bua(_)));
        let Some(forward) = self.forwards.get_mut(&key).filter(|_| code != StatusCode::TRYING) else { return };
        let text = restore(response, &forward.head, passed_on(code), None, outside);
        let (server, sender, again) = (forward.key.clone(), forward.sender, forward.finished);
        if code.is_provisional() {
            return self.respond(now, &server, text);
        }
        forward.finished = true;
        let accepted = server.method() == Method::Invite && !code.is_failure();
        if again {
            // The copy of a 2xx, because the ACK is late.
            self.flush(now);
            self.deliver(sender, text);
        } else {
            self.respond(now, &server, text);
        }
        match accepted {
            true if !again => self.timers.set(Timer::Forward(key), now + TIMEOUT),
            true => {}
            false => self.forget_forward(key),
        }
    }

    /// A CANCEL for a re-INVITE; `false` where there is none.
    pub(super) fn cancel_relayed(&mut self, now: Instant, request: &Request, invite: &ServerKey) -> bool {
        let held = self.held.iter().find(|(_, held)| held.key.as_ref() == Some(invite)).map(|(key, held)| (*key, held.sender));
        if let Some((key, _)) = held.filter(|(_, sender)| self.flows.resolve(*sender) == Some((request.flow, true))) {
            self.answer_cancel(now, request);
            self.cancel_held(now, key);
            return true;
        }
        let Some(key) = self.relayed.get(invite).copied() else { return false };
        let Some(forward) = self.forwards.get(&key) else { return false };
        if self.flows.resolve(forward.sender) != Some((request.flow, true)) {
            return false;
        }
        let client = forward.client.clone();
        self.answer_cancel(now, request);
        self.transactions.cancel(now, &client, None);
        self.flush(now);
        true
    }

    fn cancel_held(&mut self, now: Instant, key: HeldKey) {
        if let Some(held) = self.unhold(key) {
            self.turn_back(now, held, Refusal::new(StatusCode::REQUEST_TERMINATED, ApiCode::Terminated, "Request terminated"));
        }
    }

    /// A device came back over another connection: what it has not answered may have been lost with the old one, and is said again.
    /// Gives what was said.
    pub(super) fn forwards_followed(&mut self, now: Instant, old: Flow, flow: Flow) -> Vec<String> {
        self.flush(now);
        let mut again = Vec::new();
        for forward in self.forwards.values_mut().filter(|forward| forward.flow == old && !forward.finished) {
            forward.flow = flow;
            again.push(forward.text.clone());
        }
        again.iter().for_each(|text| self.deliver(flow, text.clone()));
        again
    }

    /// No answer came, or none can come any more.
    pub(super) fn forward_expired(&mut self, now: Instant, key: ForwardKey) {
        let Some(forward) = self.forwards.get(&key) else { return };
        if !forward.finished {
            let call = Plain(forward.message.get().call_id().unwrap_or_default());
            debug!(%call, method = forward.key.method().as_str(), "the other device does not answer");
            let tag = self.random.token();
            let refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, ApiCode::Timeout, "The other side does not answer");
            let text = refusal.answer(forward.message.get(), &tag).end();
            let server = forward.key.clone();
            self.respond(now, &server, text);
        }
        self.forget_forward(key);
    }

    fn forget_forward(&mut self, key: ForwardKey) {
        let Some(forward) = self.forwards.remove(&key) else { return };
        self.timers.clear(&Timer::Forward(key));
        self.relayed.remove(&forward.key);
        self.legs.remove(forward.client.branch());
        self.transactions.abandon(&forward.client);
    }

    /// A BYE went through: the call is over.
    fn hung_up(&mut self, now: Instant, party: &Party, call_id: &str) {
        let key = self.call_ids.get(&(party.application().to_owned(), call_id.to_owned())).copied();
        if let Some((key, call)) = key.and_then(|key| Some((key, self.calls.get(&key)?))) {
            let by = if call.caller == *party { "caller" } else { "callee" };
            self.end_answered(now, key, "completed", Some(by));
        }
    }

    /// An answered call is over; `by`: who has hung up.
    fn end_answered(&mut self, now: Instant, key: CallKey, cause: &'static str, by: Option<&'static str>) {
        let Some(call) = self.calls.get(&key).filter(|call| call.stage == Stage::Answered) else { return };
        let duration = call.connected.map(|connected| now - connected);
        info!(call = %Plain(&call.call_id), application = call.callee.application(), cause, by, code = 200, duration = duration.map(millis), "call ended");
        let (call_id, done) = (call.call_id.clone(), call.setup.is_none());
        self.over(key);
        self.record(Record::CallEnded { call_id, cause, code: StatusCode::OK });
        if done {
            self.forget_call(key);
        }
    }

    pub(super) fn forget_call(&mut self, key: CallKey) {
        let Some(call) = self.calls.remove(&key) else { return };
        let id = (call.callee.application().to_owned(), call.call_id);
        if self.call_ids.get(&id) == Some(&key) {
            self.call_ids.remove(&id);
        }
    }

    /// A call counts as one no more, though late answers may still come.
    pub(super) fn over(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key).filter(|call| call.is_live()) else { return };
        call.stage = Stage::Over;
        self.live -= 1;
        for aor in [&call.caller, &call.callee].into_iter().filter_map(|party| party.user()) {
            if let Some(keys) = self.calls_of.get_mut(aor) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.calls_of.remove(aor);
                }
            }
        }
    }

    /// Answered calls that both users have left without a BYE are over.
    pub(super) fn sweep(&mut self, now: Instant) {
        let gone = |flow: Option<Flow>| flow.is_none_or(|flow| self.flows.resolve(flow).is_none());
        let answered = self.calls.iter().filter(|(_, call)| call.stage == Stage::Answered);
        let lost: Vec<CallKey> =
            answered.filter(|(_, call)| gone(Some(call.flow)) && gone(call.answered)).map(|(key, _)| *key).collect();
        for key in lost {
            self.end_answered(now, key, "lost", None);
        }
        if self.calls.values().any(|call| call.stage == Stage::Answered) {
            self.timers.set(Timer::Sweep, now + super::SWEEP);
        }
    }
}
