//! One call, from the INVITE to the last message of it.
//!
//! ```text
//!            the ledger lets it      both sides described     2xx            200 sent
//!   Booking ───────────────▶ Preparing ────────▶ Calling ───────▶ Accepting ───────▶ Up
//!      │                        │                  │  ▲              │               │
//!      │                        │                  └──┘ next trunk   │               │
//!      └────────────────────────┴──── refused, taken back, broken ───┴──── BYE ──────┴──▶ Over ── all answered ──▶ gone
//! ```
//!
//! Calls to test numbers have no other side: they are Calling until their time has come.

use std::collections::VecDeque;
use std::time::Duration;

use offhook_sip::{ApiCode, Method, StatusCode};

use offhook_ledger::{CallRef, End, Kind, NewCall, Query};
use offhook_media::{Command, Leg, PeerSettings, SessionId};
use offhook_proxy::test_number::TestNumber;
use offhook_trunk::{Destination, TrunkId};
use offhook_ua::TIMEOUT;
use offhook_ua::log::{Masked, Plain, said};
use offhook_ua::time::Instant;
use tracing::{debug, info};

use super::Timer;
use super::context::{Asked, Context, Way};
use super::credit::Credit;
use super::failure::Failure;
use super::party::{Invite, Party, Speaker};

/// One call; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallKey(pub(super) u64);

impl CallKey {
    /// Its media.
    pub(super) const fn session(self) -> SessionId {
        SessionId(self.0)
    }
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is asked whose number is called, or whether the call is paid.
    Booking,
    /// Media are made ready.
    Preparing,
    /// The other side has the INVITE, or will have it.
    Calling,
    /// The other side has answered; the caller has not been told.
    Accepting,
    /// Both are connected.
    Up,
    /// It has ended; what still comes is answered.
    Over,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: CallKey,
    pub(super) stage: Stage,
    pub(super) kind: Kind,
    pub(super) application: String,
    /// The user of the page.
    pub(super) user: String,
    /// Call-ID of the page's side.
    pub(super) call_id: String,
    /// Call-ID of the SIP side; empty before it is called.
    pub(super) trunk_call: String,
    /// Whether the page calls.
    pub(super) outgoing: bool,
    pub(super) page: Party,
    pub(super) peer: Party,
    /// Whom the page calls.
    pub(super) destination: Option<Destination>,
    /// The called as the ledger knows it.
    pub(super) to: String,
    /// The caller as shown to the other side, where that is no telephone: a From without tag.
    pub(super) caller: String,
    /// The number that the caller may show.
    pub(super) caller_id: Option<String>,
    /// The caller's own fields.
    pub(super) headers: Vec<(String, String)>,
    pub(super) test: Option<TestNumber>,
    /// Trunks that were not tried yet.
    pub(super) routes: VecDeque<TrunkId>,
    /// The trunk that it is on.
    pub(super) trunk: Option<TrunkId>,
    /// Why it has ended; before that, the best failure of the trunks that were tried.
    pub(super) failure: Option<Failure>,
    pub(super) booking: CallRef,
    booked: bool,
    pub(super) open: bool,
    /// When the other side answered.
    pub(super) connected: Option<Instant>,
    pub(super) credit: Credit,
    /// What the page was last told while it rings: the status, and whether the other side can be heard already.
    pub(super) told: Option<(StatusCode, bool)>,
    /// Whether the page's media are up.
    pub(super) heard: bool,
    /// Until when other devices that rang may answer, too (RFC 3261, 13.2.2.4).
    forks_until: Instant,
    /// Nothing is left to do.
    pub(super) done: bool,
}

/// Who calls whom.
pub(super) struct Parties {
    pub(super) page: Party,
    pub(super) peer: Party,
}

