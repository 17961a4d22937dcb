//! One call, from the INVITE to the last message of it.
//!
//! ```text
//!              the ledger grants it     descriptions made    2xx              200 sent
//!   Reserving ───────────────▶ Preparing ───────▶ Calling ───────▶ Accepting ───────▶ Up
//!      │                          │                │  ▲               │               │
//!      │                          │                └──┘ next trunk    │               │
//!      └──────────────────────────┴──── rejected, cancelled, failed ──┴───── BYE ─────┴──▶ Over ── no response due ──▶ forgotten
//! ```
//!
//! Calls to test numbers have no SIP side: they are Calling until a timer ends that.

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
use super::context::{Context, NextHop, Purpose};
use super::credit::Credit;
use super::failure::Failure;
use super::party::{Invite, Party, Sender};

/// One call; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallKey(pub(super) u64);

impl CallKey {
    /// Returns the session of its media.
    pub(super) const fn session(self) -> SessionId {
        SessionId(self.0)
    }
}

/// The state of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The store is asked whose number is called, or the ledger whether the call is paid.
    Reserving,
    /// The media make their descriptions.
    Preparing,
    /// The INVITE to the callee is sent, or waits for its offer.
    Calling,
    /// The callee has answered; the 200 to the caller waits for a PRACK.
    Accepting,
    /// Both legs are answered.
    Up,
    /// It has ended; requests and late responses are still answered.
    Over,
}

/// A call: two legs, its media and its reservation.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: CallKey,
    pub(super) stage: Stage,
    pub(super) kind: Kind,
    pub(super) application: String,
    /// The user of the page.
    pub(super) user: String,
    /// Call-ID of the page's leg.
    pub(super) call_id: String,
    /// Call-ID of the SIP leg; empty before that has an INVITE.
    pub(super) trunk_call: String,
    /// Whether the page calls.
    pub(super) outgoing: bool,
    pub(super) page: Party,
    pub(super) peer: Party,
    /// Whom the page calls.
    pub(super) destination: Option<Destination>,
    /// The callee as the ledger knows it.
    pub(super) to: String,
    /// The From, without tag, that the callee sees where that is no telephone.
    pub(super) caller: String,
    /// The number that the caller may show.
    pub(super) caller_id: Option<String>,
    /// The header fields of the caller's app.
    pub(super) headers: Vec<(String, String)>,
    /// The test number that is called.
    pub(super) test: Option<TestNumber>,
    /// Trunks that were not tried yet.
    pub(super) routes: VecDeque<TrunkId>,
    /// The trunk that it is on.
    pub(super) trunk: Option<TrunkId>,
    /// Why it has ended; before that, the best failure of the trunks that were tried.
    pub(super) failure: Option<Failure>,
    /// The reference in the ledger.
    pub(super) reference: CallRef,
    /// Whether the ledger waits for its end.
    reserved: bool,
    /// Whether the media have a session for it.
    pub(super) open: bool,
    /// When the callee answered.
    pub(super) connected: Option<Instant>,
    pub(super) credit: Credit,
    /// The last provisional response to the caller: its status, and whether there are early media (RFC 5009).
    pub(super) provisional: Option<(StatusCode, bool)>,
    /// The last one that was sent reliably to a caller behind a trunk, who requires that, and its RSeq.
    pub(super) reliable: Option<((StatusCode, bool), u32)>,
    /// Whether the page's media are up.
    pub(super) media_connected: bool,
    /// Until when other forks may send a 2xx, too (RFC 3261, 13.2.2.4).
    forks_until: Instant,
    /// Whether nothing is left to do.
    pub(super) done: bool,
}

impl Call {
    /// Returns a call of which nothing but its legs and the Call-ID of the page's leg is known.
    pub(super) fn new(context: &mut Context, key: CallKey, kind: Kind, (page, peer): (Party, Party), call_id: String) -> Self {
        let reference = CallRef(context.random.uuid());
        context.references.insert(reference.clone(), key);
        Self {
            key,
            stage: Stage::Reserving,
            kind,
            application: String::new(),
            user: String::new(),
            call_id,
            trunk_call: String::new(),
            outgoing: kind != Kind::Incoming,
            page,
            peer,
            destination: None,
            to: String::new(),
            caller: String::new(),
            caller_id: None,
            headers: Vec::new(),
            test: None,
            routes: VecDeque::new(),
            trunk: None,
            failure: None,
            reference,
            reserved: false,
            open: false,
            connected: None,
            credit: Credit::default(),
            provisional: None,
            reliable: None,
            media_connected: false,
            forks_until: Instant::default(),
            done: false,
        }
    }

