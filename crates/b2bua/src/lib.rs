//! Calls that leave the browser's world, to telephones and SIP addresses, and those that come from there: a back-to-back user agent
//! (RFC 3261, 6; RFC 7092) without clock or socket. On one side it is a device of the switch, on the other it speaks through trunks; each
//! side has a dialog and media of its own.
//!
//! ```text
//!   switch ══ page's side ─┐                  ┌─ SIP side ══ trunks ══ UDP, TCP, TLS
//!                          ├── call ── ledger ┤
//!          media: page ────┘                  └──── RTP
//! ```
//!
//! It stands on `trunk`, `media` and `ledger`, and on `proxy` for what the two must agree on: test numbers, and which fields are the app's.
//!
//! Order of calls: [`Bridge::handle`], then [`Bridge::poll`] until it gives `None`, then [`Bridge::deadline`].

mod answering;
mod call;
mod calling;
mod context;
mod credit;
mod emergency;
mod events;
pub mod exchange;
mod failure;
mod incoming;
mod inside;
mod outgoing;
mod party;
mod port;
mod room;
mod test_number;

use std::collections::BTreeMap;

use offhook_media::{Event, Leg};
use offhook_sip::reasons;
use offhook_sip::{Abilities, ApiCode, Message, Method, OwnedMessage, StatusCode, Uri, reply};
use offhook_trunk::{self as trunk, Trunks};
use offhook_ua::log::{Plain, named};
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Received, ServerKey, Transport};
use offhook_ua::uas;
use tracing::info;

use self::call::{Call, CallKey};
use self::context::{Asked, Context};
use self::failure::Failure;
use self::party::Speaker;

pub use emergency::Emergency;
pub use port::{Callee, Input, MapId, Output, RESERVE, Settings};

/// The bridge.
pub struct Bridge {
    context: Context,
    calls: BTreeMap<CallKey, Call>,
    /// The last number given to a call.
    serial: u64,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// When to stop waiting for the ledger or the store.
    Booking(CallKey),
    /// When it has rung for too long.
    Ring(CallKey),
    /// When the session is to be refreshed.
    Refresh(CallKey, Leg),
    /// When the session is over, as nobody has refreshed it.
    Expire(CallKey, Leg),
    /// When something is to be done for the credit.
    Credit(CallKey),
    /// When a test number does what it does.
    Test(CallKey),
    /// When to retransmit a response that was not acknowledged.
    Retransmit(CallKey, Leg),
    /// When no late answer can come any more.
    Linger(CallKey),
}

impl Timer {
    const fn call(self) -> CallKey {
        match self {
            Self::Booking(key) | Self::Ring(key) | Self::Credit(key) | Self::Test(key) | Self::Linger(key) => key,
            Self::Refresh(key, _) | Self::Expire(key, _) | Self::Retransmit(key, _) => key,
        }
    }

    /// Those that mean nothing once the call has ended.
    fn running(key: CallKey) -> impl Iterator<Item = Self> {
        let sides = [Leg::Page, Leg::Peer].into_iter().flat_map(move |leg| [Self::Refresh(key, leg), Self::Expire(key, leg)]);
        [Self::Booking(key), Self::Ring(key), Self::Credit(key), Self::Test(key)].into_iter().chain(sides)
    }

    fn all(key: CallKey) -> impl Iterator<Item = Self> {
        let last = [Self::Retransmit(key, Leg::Page), Self::Retransmit(key, Leg::Peer), Self::Linger(key)];
        Self::running(key).chain(last)
    }
}

impl Bridge {
    /// A bridge with no calls. `seed` makes its tags and names: it must not be guessable.
    #[must_use]
    pub fn new(settings: Settings, trunks: Trunks, seed: [u8; 32]) -> Self {
        Self { context: Context::new(settings, trunks, seed), calls: BTreeMap::new(), serial: 0 }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.context.now = now;
        match input {
            Input::Page { application, text } => self.page(&application, text),
            Input::Trunk(input) => self.context.trunks.handle(now, input),
            Input::Media(event) => {
                let key = CallKey(session(&event));
                self.with(key, |call, context| call.media_told(context, event));
            }
            Input::Ledger { call, answer } => {
                if let Some(key) = self.context.booked.get(&call).copied() {
                    self.with(key, |call, context| call.booked(context, answer));
                }
            }
            Input::Mapped { query, callee } => self.with(CallKey(query.0), |call, context| call.mapped(context, callee)),
            Input::Timeout => self.timeout(),
            Input::Drain => self.context.room.drain(),
            Input::Stop => self.stop(),
        }
        self.trunks();
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
        self.context.room.len()
    }