impl Call {
    pub(super) fn new(
        context: &mut Context,
        key: CallKey,
        kind: Kind,
        parties: Parties,
        [application, user, call_id]: [String; 3],
    ) -> Self {
        let booking = CallRef(context.random.uuid());
        context.booked.insert(booking.clone(), key);
        Self {
            key,
            stage: Stage::Booking,
            kind,
            application,
            user,
            call_id,
            trunk_call: String::new(),
            outgoing: kind != Kind::Incoming,
            page: parties.page,
            peer: parties.peer,
            destination: None,
            to: String::new(),
            caller: String::new(),
            caller_id: None,
            headers: Vec::new(),
            test: None,
            routes: VecDeque::new(),
            trunk: None,
            failure: None,
            booking,
            booked: false,
            open: false,
            connected: None,
            credit: Credit::default(),
            told: None,
            heard: false,
            forks_until: Instant::default(),
            done: false,
        }
    }

    pub(super) const fn party(&mut self, leg: Leg) -> &mut Party {
        match leg {
            Leg::Page => &mut self.page,
            Leg::Peer => &mut self.peer,
        }
    }

    /// Whether it is the party of its side who speaks.
    pub(super) fn hears(&self, speaker: Speaker<'_>) -> bool {
        match (speaker, self.way(speaker.leg())) {
            (Speaker::Page { tenant, user }, Some(Way::Page(own))) => tenant == own && user == self.user,
            (Speaker::Peer { trunk, others }, Some(Way::Peer(own))) => *trunk == own || others.contains(&own),
            _ => false,
        }
    }

    /// The side that calls.
    pub(super) const fn caller_leg(&self) -> Leg {
        if self.outgoing { Leg::Page } else { Leg::Peer }
    }

