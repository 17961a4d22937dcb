//! Requests in a dialog: from one of its two parties to the device of the other, which the Record-Route token proves
//! ([`super::token`]). No table of dialogs is needed for that.
//!
//! ```text
//!   request ── no or wrong token: 481 ── token of others: 403
//!      │
//!      ▼ device online                      final answer
//!   Forward ───────────────────────────────────────────────▶ gone (an INVITE lingers: its 2xx may be retransmitted)
//!      ▲ it is back
//!   Held ──── 8 s ──▶ 480
//! ```
//!
//! Where the receiver's page was closed nothing is held: 410.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use offhook_sip::{ApiCode, Message, Method, Name, NameAddr, OwnedMessage, StatusCode, Uri};
use offhook_ua::TIMEOUT;
use offhook_ua::log::Plain;
use offhook_ua::transaction::{ClientKey, ServerKey};
use tracing::debug;

use super::context::{Context, Leg};
use super::party::{Aor, Flow, Party};
use super::refusal::Refusal;
use super::request::{Request, is_from, is_in_dialog};
use super::rewrite::{Head, Onward, forward, passed_on, restore};
use super::timers::Timer;
use super::token::Parties;
use crate::registrar::{Registrar, Target};

/// How long a request waits for its receiver to reconnect.
const HOLD: Duration = Duration::from_secs(8);
/// Requests of one sender that wait for one user.
const HELD: usize = 32;
/// How long a re-INVITE may take.
const INVITE: Duration = Duration::from_secs(185);

/// One request that was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ForwardKey(u64);

/// One request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeldKey(u64);

/// Requests in dialogs that are under way.
#[derive(Debug, Default)]
pub(super) struct Relay {
    forwards: BTreeMap<ForwardKey, Forward>,
    /// Passed-on re-INVITEs by the sender's transaction.
    reinvites: BTreeMap<ServerKey, ForwardKey>,
    held: BTreeMap<HeldKey, InDialogRequest>,
    held_for: BTreeMap<Party, BTreeSet<HeldKey>>,
}

/// A request that was passed on, until its final answer.
#[derive(Debug)]
struct Forward {
    key: ServerKey,
    client: ClientKey,
    head: Head,
    /// The request as it came.
    message: OwnedMessage,
    sender: Flow,
    receiver: Flow,
    /// The request as it was sent.
    text: String,
    finished: bool,
}

/// A request on its way to its receiver.
#[derive(Debug)]
pub(super) struct InDialogRequest {
    /// `None` for an ACK, which is never answered.
    key: Option<ServerKey>,
    sender: Flow,
    from: Party,
    pub(super) to: Party,
    target: Target,
    message: OwnedMessage,
}

impl InDialogRequest {
    /// A request of `party`. Fails where it is not one of the two parties of the dialog.
    pub(super) fn of(
        cx: &Context,
        flow: Flow,
        key: Option<ServerKey>,
        owned: &OwnedMessage,
        party: Party,
    ) -> Result<Self, Refusal> {
        const UNKNOWN: Refusal = Refusal::new(StatusCode::CALL_DOES_NOT_EXIST, ApiCode::NotFound, "No such dialog");
        const NOT_A_PARTY: Refusal = Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Not a party of this dialog");
        const MALFORMED: Refusal = Refusal::malformed("Malformed Request-URI");
        let message = owned.get();
        let application = cx.application(flow).ok_or(UNKNOWN)?;
        let route = message.all(Name::Route).next().and_then(|route| NameAddr::parse(route).ok()).ok_or(UNKNOWN)?;
        let call_id = message.call_id().map_err(|_| UNKNOWN)?;
        let parties = Parties::verify(&application, call_id, route.uri.user.unwrap_or_default()).ok_or(UNKNOWN)?;
        let to = parties.other(&party).ok_or(NOT_A_PARTY)?.clone();
        let uri = message.uri().and_then(|uri| Uri::parse(uri).ok()).ok_or(MALFORMED)?;
        Ok(Self { key, sender: flow, from: party, to, target: Target::of(&uri), message: owned.clone() })
    }

    /// Whether the message continues a call of whom the flow speaks for: calls go on, also when that has to be proven anew for others.
    pub(super) fn continues(cx: &Context, flow: Flow, owned: &OwnedMessage) -> bool {
        let message = owned.get();
        let Some(party) = cx.party(flow).filter(|_| message.method() != Some(Method::Register)) else { return false };
        is_in_dialog(message) && is_from(message, &party) && Self::of(cx, flow, None, owned, party).is_ok()
    }