    /// Returns one leg.
    pub(super) const fn party(&mut self, leg: Leg) -> &mut Party {
        match leg {
            Leg::Page => &mut self.page,
            Leg::Peer => &mut self.peer,
        }
    }

    /// Whether the sender is the party of its leg.
    pub(super) fn accepts(&self, sender: Sender<'_>) -> bool {
        match (sender, self.next_hop(sender.leg())) {
            (Sender::Page { tenant, user }, Some(NextHop::Switch(own))) => tenant == own && user == self.user,
            (Sender::Peer { trunk, others }, Some(NextHop::Trunk(own))) => *trunk == own || others.contains(&own),
            _ => false,
        }
    }

    /// Returns the caller's leg.
    pub(super) const fn caller_leg(&self) -> Leg {
        if self.outgoing { Leg::Page } else { Leg::Peer }
    }

    /// Returns the callee's leg.
    pub(super) const fn callee_leg(&self) -> Leg {
        if self.outgoing { Leg::Peer } else { Leg::Page }
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Asks the ledger whether the call may be made; `from` is the caller as it knows it.
    pub(super) fn reserve(&mut self, context: &mut Context, from: String) {
        self.reserved = true;
        let timeout = if self.kind == Kind::Emergency { LEDGER_EMERGENCY } else { LEDGER };
        context.set_timer(Timer::Ledger(self.key), timeout);
        let (call, user, to) = (Plain(&self.call_id), Masked(&self.user), Masked(&self.to));
        debug!(%call, application = self.application, %user, kind = ?self.kind, %to, "the ledger is asked");
        context.ledger(Query::Open(NewCall {
            call: self.reference.clone(),
            application: self.application.clone(),
            call_id: self.call_id.clone(),
            user: self.user.clone(),
            kind: self.kind,
            from,
            to: self.to.clone(),
            at: context.now,
        }));
    }

    /// Opens its session of the media.
    pub(super) fn open(&mut self, context: &mut Context, peer: PeerSettings) {
        self.open = true;
        context.media(Command::Open { session: self.key.session(), call: self.call_id.clone(), peer });
    }

    /// Puts the call on a trunk, which counts it.
    pub(super) fn occupy_trunk(&mut self, context: &mut Context, trunk: TrunkId) {
        context.trunks.began(&trunk);
        self.trunk = Some(trunk);
    }

    /// Takes the call off its trunk.
    pub(super) fn release_trunk(&mut self, context: &mut Context) -> Option<TrunkId> {
        let trunk = self.trunk.take();
        trunk.iter().for_each(|trunk| context.trunks.ended(trunk));
        trunk
    }

    /// The callee has answered: from now on the call costs.
    pub(super) fn connect(&mut self, context: &mut Context) {
        self.stage = Stage::Accepting;
        self.connected = Some(context.now);
        self.forks_until = context.now + TIMEOUT;
        context.timers.clear(&Timer::Ring(self.key));
        context.ledger(Query::Connected { call: self.reference.clone(), at: context.now });
        self.watch_credit(context);
    }

    /// Ends the call on both legs, once: each gets what its state asks for, BYE, CANCEL, or `failure` to its INVITE.
    pub(super) fn finish(&mut self, context: &mut Context, cause: &'static str, failure: &Failure) {
        if self.is_over() {
            return;
        }
        self.stage = Stage::Over;
        self.failure = Some(failure.clone());
        for timer in Timer::running(self.key) {
            context.timers.clear(&timer);
        }
        self.end_leg(context, Leg::Page, failure);
        self.end_leg(context, Leg::Peer, failure);
        if std::mem::take(&mut self.open) {
            context.media(Command::Close { session: self.key.session() });
        }
        let trunk = self.release_trunk(context).map(|trunk| trunk.0).unwrap_or_default();
        let code = failure.code;
        if std::mem::take(&mut self.reserved) {
            let end = End { cause, code: code.into(), trunk: trunk.clone() };
            context.ledger(Query::Close { call: self.reference.clone(), at: context.now, end });
            debug!(call = %Plain(&self.call_id), "the reservation is closed");
        }
        self.log_end(context.now, &trunk, cause, failure);
        context.set_timer(Timer::Linger(self.key), TIMEOUT);
    }

    fn log_end(&self, now: Instant, trunk: &str, cause: &'static str, failure: &Failure) {
        let (call, trunk_call, user) = (Plain(&self.call_id), said(&self.trunk_call), Masked(&self.user));
        let (application, code) = (&self.application, failure.code);
        let trunk = Some(trunk).filter(|trunk| !trunk.is_empty());
        // Where somebody hung up, the cause says so.
        let reason = Some(failure.log_reason()).filter(|_| code.is_failure());
        let duration = self.connected.map_or(0, |connected| now.millis_since(connected));
        info!(%call, trunk_call, application, %user, trunk, cause, code = code.as_u16(), reason, duration, "outside call ended");
    }

    /// One party has hung up, perhaps with reasons (RFC 3326).
    pub(super) fn hung_up(&mut self, context: &mut Context, by: Leg, reasons: Vec<String>) {
        let cause = if by == self.caller_leg() { "caller hung up" } else { "callee hung up" };
        self.finish(context, cause, &Failure::hung_up(StatusCode::OK, reasons));
    }

    /// One party, or the path to it, is gone.
    pub(super) fn lost(&mut self, context: &mut Context, leg: Leg) {
        let (cause, why) = if leg == self.caller_leg() {
            ("caller lost", "No sign of life from the caller")
        } else {
            ("callee lost", "No sign of life from the callee")
        };
        self.finish(context, cause, &Failure::new(StatusCode::REQUEST_TIMEOUT, ApiCode::Timeout, why));
    }

    /// The SIP side sends no media any more.
    pub(super) fn silent(&mut self, context: &mut Context) {
        let cause = if self.outgoing { "callee silent" } else { "caller silent" };
        self.finish(context, cause, &Failure::new(StatusCode::REQUEST_TIMEOUT, ApiCode::Timeout, "No media from the phone"));
    }

    fn end_leg(&mut self, context: &mut Context, leg: Leg, failure: &Failure) {
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
            Invite::None | Invite::Done => self.send_bye(context, leg),
        }
    }