    /// How many things are remembered, of whatever kind, but for what the trunks are.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let context = &self.context;
        self.calls.len() + context.room.len() + context.len() + context.timers.len() + context.pages.len() + context.out.len()
    }

    /// Whether nobody waits for an answer of a trunk.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.context.trunks.is_quiet()
    }

    /// The trunks, to look at them.
    #[must_use]
    pub const fn outside(&self) -> &Trunks {
        &self.context.trunks
    }

    /// The end has come: no call outlives us, as its sound goes through here.
    fn stop(&mut self) {
        self.context.room.close();
        let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Server is going down");
        let running: Vec<CallKey> = self.calls.iter().filter(|(_, call)| !call.is_over()).map(|(key, _)| *key).collect();
        for key in running {
            self.with(key, |call, context| call.finish(context, "gateway going down", &failure));
        }
        self.context.trunks.leave(self.context.now);
    }

    /// Lets a call do something, and forgets it where nothing is left to do.
    fn with(&mut self, key: CallKey, act: impl FnOnce(&mut Call, &mut Context)) {
        let Some(mut call) = self.calls.remove(&key) else { return };
        let was = call.is_over();
        act(&mut call, &mut self.context);
        call.settle(self.context.now);
        self.keep(call, was);
    }

    fn keep(&mut self, call: Call, was_over: bool) {
        if !was_over && call.is_over() {
            self.context.room.leave(&call);
        }
        if call.done {
            self.context.forget(call.key, &call.booking);
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
                Timer::Booking(_) => call.unbooked(context),
                Timer::Ring(_) => call.unanswered(context),
                Timer::Refresh(_, leg) => call.refresh(context, leg),
                Timer::Expire(_, leg) => call.lose(context, leg),
                Timer::Credit(_) => call.watch_credit(context),
                Timer::Test(_) => call.test_due(context),
                Timer::Retransmit(_, leg) => call.retransmit(context, leg),
                Timer::Linger(_) => {}
            });
            if linger && let Some(call) = self.calls.remove(&timer.call()) {
                self.context.forget(call.key, &call.booking);
            }
        }
    }

    /// The switch has sent a message.
    fn page(&mut self, application: &str, text: String) {
        let Ok(received) = OwnedMessage::parse(text) else { return };
        let message = received.get();
        let tenant = self.context.tenant(application);
        if self.context.pages.origin(message).is_some_and(|origin| origin != tenant) {
            return;
        }
        let user = message.from().map(|from| from.uri.user_text()).unwrap_or_default();
        let speaker = Speaker::Page { tenant, user: &user };
        match self.context.pages.receive(self.context.now, tenant, Transport::Reliable, message) {
            Received::Request(key) if key.method() == Method::Cancel => {
                if self.context.pages.way_back(&key.invite()) != Some(tenant) {
                    return self.context.refuse(Leg::Page, &key, message, StatusCode::CALL_DOES_NOT_EXIST);
                }
                self.cancelled(speaker, &key, message);
            }
            Received::Request(key) if to_tag(message).is_some() => self.inside(speaker, &key, &received),
            Received::Request(key) if key.method() == Method::Invite => {
                self.context.respond(Leg::Page, &key, reply(message, StatusCode::TRYING, None).end());
                self.begin(speaker, key, message, |context, call, key| Call::outgoing(context, (call, tenant), key, &received));
            }
            Received::Request(key) => self.context.refuse(Leg::Page, &key, message, Abilities::unserved(key.method())),
            Received::Ack => self.acknowledged(speaker, message),
            Received::Response(key) => self.answered(Leg::Page, &key, Ok(message)),
            Received::Absorbed | Received::Stray => {}
        }
        self.context.flush();
    }

    /// Takes up what the trunks tell, and hands on what they want done.
    fn trunks(&mut self) {
        while let Some(output) = self.context.trunks.poll() {
            match output {
                trunk::Output::Event(event) => self.trunk_told(event),
                output => self.context.out.push_back(Output::Trunk(output)),
            }
        }
    }

    fn trunk_told(&mut self, event: trunk::Event) {
        match event {
            trunk::Event::Request { trunk, others, key, message: received } => {
                let message = received.get();
                let speaker = Speaker::Peer { trunk: &trunk, others: &others };
                match key {
                    None => self.acknowledged(speaker, message),
                    Some(key) if key.method() == Method::Cancel => self.cancelled(speaker, &key, message),
                    Some(key) if to_tag(message).is_some() => self.inside(speaker, &key, &received),
                    Some(key) => self.begin(speaker, key, message, |context, call, key| {
                        Call::incoming(context, (call, trunk.clone()), key, &received)
                    }),
                }
            }
            trunk::Event::Response { key, message } => self.answered(Leg::Peer, &key, Ok(message.get())),
            trunk::Event::Failed { key, code } => self.answered(Leg::Peer, &key, Err(code)),
            // The call repeats its own 2xx and gives up by itself; a refusal that nobody has heard changes nothing.
            trunk::Event::NoAck { .. } => {}
        }
    }

    /// An INVITE that makes a call, where there is room for it.
    fn begin(
        &mut self,
        speaker: Speaker<'_>,
        key: ServerKey,
        invite: &Message<'_>,
        make: impl FnOnce(&mut Context, CallKey, &ServerKey) -> Result<Call, Failure>,
    ) {
        let leg = speaker.leg();
        self.serial += 1;
        let call = CallKey(self.serial);
        match make(&mut self.context, call, &key) {
            Ok(made) => {
                self.context.began(call, leg, key);
                self.context.room.enter(&made);
                self.keep(made, false);
            }
            Err(failure) => {
                self.tell_refused(speaker, invite, &failure);
                let tag = self.context.random.token();
                self.context.forget_leads(call);
                self.context.respond(leg, &key, failure.answer(invite, leg, &tag));
            }
        }
    }

    /// Says in the log whose INVITE has not become a call, and why.
    fn tell_refused(&self, speaker: Speaker<'_>, invite: &Message<'_>, failure: &Failure) {
        let to = invite.uri().and_then(|uri| Uri::parse(uri).ok()).map(|uri| uri.user_text());
        let (call, to) = (Plain(invite.call_id().unwrap_or_default()), to.as_deref().and_then(named));
        let (code, reason) = (failure.code, failure.told());
        match speaker {
            Speaker::Page { tenant, user } => {
                let application = self.context.application(tenant);
                info!(%call, application, user = named(user), to, code = code.as_u16(), reason, "outside call refused");
            }
            Speaker::Peer { trunk, .. } => info!(%call, trunk = trunk.0, to, code = code.as_u16(), reason, "outside call refused"),
        }
    }

    /// The INVITE with the branch of this CANCEL is taken back (RFC 3261, 9.2).
    fn cancelled(&mut self, speaker: Speaker<'_>, key: &ServerKey, cancel: &Message<'_>) {
        let (leg, invite) = (speaker.leg(), key.invite());
        // With the tag that the answers to its INVITE have.
        let call = self.context.invites.get(&(leg, invite.clone())).and_then(|call| self.calls.get_mut(call));
        let tag = call.map_or_else(|| self.context.random.token(), |call| call.party(leg).tag.clone());
        self.context.respond(leg, key, uas::answer(cancel, StatusCode::OK, &tag).end());
        if let Some(key) = self.context.invites.get(&(leg, invite.clone())).copied() {
            if self.calls.get(&key).is_some_and(|call| call.hears(speaker)) {
                self.with(key, |call, context| call.cancelled(context, leg, reasons(cancel)));
            }
            return;
        }
        let waits = |call: &mut Call| (call.party(leg).answers(&invite) && call.hears(speaker)).then_some(call.key);
        if let Some(key) = self.calls.values_mut().find_map(waits) {
            self.with(key, |call, context| call.reoffer_cancelled(context, leg));
        }
    }

    /// A request that names one of our tags.
    fn inside(&mut self, speaker: Speaker<'_>, key: &ServerKey, request: &OwnedMessage) {
        let leg = speaker.leg();
        match self.owner(speaker, request.get()) {
            Some(call) => self.with(call, |call, context| call.request(context, leg, key, request)),
            None => self.context.refuse(leg, key, request.get(), StatusCode::CALL_DOES_NOT_EXIST),
        }
    }

    fn acknowledged(&mut self, speaker: Speaker<'_>, ack: &Message<'_>) {
        if let Some(call) = self.owner(speaker, ack) {
            self.with(call, |call, context| call.acknowledged(context, speaker.leg(), ack));
        }
    }

    /// The call that a request belongs to, where whoever has sent it is the one at that side of it: Call-ID and tags are no proof.
    fn owner(&self, speaker: Speaker<'_>, request: &Message<'_>) -> Option<CallKey> {
        let (key, side) = self.context.tags.get(to_tag(request)?)?;
        (*side == speaker.leg() && self.calls.get(key)?.hears(speaker)).then_some(*key)
    }

    /// An answer to a request of ours; `Err`: there was none.
    fn answered(&mut self, leg: Leg, key: &ClientKey, answer: Result<&Message<'_>, StatusCode>) {
        let at = (leg, key.clone());
        let Some((call, asked)) = self.context.asked.get(&at).copied() else { return };
        let code = answer.map_or_else(|code| code, |answer| answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR));
        if asked == Asked::Invite {
            return self.with(call, |call, context| call.invite_answered(context, answer));
        }
        if code.is_final() {
            // Copies of the 2xx to a re-INVITE come here, too.
            if asked != Asked::Reinvite || code.is_failure() {
                self.context.settled(call, leg, key);
            }
            self.with(call, |call, context| call.request_answered(context, (leg, asked), key, answer));
        }
    }
}

/// The tag that a request gives its receiver.
fn to_tag<'a>(request: &Message<'a>) -> Option<&'a str> {
    request.to().ok()?.tag()
}

/// The session that an event is about.
const fn session(event: &Event) -> u64 {
    match event {
        Event::Answer { session, .. }
        | Event::Offer { session, .. }
        | Event::Connected { session }
        | Event::Pressed { session, .. }
        | Event::Played { session }
        | Event::Silent { session, .. }
        | Event::Failed { session, .. }
        | Event::Closed { session, .. } => session.0,
    }
}
