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
mod core;
mod credit;
mod emergency;
mod events;
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
use offhook_sip::{Abilities, ApiCode, Message, Method, StatusCode, Uri, parse, reply};
use offhook_trunk::{self as trunk, Trunks};
use offhook_ua::log::{Plain, named};
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Received, ServerKey, Transport};
use offhook_ua::uas;
use tracing::info;

use self::call::{Call, CallKey};
use self::core::{Asked, Core};
use self::failure::Failure;
use self::party::Speaker;

pub use emergency::Emergency;
pub use port::{Callee, Input, MapId, Output, RESERVE, Settings};

/// The bridge.
pub struct Bridge {
    core: Core,
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
    /// When to repeat an answer that was not acknowledged.
    Repeat(CallKey, Leg),
    /// When no late answer can come any more.
    Linger(CallKey),
}

impl Timer {
    const fn call(self) -> CallKey {
        match self {
            Self::Booking(key) | Self::Ring(key) | Self::Credit(key) | Self::Test(key) | Self::Linger(key) => key,
            Self::Refresh(key, _) | Self::Expire(key, _) | Self::Repeat(key, _) => key,
        }
    }

    /// Those that mean nothing once the call has ended.
    fn running(key: CallKey) -> impl Iterator<Item = Self> {
        let sides = [Leg::Page, Leg::Peer].into_iter().flat_map(move |leg| [Self::Refresh(key, leg), Self::Expire(key, leg)]);
        [Self::Booking(key), Self::Ring(key), Self::Credit(key), Self::Test(key)].into_iter().chain(sides)
    }

    fn all(key: CallKey) -> impl Iterator<Item = Self> {
        let last = [Self::Repeat(key, Leg::Page), Self::Repeat(key, Leg::Peer), Self::Linger(key)];
        Self::running(key).chain(last)
    }
}