    /// The Call-ID; empty where there is none.
    pub(super) fn call_id(&self) -> &str {
        self.message.get().call_id().unwrap_or_default()
    }

    /// Where the device is now that the request is for, and the device's own URI where it was named by its GRUU.
    fn receiver(&self, cx: &Context, registrar: &Registrar) -> Option<(Flow, Option<String>)> {
        let aor = match &self.to {
            Party::User(aor) => aor,
            Party::Outside { application } => return Some((cx.b2bua(application)?, None)),
        };
        if let Some(conn) = cx.connections.find(aor, &self.target) {
            return Some((Flow::WebSocket(conn), None));
        }
        let binding = registrar.find(aor, &self.target)?;
        Some((Flow::WebSocket(binding.conn?), Some(binding.contact.clone())))
    }

    /// Answers the sender; an ACK is dropped.
    pub(super) fn refuse(self, cx: &mut Context, refusal: Refusal) {
        if let Some(key) = self.key {
            // In a dialog To has a tag.
            let tag = cx.tag();
            cx.refuse(&Request { flow: self.sender, key, owned: self.message, tag }, refusal);
        }
    }
}

impl Relay {
    /// Passes a request on. Returns it where its receiver is not connected now.
    pub(super) fn pass(&mut self, cx: &mut Context, registrar: &Registrar, request: InDialogRequest) -> Option<InDialogRequest> {
        let Some((flow, uri)) = request.receiver(cx, registrar) else { return Some(request) };
        self.send(cx, request, flow, uri.as_deref());
        None
    }

    fn send(&mut self, cx: &mut Context, request: InDialogRequest, receiver: Flow, uri: Option<&str>) {
        let InDialogRequest { key, sender, from, message: owned, .. } = request;
        let message = owned.get();
        let Some(method) = message.method() else { return };
        let branch = cx.branch();
        let (via, from_value) = (cx.via(&branch), cx.identity_value(&from, message));
        let uri = uri.or_else(|| message.uri()).unwrap_or_default();
        let onward = Onward { method, uri, via: &via, from: &from_value, record_route: None, outside: from.is_outside() };
        let text = forward(message, &onward);
        let Some(key) = key else { return cx.send_beside(receiver, text) };
        let client = ClientKey::new(branch, method);
        let forward = ForwardKey(cx.next_id());
        if method == Method::Invite {
            self.reinvites.insert(key.clone(), forward);
            cx.clock.set(Timer::Forward(forward), INVITE);
        }
        cx.request(receiver, &client, Leg::Forward(forward), text.clone());
        let head = Head::of(message);
        self.forwards.insert(forward, Forward { key, client, head, message: owned, sender, receiver, text, finished: false });
    }

    /// Keeps a request until its receiver is back.
    pub(super) fn hold(&mut self, cx: &mut Context, request: InDialogRequest) {
        let method = request.key.as_ref().map_or("ACK", |key| key.method().as_str());
        debug!(call = %Plain(request.call_id()), method, "the other device is away: a request waits for it");
        let key = HeldKey(cx.next_id());
        let waiting = self.held_for.entry(request.to.clone()).or_default();
        // Each sender by himself, from outside each call: nobody fills the place of another's BYE.
        let alike = |o: &InDialogRequest| o.from == request.from && (!o.from.is_outside() || o.call_id() == request.call_id());
        let full = waiting.iter().filter(|other| self.held.get(other).is_some_and(alike)).count() >= HELD;
        waiting.insert(key);
        self.held.insert(key, request);
        if full {
            self.refuse_held(cx, key);
        } else {
            cx.clock.set(Timer::Held(key), HOLD);
        }
    }

    fn take_held(&mut self, cx: &mut Context, key: HeldKey) -> Option<InDialogRequest> {
        let held = self.held.remove(&key)?;
        cx.clock.clear(&Timer::Held(key));
        if let Some(waiting) = self.held_for.get_mut(&held.to) {
            waiting.remove(&key);
            if waiting.is_empty() {
                self.held_for.remove(&held.to);
            }
        }
        Some(held)
    }

    /// The receiver has not come back.
    pub(super) fn refuse_held(&mut self, cx: &mut Context, key: HeldKey) {
        if let Some(held) = self.take_held(cx, key) {
            let refusal = Refusal::new(StatusCode::TEMPORARILY_UNAVAILABLE, ApiCode::Offline, "The other side is not connected");
            held.refuse(cx, refusal);
        }
    }