    /// The side that is called.
    pub(super) const fn callee_leg(&self) -> Leg {
        if self.outgoing { Leg::Peer } else { Leg::Page }
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Asks whether the call may be made.
    pub(super) fn book(&mut self, context: &mut Context, from: String) {
        self.booked = true;
        let patience = if self.kind == Kind::Emergency { HELP } else { BOOKING };
        context.set_timer(Timer::Booking(self.key), patience);
        let (call, user, to) = (Plain(&self.call_id), Masked(&self.user), Masked(&self.to));
        debug!(%call, application = self.application, %user, kind = ?self.kind, %to, "the ledger is asked");
        context.ledger(Query::Open(NewCall {
            call: self.booking.clone(),
            application: self.application.clone(),
            call_id: self.call_id.clone(),
            user: self.user.clone(),
            kind: self.kind,
            from,
            to: self.to.clone(),
            at: context.now,
        }));
    }

    /// Media for the call.
    pub(super) fn open(&mut self, context: &mut Context, peer: PeerSettings) {
        self.open = true;
        context.media(Command::Open { session: self.key.session(), call: self.call_id.clone(), peer });
    }

    /// The trunk that the call is on counts it.
    pub(super) fn take_trunk(&mut self, context: &mut Context, trunk: TrunkId) {
        context.trunks.began(&trunk);
        self.trunk = Some(trunk);
    }

    pub(super) fn leave_trunk(&mut self, context: &mut Context) -> Option<TrunkId> {
        let trunk = self.trunk.take();
        trunk.iter().for_each(|trunk| context.trunks.ended(trunk));
        trunk
    }

    /// The other side has answered: from now on it costs.
    pub(super) fn connect(&mut self, context: &mut Context) {
        self.stage = Stage::Accepting;
        self.connected = Some(context.now);
        self.forks_until = context.now + TIMEOUT;
        context.timers.clear(&Timer::Ring(self.key));
        context.ledger(Query::Connected { call: self.booking.clone(), at: context.now });
        self.watch_credit(context);
    }

    /// Ends the call on both sides: each gets what its state asks for, BYE, CANCEL, or `failure` to its INVITE. Once.
    pub(super) fn finish(&mut self, context: &mut Context, cause: &'static str, failure: &Failure) {
        if self.is_over() {
            return;
        }
        self.stage = Stage::Over;
        self.failure = Some(failure.clone());
        for timer in Timer::running(self.key) {
            context.timers.clear(&timer);
        }
        self.leave(context, Leg::Page, failure);
        self.leave(context, Leg::Peer, failure);
        if std::mem::take(&mut self.open) {
            context.media(Command::Close { session: self.key.session() });
        }
        let trunk = self.leave_trunk(context).map(|trunk| trunk.0).unwrap_or_default();
        let code = failure.code;
        if std::mem::take(&mut self.booked) {
            let end = End { cause, code: code.into(), trunk: trunk.clone() };
            context.ledger(Query::Close { call: self.booking.clone(), at: context.now, end });
            debug!(call = %Plain(&self.call_id), "the ledger settles it");
        }
        self.tell_end(context.now, &trunk, cause, failure);
        context.set_timer(Timer::Linger(self.key), TIMEOUT);
    }

    fn tell_end(&self, now: Instant, trunk: &str, cause: &'static str, failure: &Failure) {
        let (call, trunk_call, user) = (Plain(&self.call_id), said(&self.trunk_call), Masked(&self.user));
        let (application, code) = (&self.application, failure.code);
        let trunk = Some(trunk).filter(|trunk| !trunk.is_empty());
        // That it was hung up says the cause.
        let reason = Some(failure.told()).filter(|_| code.is_failure());
        let duration = self.connected.map_or(0, |connected| now.millis_since(connected));
        info!(%call, trunk_call, application, %user, trunk, cause, code = code.as_u16(), reason, duration, "outside call ended");
    }

    /// One side has hung up, perhaps with reasons (RFC 3326).
    pub(super) fn complete(&mut self, context: &mut Context, by: Leg, reasons: Vec<String>) {
        let cause = if by == self.caller_leg() { "caller hung up" } else { "callee hung up" };
        self.finish(context, cause, &Failure::hung_up(StatusCode::OK, reasons));
    }

    /// One side, or the way to it, is gone.
    pub(super) fn lose(&mut self, context: &mut Context, side: Leg) {
        let (cause, why) = if side == self.caller_leg() {
            ("caller lost", "No sign of life from the caller")
        } else {
            ("callee lost", "No sign of life from the callee")
        };
        self.finish(context, cause, &Failure::new(StatusCode::REQUEST_TIMEOUT, ApiCode::Timeout, why));
    }

    fn leave(&mut self, context: &mut Context, leg: Leg, failure: &Failure) {
        let party = self.party(leg);
        match &party.invite {
            Invite::Received { key, invite } => {
                let (key, invite) = (key.clone(), invite.clone());
                party.invite = Invite::Done;
                party.reliable.stop();
                let unavailable = Failure::plain(StatusCode::TEMPORARILY_UNAVAILABLE);
                let failure = if failure.code.is_failure() { failure } else { &unavailable };
                context.respond(leg, &key, failure.answer(invite.get(), leg, &party.tag));
            }
            Invite::Sent { key } => context.cancel(leg, key, failure.reason(leg).as_deref()),
            Invite::None | Invite::Done => self.say_goodbye(context, leg),
        }
    }

    /// BYE: at once, or, where our 2xx was not acknowledged, after its ACK (RFC 3261, 15).
    pub(super) fn say_goodbye(&mut self, context: &mut Context, leg: Leg) {
        let key = self.key;
        let reason = self.failure.as_ref().and_then(|failure| failure.reason(leg));
        let party = self.party(leg);
        if party.gone || party.reliable.is_pending() {
            return;
        }
        if let (Some(dialog), Some(way)) = (party.dialog.as_mut(), party.way.clone()) {
            party.gone = true;
            let bye = reason.iter().fold(dialog.request(Method::Bye), |bye, reason| bye.field("Reason", reason));
            context.ask(key, &way, Asked::Else, bye, None);
        }
    }

    /// An ended call stays while something of it may still have to be answered.
    pub(super) fn settle(&mut self, now: Instant) {
        let waits = |party: &Party| matches!(party.invite, Invite::Sent { .. }) || party.reliable.is_pending();
        self.done = self.is_over() && !waits(&self.page) && !waits(&self.peer) && now >= self.forks_until;
    }

    /// The way to one side of the call.
    pub(super) fn way(&self, leg: Leg) -> Option<Way> {
        match leg {
            Leg::Page => self.page.way.clone(),
            Leg::Peer => self.peer.way.clone(),
        }
    }
}

/// How long the ledger may take.
const BOOKING: Duration = Duration::from_secs(10);
/// The same where somebody calls for help, who does not depend on what it says.
const HELP: Duration = Duration::from_secs(1);
