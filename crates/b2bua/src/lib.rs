//! Calls of pages to telephones and SIP addresses, and calls from there to pages: a back-to-back user agent (RFC 3261, 6; RFC 7092) without
//! clock or socket. A call has two legs, each with a dialog and media of its own: towards the switch it is a user agent like the
//! pages, towards providers and SIP servers it speaks through trunks. [`exchange`] joins it with the switch.
//!
//! ```text
//!   switch ══ page's leg ─┐                  ┌─ SIP leg ══ trunks ══ UDP, TCP, TLS
//!                         ├── call ── ledger ┤
//!   WebRTC ══ media ──────┘                  └────── media ══ RTP
//! ```
//!
//! It stands on `trunk`, `media` and `ledger`, and on `proxy` for the switch and what the two must agree on: test numbers, and which header
//! fields are the app's.
//!
//! Order of calls: [`B2bua::handle`], then [`B2bua::poll`] until it gives `None`, then [`B2bua::deadline`].

mod call;
mod context;
mod credit;
mod emergency;
mod events;
pub mod exchange;
mod failure;
mod in_dialog;
mod incoming;
mod limits;
mod outgoing;
mod party;
mod port;
mod test_number;
mod uac;
mod uas;

use std::collections::BTreeMap;

use offhook_media::{Event, Leg};
use offhook_sip::reasons;
use offhook_sip::{Abilities, ApiCode, Message, Method, OwnedMessage, StatusCode, Uri, reply};
use offhook_trunk::{self as trunk, Trunks};
use offhook_ua::log::{Plain, named};
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Received, ServerKey, Transport};
use tracing::info;

use self::call::{Call, CallKey};
use self::context::{Context, Purpose};
use self::failure::Failure;
use self::party::Sender;

pub use emergency::Emergency;
pub use port::{Callee, Input, MapId, Output, RESERVE, Settings};

/// The back-to-back user agent.
pub struct B2bua {
    context: Context,
    calls: BTreeMap<CallKey, Call>,
    /// The last number given to a call.
    serial: u64,
}

/// The timers of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Time-out of the ledger, or of the store that is asked whose number is called.
    Ledger(CallKey),
    /// Time-out of a final response to our INVITE: timer C (RFC 3261, 16.6).
    Ring(CallKey),
    /// When to refresh the session (RFC 4028).
    Refresh(CallKey, Leg),
    /// When the session expires, as nobody has refreshed it.
    Expire(CallKey, Leg),
    /// When to ask for more credit, to warn, or to end the call.
    Credit(CallKey),
    /// When a test number answers, rejects or hangs up.
    Test(CallKey),
    /// When to retransmit a response that was not acknowledged.
    Retransmit(CallKey, Leg),
    /// When an ended call can have no late response any more.
    Linger(CallKey),
}

impl Timer {
    /// Returns the call.
    const fn call(self) -> CallKey {
        match self {
            Self::Ledger(key) | Self::Ring(key) | Self::Credit(key) | Self::Test(key) | Self::Linger(key) => key,
            Self::Refresh(key, _) | Self::Expire(key, _) | Self::Retransmit(key, _) => key,
        }
    }

    /// Returns those that mean nothing once the call has ended.
    fn running(key: CallKey) -> impl Iterator<Item = Self> {
        let legs = [Leg::Page, Leg::Peer].into_iter().flat_map(move |leg| [Self::Refresh(key, leg), Self::Expire(key, leg)]);
        [Self::Ledger(key), Self::Ring(key), Self::Credit(key), Self::Test(key)].into_iter().chain(legs)
    }

    /// Returns all of a call.
    fn all(key: CallKey) -> impl Iterator<Item = Self> {
        let last = [Self::Retransmit(key, Leg::Page), Self::Retransmit(key, Leg::Peer), Self::Linger(key)];
        Self::running(key).chain(last)
    }
}