    /// A device of `aor` is back: what waits for it goes out, in order.
    pub(super) fn release(&mut self, cx: &mut Context, registrar: &Registrar, aor: &Aor) {
        let keys: Vec<HeldKey> = self.held_for.get(&Party::User(aor.clone())).into_iter().flatten().copied().collect();
        for key in keys {
            let receiver = self.held.get(&key).and_then(|held| held.receiver(cx, registrar));
            if let Some((flow, uri)) = receiver
                && let Some(held) = self.take_held(cx, key)
            {
                self.send(cx, held, flow, uri.as_deref());
            }
        }
    }

    /// Where a request of ours went.
    pub(super) fn receiver(&self, key: ForwardKey) -> Option<Flow> {
        self.forwards.get(&key).map(|forward| forward.receiver)
    }

    /// The receiver has answered.
    pub(super) fn answered(&mut self, cx: &mut Context, key: ForwardKey, response: &Message<'_>) {
        let Some(code) = response.code().filter(|code| *code != StatusCode::TRYING) else { return };
        let Some(forward) = self.forwards.get_mut(&key) else { return };
        let outside = matches!(forward.receiver, Flow::B2bua(_));
        let text = restore(response, &forward.head, passed_on(code), None, outside);
        if code.is_provisional() {
            return cx.respond(&forward.key, text);
        }
        let accepted = forward.key.method() == Method::Invite && !code.is_failure();
        let retransmission = std::mem::replace(&mut forward.finished, true);
        if retransmission {
            // That of a 2xx, because the ACK is late.
            cx.send_beside(forward.sender, text);
        } else {
            cx.respond(&forward.key, text);
        }
        match accepted {
            true if !retransmission => cx.clock.set(Timer::Forward(key), TIMEOUT),
            true => {}
            false => self.forget(cx, key),
        }
    }

    /// A CANCEL for a re-INVITE. Returns false where there is none of its sender.
    pub(super) fn cancel(&mut self, cx: &mut Context, request: &Request, invite: &ServerKey) -> bool {
        let held = self.held.iter().find(|(_, held)| held.key.as_ref() == Some(invite)).map(|(key, held)| (*key, held.sender));
        if let Some((key, _)) = held.filter(|(_, sender)| cx.connections.leads_to(*sender, request.flow)) {
            cx.accept_cancel(request, &request.tag);
            if let Some(held) = self.take_held(cx, key) {
                held.refuse(cx, Refusal::CANCELLED);
            }
            return true;
        }
        let forward = self.reinvites.get(invite).and_then(|key| self.forwards.get(key));
        let Some(forward) = forward.filter(|forward| cx.connections.leads_to(forward.sender, request.flow)) else { return false };
        cx.accept_cancel(request, &request.tag);
        cx.cancel(&forward.client, None);
        true
    }

    /// A device came back over another connection: what it has not answered may have been lost with the old one, and is retransmitted.
    /// Returns what was.
    pub(super) fn follow(&mut self, cx: &mut Context, old: Flow, flow: Flow) -> Vec<String> {
        let mut sent = Vec::new();
        for forward in self.forwards.values_mut().filter(|forward| forward.receiver == old && !forward.finished) {
            forward.receiver = flow;
            cx.send_beside(flow, forward.text.clone());
            sent.push(forward.text.clone());
        }
        sent
    }

    /// No answer came, or none can come any more.
    pub(super) fn expire(&mut self, cx: &mut Context, key: ForwardKey) {
        let Some(forward) = self.forwards.get(&key) else { return };
        if !forward.finished {
            let message = forward.message.get();
            let call = Plain(message.call_id().unwrap_or_default());
            debug!(%call, method = forward.key.method().as_str(), "the other device does not answer");
            let tag = cx.tag();
            let refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, ApiCode::Timeout, "The other side does not answer");
            cx.respond(&forward.key, refusal.answer(message, &tag).end());
        }
        self.forget(cx, key);
    }

    fn forget(&mut self, cx: &mut Context, key: ForwardKey) {
        let Some(forward) = self.forwards.remove(&key) else { return };
        cx.clock.clear(&Timer::Forward(key));
        self.reinvites.remove(&forward.key);
        cx.abandon(&forward.client);
    }

    /// How many things are remembered.
    pub(super) fn len(&self) -> usize {
        self.forwards.len() + self.reinvites.len() + self.held.len() + self.held_for.len()
    }
}