    /// Sends BYE, unless our 2xx waits for its ACK: then BYE follows that (RFC 3261, 15).
    pub(super) fn send_bye(&mut self, context: &mut Context, leg: Leg) {
        let key = self.key;
        let why = |failure: &Failure| [("Reason", failure.reason(leg)), ("X-Error", failure.x_error(leg).map(str::to_owned))];
        let why = self.failure.as_ref().map(why).into_iter().flatten();
        let why: Vec<_> = why.filter_map(|(name, value)| Some((name, value?))).collect();
        let party = self.party(leg);
        if party.gone || party.reliable.is_pending() {
            return;
        }
        if let (Some(dialog), Some(next_hop)) = (party.dialog.as_mut(), party.next_hop.clone()) {
            party.gone = true;
            let bye = why.iter().fold(dialog.request(Method::Bye), |bye, (name, value)| bye.field(name, value));
            context.send_request(key, &next_hop, Purpose::Other, bye, None);
        }
    }

    /// Finds out whether the call can be forgotten: no response and no ACK is due any more.
    pub(super) fn settle(&mut self, now: Instant) {
        let waits = |party: &Party| matches!(party.invite, Invite::Sent { .. }) || party.reliable.is_pending();
        self.done = self.is_over() && !waits(&self.page) && !waits(&self.peer) && now >= self.forks_until;
    }

    /// Returns where the messages for one leg go; `None` before that is known.
    pub(super) fn next_hop(&self, leg: Leg) -> Option<NextHop> {
        match leg {
            Leg::Page => self.page.next_hop.clone(),
            Leg::Peer => self.peer.next_hop.clone(),
        }
    }
}

/// How long the ledger may take.
const LEDGER: Duration = Duration::from_secs(10);
/// The same for an emergency call, which leaves whatever the ledger says.
const LEDGER_EMERGENCY: Duration = Duration::from_secs(1);