impl B2bua {
    /// Returns one with no calls. `seed` makes its tags, branches and Call-IDs: it must not be guessable.
    #[must_use]
    pub fn new(settings: Settings, trunks: Trunks, seed: [u8; 32]) -> Self {
        Self { context: Context::new(settings, trunks, seed), calls: BTreeMap::new(), serial: 0 }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.context.now = now;
        match input {
            Input::FromSwitch { application, text } => self.switch_message(&application, text),
            Input::Trunk(input) => self.context.trunks.handle(now, input),
            Input::Media(event) => {
                let key = CallKey(session(&event));
                self.with(key, |call, context| call.media_event(context, event));
            }
            Input::Ledger { call, answer } => {
                if let Some(key) = self.context.references.get(&call).copied() {
                    self.with(key, |call, context| call.ledger_answered(context, answer));
                }
            }
            Input::Mapped { query, callee } => self.with(CallKey(query.0), |call, context| call.mapped(context, callee)),
            Input::Timeout => self.timeout(),
            Input::Drain => self.context.limits.drain(),
            Input::Stop => self.stop(),
        }
        self.drain_trunks();
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.context.out.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.context.timers.next(), self.context.pages.deadline(), self.context.trunks.deadline()].into_iter().flatten().min()
    }

    /// How many calls there are that have not ended.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.context.limits.len()
    }

    /// How many things are remembered, of whatever kind, but for those of the trunks: 0 when all calls have ended and every timer has run out.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let context = &self.context;
        self.calls.len() + context.limits.len() + context.len() + context.timers.len() + context.pages.len() + context.out.len()
    }

    /// Whether no request to a trunk waits for its response.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.context.trunks.is_quiet()
    }

    /// The trunks, to look at them.
    #[must_use]
    pub const fn trunks(&self) -> &Trunks {
        &self.context.trunks
    }

    /// Ends all calls, as their media go through here, and takes registrations back.
    fn stop(&mut self) {
        self.context.limits.close();
        let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Server is going down");
        let running: Vec<CallKey> = self.calls.iter().filter(|(_, call)| !call.is_over()).map(|(key, _)| *key).collect();
        for key in running {
            self.with(key, |call, context| call.finish(context, "gateway going down", &failure));
        }
        self.context.trunks.leave(self.context.now);
    }

    /// Lets a call act, and forgets it where nothing is left to do.
    fn with(&mut self, key: CallKey, act: impl FnOnce(&mut Call, &mut Context)) {
        let Some(mut call) = self.calls.remove(&key) else { return };
        let was_over = call.is_over();
        act(&mut call, &mut self.context);
        call.settle(self.context.now);
        self.keep(call, was_over);
    }

    /// Keeps a call, or forgets it where nothing is left to do; `was_over`: its end was noted before.
    fn keep(&mut self, call: Call, was_over: bool) {
        if !was_over && call.is_over() {
            self.context.limits.remove(&call);
        }
        if call.done {
            self.context.forget(call.key, &call.reference);
        } else {
            self.calls.insert(call.key, call);
        }
    }

    fn timeout(&mut self) {
        self.context.pages.handle_timeout(self.context.now);
        self.context.flush();
        self.context.trunks.handle(self.context.now, trunk::Input::Timeout);
        while let Some(timer) = self.context.timers.pop(self.context.now) {
            let linger = matches!(timer, Timer::Linger(_));
            self.with(timer.call(), |call, context| match timer {
                Timer::Ledger(_) => call.ledger_timeout(context),
                Timer::Ring(_) => call.ring_timeout(context),
                Timer::Refresh(_, leg) => call.refresh(context, leg),
                Timer::Expire(_, leg) => call.lost(context, leg),
                Timer::Credit(_) => call.watch_credit(context),
                Timer::Test(_) => call.test_timeout(context),
                Timer::Retransmit(_, leg) => call.retransmit(context, leg),
                Timer::Linger(_) => {}
            });
            if linger && let Some(call) = self.calls.remove(&timer.call()) {
                self.context.forget(call.key, &call.reference);
            }
        }
    }

    /// Takes a message of the switch in.
    fn switch_message(&mut self, application: &str, text: String) {
        let Ok(received) = OwnedMessage::parse(text) else { return };
        let message = received.get();
        let tenant = self.context.tenant(application);
        if self.context.pages.origin(message).is_some_and(|origin| origin != tenant) {
            return;
        }
        let user = message.from().map(|from| from.uri.user_text()).unwrap_or_default();
        let sender = Sender::Page { tenant, user: &user };
        match self.context.pages.receive(self.context.now, tenant, Transport::Reliable, message) {
            Received::Request(key) if key.method() == Method::Cancel => {
                if self.context.pages.way_back(&key.invite()) != Some(tenant) {
                    return self.context.reject(Leg::Page, &key, message, StatusCode::CALL_DOES_NOT_EXIST);
                }
                self.cancelled(sender, &key, message);
            }
            Received::Request(key) if message.to_tag().is_some() => self.in_dialog(sender, &key, &received),
            Received::Request(key) if key.method() == Method::Invite => {
                self.context.respond(Leg::Page, &key, reply(message, StatusCode::TRYING, None).end());
                self.start_call(sender, key, message, |context, call, key| Call::outgoing(context, (call, tenant), key, &received));
            }
            Received::Request(key) => self.context.reject(Leg::Page, &key, message, Abilities::unserved(key.method())),
            Received::Ack => self.acknowledged(sender, message),
            Received::Response(key) => self.answered(Leg::Page, &key, Ok(message)),
            Received::Absorbed | Received::Stray => {}
        }
        self.context.flush();
    }

    /// Takes the events of the trunks in, and hands on their other outputs.
    fn drain_trunks(&mut self) {
        while let Some(output) = self.context.trunks.poll() {
            match output {
                trunk::Output::Event(event) => self.trunk_event(event),
                output => self.context.out.push_back(Output::Trunk(output)),
            }
        }
    }

    fn trunk_event(&mut self, event: trunk::Event) {
        match event {
            trunk::Event::Request { trunk, others, key, message: received } => {
                let message = received.get();
                let sender = Sender::Peer { trunk: &trunk, others: &others };
                match key {
                    None => self.acknowledged(sender, message),
                    Some(key) if key.method() == Method::Cancel => self.cancelled(sender, &key, message),
                    Some(key) if message.to_tag().is_some() => self.in_dialog(sender, &key, &received),
                    Some(key) => self.start_call(sender, key, message, |context, call, key| {
                        Call::incoming(context, (call, trunk.clone()), key, &received)
                    }),
                }
            }
            trunk::Event::Response { key, message } => self.answered(Leg::Peer, &key, Ok(message.get())),
            trunk::Event::Failed { key, code } => self.answered(Leg::Peer, &key, Err(code)),
            // The call retransmits its own 2xx and gives up by itself; a failure that was not acknowledged changes nothing.
            trunk::Event::NoAck { .. } => {}
        }
    }

    /// Takes an INVITE in that makes a call, unless `make` says what it is rejected with.
    fn start_call(
        &mut self,
        sender: Sender<'_>,
        key: ServerKey,
        invite: &Message<'_>,
        make: impl FnOnce(&mut Context, CallKey, &ServerKey) -> Result<Call, Failure>,
    ) {
        let leg = sender.leg();
        self.serial += 1;
        let call = CallKey(self.serial);
        match make(&mut self.context, call, &key) {
            Ok(made) => {
                self.context.index_invite(call, leg, key);
                self.context.limits.add(&made);
                self.keep(made, false);
            }
            Err(failure) => {
                self.log_rejected(sender, invite, &failure);
                let tag = self.context.random.token();
                self.context.unindex(call);
                self.context.respond(leg, &key, failure.answer(invite, leg, &tag));
            }
        }
    }

    /// Logs whose INVITE was rejected, and why.
    fn log_rejected(&self, sender: Sender<'_>, invite: &Message<'_>, failure: &Failure) {
        let to = invite.uri().and_then(|uri| Uri::parse(uri).ok()).map(|uri| uri.user_text());
        let (call, to) = (Plain(invite.call_id().unwrap_or_default()), to.as_deref().and_then(named));
        let (code, reason) = (failure.code, failure.log_reason());
        match sender {
            Sender::Page { tenant, user } => {
                let application = self.context.application(tenant);
                info!(%call, application, user = named(user), to, code = code.as_u16(), reason, "outside call refused");
            }
            Sender::Peer { trunk, .. } => info!(%call, trunk = trunk.0, to, code = code.as_u16(), reason, "outside call refused"),
        }
    }

    /// Takes a CANCEL in: of the INVITE with its branch (RFC 3261, 9.2).
    fn cancelled(&mut self, sender: Sender<'_>, key: &ServerKey, cancel: &Message<'_>) {
        let (leg, invite) = (sender.leg(), key.invite());
        // With the tag that the responses to its INVITE have.
        let call = self.context.invites.get(&(leg, invite.clone())).and_then(|call| self.calls.get_mut(call));
        let tag = call.map_or_else(|| self.context.random.token(), |call| call.party(leg).tag.clone());
        self.context.respond(leg, key, offhook_ua::uas::answer(cancel, StatusCode::OK, &tag).end());
        if let Some(key) = self.context.invites.get(&(leg, invite.clone())).copied() {
            if self.calls.get(&key).is_some_and(|call| call.accepts(sender)) {
                self.with(key, |call, context| call.cancelled(context, leg, reasons(cancel)));
            }
            return;
        }
        let waits = |call: &mut Call| (call.party(leg).answers(&invite) && call.accepts(sender)).then_some(call.key);
        if let Some(key) = self.calls.values_mut().find_map(waits) {
            self.with(key, |call, context| call.reoffer_cancelled(context, leg));
        }
    }

    /// Takes a request in whose To has a tag.
    fn in_dialog(&mut self, sender: Sender<'_>, key: &ServerKey, request: &OwnedMessage) {
        let leg = sender.leg();
        match self.owner(sender, request.get()) {
            Some(call) => self.with(call, |call, context| call.request(context, leg, key, request)),
            None => self.context.reject(leg, key, request.get(), StatusCode::CALL_DOES_NOT_EXIST),
        }
    }

    /// Takes an ACK to a 2xx in.
    fn acknowledged(&mut self, sender: Sender<'_>, ack: &Message<'_>) {
        if let Some(call) = self.owner(sender, ack) {
            self.with(call, |call, context| call.acknowledged(context, sender.leg(), ack));
        }
    }

    /// Returns the call that a request belongs to, if its sender is the party of that leg: Call-ID and tags are no proof.
    fn owner(&self, sender: Sender<'_>, request: &Message<'_>) -> Option<CallKey> {
        let (key, leg) = self.context.tags.get(request.to_tag()?)?;
        (*leg == sender.leg() && self.calls.get(key)?.accepts(sender)).then_some(*key)
    }

    /// Takes the response to a request of ours in; `Err`: there was none, and this status stands for that.
    fn answered(&mut self, leg: Leg, key: &ClientKey, answer: Result<&Message<'_>, StatusCode>) {
        let at = (leg, key.clone());
        let Some((call, purpose)) = self.context.requests.get(&at).copied() else { return };
        let code = answer.map_or_else(|code| code, |answer| answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR));
        if purpose == Purpose::Invite {
            return self.with(call, |call, context| call.invite_answered(context, answer));
        }
        if code.is_final() {
            // Retransmissions of the 2xx to a re-INVITE come here, too.
            if purpose != Purpose::Reinvite || code.is_failure() {
                self.context.forget_request(call, leg, key);
            }
            self.with(call, |call, context| call.request_answered(context, (leg, purpose), key, answer));
        }
    }
}

/// Returns the session that an event is about.
const fn session(event: &Event) -> u64 {
    match event {
        Event::Answer { session, .. }
        | Event::Offer { session, .. }
        | Event::Connected { session }
        | Event::Digit { session, .. }
        | Event::Played { session }
        | Event::Silent { session, .. }
        | Event::Failed { session, .. }
        | Event::Closed { session, .. } => session.0,
    }
}