impl Bridge {
    /// A bridge with no calls. `seed` makes its tags and names: it must not be guessable.
    #[must_use]
    pub fn new(settings: Settings, trunks: Trunks, seed: [u8; 32]) -> Self {
        Self { core: Core::new(settings, trunks, seed), calls: BTreeMap::new(), serial: 0 }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Page { application, text } => self.page(now, &application, &text),
            Input::Trunk(input) => self.core.trunks.handle(now, input),
            Input::Media(event) => {
                let key = CallKey(session(&event));
                self.with(now, key, |call, core| call.media_told(core, now, event));
            }
            Input::Ledger { call, answer } => {
                if let Some(key) = self.core.booked.get(&call).copied() {
                    self.with(now, key, |call, core| call.booked(core, now, answer));
                }
            }
            Input::Mapped { query, callee } => self.with(now, CallKey(query.0), |call, core| call.mapped(core, now, callee)),
            Input::Timeout => self.timeout(now),
            Input::Drain => self.core.room.drain(),
            Input::Stop => self.stop(now),
        }
        self.trunks(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.core.out.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.core.timers.next(), self.core.pages.deadline(), self.core.trunks.deadline()].into_iter().flatten().min()
    }

    /// How many calls there are that have not ended.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.core.room.len()
    }

    /// How many things are remembered, of whatever kind, but for what the trunks are.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let core = &self.core;
        self.calls.len() + core.room.len() + core.len() + core.timers.len() + core.pages.len() + core.out.len()
    }

    /// Whether nobody waits for an answer of a trunk.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.core.trunks.is_quiet()
    }

    /// The trunks, to look at them.
    #[must_use]
    pub const fn outside(&self) -> &Trunks {
        &self.core.trunks
    }

    /// The end has come: no call outlives us, as its sound goes through here.
    fn stop(&mut self, now: Instant) {
        self.core.room.close();
        let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Server is going down");
        let running: Vec<CallKey> = self.calls.iter().filter(|(_, call)| !call.is_over()).map(|(key, _)| *key).collect();
        for key in running {
            self.with(now, key, |call, core| call.finish(core, now, "gateway going down", &failure));
        }
        self.core.trunks.leave(now);
    }

    /// Lets a call do something, and forgets it where nothing is left to do.
    fn with(&mut self, now: Instant, key: CallKey, act: impl FnOnce(&mut Call, &mut Core)) {
        let Some(mut call) = self.calls.remove(&key) else { return };
        let was = call.is_over();
        act(&mut call, &mut self.core);
        call.settle(now);
        self.keep(call, was);
    }

    fn keep(&mut self, call: Call, was_over: bool) {
        if !was_over && call.is_over() {
            self.core.room.leave(&call);
        }
        if call.done {
            self.core.forget(call.key, &call.booking);
        } else {
            self.calls.insert(call.key, call);
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.core.pages.handle_timeout(now);
        self.core.flush();
        self.core.trunks.handle(now, trunk::Input::Timeout);
        while let Some(timer) = self.core.timers.pop(now) {
            let linger = matches!(timer, Timer::Linger(_));
            self.with(now, timer.call(), |call, core| match timer {
                Timer::Booking(_) => call.unbooked(core, now),
                Timer::Ring(_) => call.unanswered(core, now),
                Timer::Refresh(_, leg) => call.refresh(core, now, leg),
                Timer::Expire(_, leg) => call.lose(core, now, leg),
                Timer::Credit(_) => call.watch_credit(core, now),
                Timer::Test(_) => call.test_due(core, now),
                Timer::Repeat(_, leg) => call.repeat(core, now, leg),
                Timer::Linger(_) => {}
            });
            if linger && let Some(call) = self.calls.remove(&timer.call()) {
                self.core.forget(call.key, &call.booking);
            }
        }
    }

    /// The switch has sent a message.
    fn page(&mut self, now: Instant, application: &str, text: &str) {
        let Ok(message) = parse(text.as_bytes()) else { return };
        let tenant = self.core.tenant(application);
        if self.core.pages.origin(&message).is_some_and(|origin| origin != tenant) {
            return;
        }
        let user = message.from().map(|from| from.uri.user_text()).unwrap_or_default();
        let speaker = Speaker::Page { tenant, user: &user };
        match self.core.pages.receive(now, tenant, Transport::Reliable, &message) {
            Received::Request(key) if key.method() == Method::Cancel => {
                if self.core.pages.way_back(&key.invite()) != Some(tenant) {
                    return self.core.refuse(now, Leg::Page, &key, &message, StatusCode::CALL_DOES_NOT_EXIST);
                }
                self.cancelled(now, speaker, &key, &message);
            }
            Received::Request(key) if to_tag(&message).is_some() => self.inside(now, speaker, &key, &message),
            Received::Request(key) if key.method() == Method::Invite => {
                self.core.respond(now, Leg::Page, &key, reply(&message, StatusCode::TRYING, None).end());
                self.begin(now, speaker, key, &message, |core, call, key| Call::outgoing(core, now, (call, tenant), key, &message));
            }
            Received::Request(key) => self.core.refuse(now, Leg::Page, &key, &message, Abilities::unserved(key.method())),
            Received::Ack => self.acknowledged(now, speaker, &message),
            Received::Response(key) => self.answered(now, Leg::Page, &key, Ok(&message)),
            Received::Absorbed | Received::Stray => {}
        }
        self.core.flush();
    }

    /// Takes up what the trunks tell, and hands on what they want done.
    fn trunks(&mut self, now: Instant) {
        while let Some(output) = self.core.trunks.poll() {
            match output {
                trunk::Output::Event(event) => self.trunk_told(now, event),
                output => self.core.out.push_back(Output::Trunk(output)),
            }
        }
    }

    fn trunk_told(&mut self, now: Instant, event: trunk::Event) {
        match event {
            trunk::Event::Request { trunk, others, key, text } => {
                let Ok(message) = parse(text.as_bytes()) else { return };
                let speaker = Speaker::Peer { trunk: &trunk, others: &others };
                match key {
                    None => self.acknowledged(now, speaker, &message),
                    Some(key) if key.method() == Method::Cancel => self.cancelled(now, speaker, &key, &message),
                    Some(key) if to_tag(&message).is_some() => self.inside(now, speaker, &key, &message),
                    Some(key) => self.begin(now, speaker, key, &message, |core, call, key| {
                        Call::incoming(core, now, (call, trunk.clone()), key, &message)
                    }),
                }
            }
            trunk::Event::Response { key, text } => {
                if let Ok(message) = parse(text.as_bytes()) {
                    self.answered(now, Leg::Peer, &key, Ok(&message));
                }
            }
            trunk::Event::Failed { key, code } => self.answered(now, Leg::Peer, &key, Err(code)),
            // The call repeats its own 2xx and gives up by itself; a refusal that nobody has heard changes nothing.
            trunk::Event::NoAck { .. } => {}
        }
    }

    /// An INVITE that makes a call, where there is room for it.
    fn begin(
        &mut self,
        now: Instant,
        speaker: Speaker<'_>,
        key: ServerKey,
        invite: &Message<'_>,
        make: impl FnOnce(&mut Core, CallKey, &ServerKey) -> Result<Call, Failure>,
    ) {
        let leg = speaker.leg();
        self.serial += 1;
        let call = CallKey(self.serial);
        match make(&mut self.core, call, &key) {
            Ok(made) => {
                self.core.began(call, leg, key);
                self.core.room.enter(&made);
                self.keep(made, false);
            }
            Err(failure) => {
                self.tell_refused(speaker, invite, &failure);
                let tag = self.core.random.token();
                self.core.forget_leads(call);
                self.core.respond(now, leg, &key, failure.answer(invite, leg, &tag));
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
                let application = self.core.application(tenant);
                info!(%call, application, user = named(user), to, code = code.as_u16(), reason, "outside call refused");
            }
            Speaker::Peer { trunk, .. } => info!(%call, trunk = trunk.0, to, code = code.as_u16(), reason, "outside call refused"),
        }
    }

    /// The INVITE with the branch of this CANCEL is taken back (RFC 3261, 9.2).
    fn cancelled(&mut self, now: Instant, speaker: Speaker<'_>, key: &ServerKey, cancel: &Message<'_>) {
        let (leg, invite) = (speaker.leg(), key.invite());
        // With the tag that the answers to its INVITE have.
        let call = self.core.invites.get(&(leg, invite.clone())).and_then(|call| self.calls.get_mut(call));
        let tag = call.map_or_else(|| self.core.random.token(), |call| call.party(leg).tag.clone());
        self.core.respond(now, leg, key, uas::answer(cancel, StatusCode::OK, &tag).end());
        if let Some(key) = self.core.invites.get(&(leg, invite.clone())).copied() {
            if self.calls.get(&key).is_some_and(|call| call.hears(speaker)) {
                self.with(now, key, |call, core| call.cancelled(core, now, leg, reasons(cancel)));
            }
            return;
        }
        let waits = |call: &mut Call| (call.party(leg).answers(&invite) && call.hears(speaker)).then_some(call.key);
        if let Some(key) = self.calls.values_mut().find_map(waits) {
            self.with(now, key, |call, core| call.reoffer_cancelled(core, now, leg));
        }
    }

    /// A request that names one of our tags.
    fn inside(&mut self, now: Instant, speaker: Speaker<'_>, key: &ServerKey, request: &Message<'_>) {
        let leg = speaker.leg();
        match self.owner(speaker, request) {
            Some(call) => self.with(now, call, |call, core| call.request(core, now, leg, key, request)),
            None => self.core.refuse(now, leg, key, request, StatusCode::CALL_DOES_NOT_EXIST),
        }
    }

    fn acknowledged(&mut self, now: Instant, speaker: Speaker<'_>, ack: &Message<'_>) {
        if let Some(call) = self.owner(speaker, ack) {
            self.with(now, call, |call, core| call.acknowledged(core, now, speaker.leg(), ack));
        }
    }

    /// The call that a request belongs to, where whoever has sent it is the one at that side of it: Call-ID and tags are no proof.
    fn owner(&self, speaker: Speaker<'_>, request: &Message<'_>) -> Option<CallKey> {
        let (key, side) = self.core.tags.get(to_tag(request)?)?;
        (*side == speaker.leg() && self.calls.get(key)?.hears(speaker)).then_some(*key)
    }

    /// An answer to a request of ours; `Err`: there was none.
    fn answered(&mut self, now: Instant, leg: Leg, key: &ClientKey, answer: Result<&Message<'_>, StatusCode>) {
        let at = (leg, key.clone());
        let Some((call, asked)) = self.core.asked.get(&at).copied() else { return };
        let code = answer.map_or_else(|code| code, |answer| answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR));
        if asked == Asked::Invite {
            return self.with(now, call, |call, core| call.invite_answered(core, now, answer));
        }
        if code.is_final() {
            // Copies of the 2xx to a re-INVITE come here, too.
            if asked != Asked::Reinvite || code.is_failure() {
                self.core.settled(call, leg, key);
            }
            self.with(now, call, |call, core| call.request_answered(core, now, (leg, asked), key, answer));
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
        | Event::Digit { session, .. }
        | Event::Played { session }
        | Event::Silent { session, .. }
        | Event::Failed { session, .. }
        | Event::Closed { session, .. } => session.0,
    }
}
