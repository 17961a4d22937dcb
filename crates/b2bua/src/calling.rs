//! Towards the side that is called: our INVITE, its forks, its answers, and the next trunk where this one does not take the call.

use std::time::Duration;

use offhook_ledger::Kind;
use offhook_media::{Command, Leg};
use offhook_sip::{ApiCode, Message, Method, Start, StatusCode, Writer};
use offhook_trunk::TrunkId;
use offhook_ua::forks;
use offhook_ua::log::{Masked, Plain, said};
use offhook_ua::session_timer::SessionTimer;
use tracing::{debug, info};

use super::Timer;
use super::call::{Call, Stage};
use super::context::{Asked, Context, SDP, Way, description, side};
use super::failure::Failure;
use super::party::{Exchange, Fork, Invite, allow};

/// The session interval that we ask for, s (RFC 4028).
const SESSION: u32 = 1_800;
/// How long it may ring: Timer C (RFC 3261, 16.6).
const RING: Duration = Duration::from_secs(180);

impl Call {
    /// Puts the call on the next trunk that has room; the last one is waited for as long as it takes.
    pub(super) fn dial(&mut self, context: &mut Context) {
        let Some(trunk) = self.next_trunk(context) else {
            let failure = self
                .failure
                .take()
                .unwrap_or_else(|| Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "No trunk is free"));
            return self.finish(context, failure.cause(), &failure);
        };
        let session = self.key.session();
        if self.peer.way.is_some() {
            context.media(Command::Forget { session, peer: context.peer_settings(&trunk) });
        }
        self.stage = Stage::Calling;
        self.peer.contact = context.trunks.contact(&trunk);
        self.peer.way = Some(Way::Peer(trunk.clone()));
        self.peer.forks.clear();
        self.peer.exchange = Exchange::First;
        self.take_trunk(context, trunk);
        context.media(Command::Offer { session, leg: Leg::Peer });
    }

    fn next_trunk(&mut self, context: &Context) -> Option<TrunkId> {
        let (help, call) = (self.kind == Kind::Emergency, Plain(&self.call_id));
        let has_room = |trunk: &TrunkId| {
            let full = !help && context.trunks.is_full(trunk);
            if full {
                debug!(%call, trunk = trunk.0, "the trunk has as many calls as it may");
            }
            !full
        };
        std::iter::from_fn(|| self.routes.pop_front()).find(has_room)
    }

    /// Sends the INVITE, with our offer.
    pub(super) fn invite(&mut self, context: &mut Context, sdp: &str) {
        let call_id = if self.outgoing { context.random.uuid() } else { self.call_id.clone() };
        let leg = self.callee_leg();
        self.party(leg).timer = SessionTimer::new();
        if self.outgoing {
            self.trunk_call.clone_from(&call_id);
        }
        self.tell_dialled();
        self.send_invite(context, [&call_id, sdp], 1);
        context.timers.start(Timer::Ring(self.key), context.now + RING);
    }

    fn tell_dialled(&self) {
        let (call, trunk_call, user) = (Plain(&self.call_id), said(&self.trunk_call), Masked(&self.user));
        let (application, trunk) = (&self.application, self.trunk.as_ref().map(|trunk| &*trunk.0));
        if self.outgoing {
            info!(%call, trunk_call, application, %user, trunk, to = %Masked(&self.to), "dialled");
        } else {
            debug!(%call, trunk_call, application, %user, trunk, "the page is called");
        }
    }

    fn send_invite(&mut self, context: &mut Context, [call_id, sdp]: [&str; 2], number: u32) {
        let leg = self.callee_leg();
        let (uri, caller) = match (&self.trunk, &self.destination) {
            (Some(trunk), Some(destination)) => (context.trunks.invite_uri(trunk, destination), self.shown(context, trunk)),
            _ => (["sip:", &offhook_sip::escape_user(&self.user), "@", &context.settings.domain].concat(), self.caller.clone()),
        };
        let last = self.routes.is_empty();
        let (key, headers) = (self.key, self.headers.clone());
        let anonymous = caller.contains("@anonymous.invalid");
        let party = self.party(leg);
        let Some(way) = party.way.clone() else { return };
        // No early answers of pages: several devices may ring, and all of them would have our one transport.
        let supported = if leg == Leg::Page { "timer, trickle-ice" } else { party.supported() };
        let mut invite = Writer::request(Method::Invite, &uri)
            .field("From", &[&caller, ";tag=", &party.tag].concat())
            .field("To", &["<", &uri, ">"].concat())
            .field("Call-ID", call_id)
            .cseq(number, Method::Invite)
            .field("Contact", &party.contact)
            .field("Allow", &allow())
            .field("Supported", supported);
        invite = match leg {
            Leg::Page => invite.field("Recv-Info", "trickle-ice"),
            Leg::Peer if anonymous => invite.field("P-Early-Media", "supported").field("Privacy", "id"),
            Leg::Peer => invite.field("P-Early-Media", "supported"),
        };
        invite = headers.iter().fold(party.timer.propose(invite, SESSION), |invite, (name, value)| invite.field(name, value));
        party.local = Some(sdp.to_owned());
        party.forks.clear();
        let sent = context.ask(key, &way, Asked::Invite, invite, Some((SDP, sdp)));
        if last && leg == Leg::Peer {
            context.trunks.persist(&sent);
        }
        self.party(leg).invite = Invite::Sent { key: sent };
    }

    /// The From that the SIP side sees. A user has his name towards a SIP address, unless it would be taken for a number there; numbers are
    /// only those that may be shown over this trunk (RFC 3323 where none may).
    fn shown(&self, context: &Context, trunk: &TrunkId) -> String {
        if self.kind == Kind::Sip && !context.trunks.may_mislead(trunk, &self.user) {
            return self.caller.clone();
        }
        match self.caller_id.as_deref().filter(|number| context.trunks.may_show(trunk, number)) {
            Some(number) => ["<sip:", number, "@", &context.settings.domain, ";user=phone>"].concat(),
            None => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
        }
    }

    /// An answer to our INVITE; `None`: there was none, and this status stands for that.
    pub(super) fn invite_answered(&mut self, context: &mut Context, answer: Result<&Message<'_>, StatusCode>) {
        let code = answer.map_or_else(|code| code, |answer| answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR));
        match (code, answer) {
            (StatusCode::TRYING, _) => {}
            (code, Ok(answer)) if code.is_provisional() => self.provisional(context, answer),
            (code, Ok(answer)) if code.is_success() => self.picked_up(context, answer),
            (StatusCode::SESSION_INTERVAL_TOO_SMALL, Ok(answer)) if self.ask_longer(context, answer) => {}
            (_, answer) => self.not_taken(context, answer),
        }
    }

    fn provisional(&mut self, context: &mut Context, answer: &Message<'_>) {
        if self.stage != Stage::Calling {
            return;
        }
        let leg = self.callee_leg();
        let (key, session) = (self.key, self.key.session());
        let (party, code) = (self.party(leg), answer.code().unwrap_or(StatusCode::RINGING));
        party.learn(answer);
        let way = party.way.clone();
        let mut early = false;
        let first = party.forks.iter().all(|fork| fork.sdp.is_none());
        if let (Some(fork), Some(way)) = (forks::early(&mut party.forks, answer, Fork::new), way) {
            if let Some(prack) = fork.reliable.prack(&mut fork.dialog, answer) {
                context.ask(key, &way, Asked::Else, prack, None);
            }
            let silent = answer.get_other("P-Early-Media").is_some_and(|value| value.contains("inactive"));
            if let Some(sdp) = description(answer).map(str::to_owned).filter(|_| fork.sdp.is_none()) {
                fork.sdp = Some(sdp.clone());
                if leg == Leg::Peer && first {
                    context.media(Command::Answered { session, leg, sdp });
                }
            }
            early = leg == Leg::Peer && fork.sdp.is_some() && answer.content_is(SDP) && !silent;
        }
        debug!(call = %Plain(&self.call_id), trunk_call = said(&self.trunk_call), side = side(leg), code = code.as_u16(), early, "it rings");
        self.ring(context, code, early);
    }

    /// A PRACK that came out of order, overtaken by what was sent after it.
    pub(super) fn prack_refused(&mut self, leg: Leg, refusal: &Message<'_>) {
        let tag = refusal.to_tag().unwrap_or_default();
        for fork in self.party(leg).forks.iter_mut().filter(|fork| fork.dialog.remote_tag == tag) {
            fork.reliable.prack_failed();
        }
    }

    /// A 2xx: the first makes the call, others are retransmissions or of other forks (RFC 3261, 13.2.2.4).
    fn picked_up(&mut self, context: &mut Context, answer: &Message<'_>) {
        let leg = self.callee_leg();
        let (key, session) = (self.key, self.key.session());
        let (Ok(to), Ok(cseq)) = (answer.to(), answer.cseq()) else { return };
        let party = self.party(leg);
        let (Some(tag), Some(way)) = (to.tag(), party.way.clone()) else { return };
        if let (Some(dialog), Some(ack)) = (&party.dialog, &party.ack)
            && dialog.remote_tag == tag
        {
            return context.acknowledge_again(&way, ack);
        }
        let taken = party.forks.iter().find_map(|fork| Some((fork.dialog.remote_tag.clone(), fork.sdp.clone()?)));
        let Some(fork) = forks::confirmed(&mut party.forks, answer, Fork::new) else { return };
        let Fork { mut dialog, sdp: early, .. } = fork;
        let ack = context.acknowledge(&way, dialog.acknowledge(cseq.number), None);
        if self.stage != Stage::Calling {
            // Somebody else was faster, or the caller has left.
            debug!(call = %Plain(&self.call_id), side = side(leg), "an answer that came too late is taken back");
            context.ask(key, &way, Asked::Else, dialog.request(Method::Bye), None);
            if self.is_over() {
                self.party(leg).invite = Invite::Done;
            }
            return;
        }
        let party = self.party(leg);
        party.learn(answer);
        party.invite = Invite::Done;
        party.ack = Some(ack);
        party.dialog = Some(dialog);
        party.timer.granted(answer);
        let Some(sdp) = description(answer).map(str::to_owned).or(early) else {
            return self.finish(
                context,
                "failed",
                &Failure::new(StatusCode::BAD_GATEWAY, ApiCode::Unavailable, "The answer has no usable session description"),
            );
        };
        let again = leg == Leg::Peer && taken.as_ref().is_some_and(|taken| *taken == (tag.to_owned(), sdp.clone()));
        if leg == Leg::Peer && taken.is_some_and(|(other, _)| other != tag) {
            context.media(Command::Forget { session, peer: None });
        }
        if !again {
            context.media(Command::Answered { session, leg, sdp });
        }
        debug!(call = %Plain(&self.call_id), trunk_call = said(&self.trunk_call), side = side(leg), "answered");
        self.connect(context);
        self.keep_alive(context, leg);
        self.accept(context);
    }

    /// The callee, or somebody on the way, wants a longer session interval (RFC 4028, 7.3): once more, with that.
    fn ask_longer(&mut self, context: &mut Context, answer: &Message<'_>) -> bool {
        let leg = self.callee_leg();
        let party = self.party(leg);
        let (Ok(call_id), Ok(cseq), Some(sdp)) = (answer.call_id(), answer.cseq(), party.local.clone()) else { return false };
        if !party.timer.too_brief(answer) || self.stage != Stage::Calling {
            return false;
        }
        self.send_invite(context, [call_id, &sdp], cseq.number + 1);
        true
    }

    /// A failure.
    fn not_taken(&mut self, context: &mut Context, answer: Result<&Message<'_>, StatusCode>) {
        let leg = self.callee_leg();
        self.party(leg).invite = Invite::Done;
        if self.stage != Stage::Calling {
            return;
        }
        if let Ok(Start::Response { code, reason }) = answer.map(|answer| &answer.start) {
            debug!(call = %Plain(&self.call_id), side = side(leg), code = code.as_u16(), words = %Plain(reason), "the call is not taken");
        }
        let failure = match answer {
            // What the switch says of our users is for us alone.
            Ok(answer) if leg == Leg::Page => Failure::plain(match answer.code() {
                Some(StatusCode::REQUEST_TIMEOUT | StatusCode::REQUEST_TERMINATED) | None => StatusCode::TEMPORARILY_UNAVAILABLE,
                Some(code) => code,
            }),
            Ok(answer) => Failure::passed(answer),
            Err(code) => Failure::unheard(code),
        };
        if leg == Leg::Page || !failure.is_trunks() {
            return self.finish(context, failure.cause(), &failure);
        }
        let trunk = self.leave_trunk(context).map(|trunk| trunk.0).unwrap_or_default();
        let code = answer.map_or_else(|code| code, |answer| answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR)).as_u16();
        let (call, reason) = (Plain(&self.call_id), failure.told());
        info!(%call, trunk_call = said(&self.trunk_call), trunk, code, reason, "not taken: the next trunk");
        self.failure = Some(failure);
        self.dial(context);
    }

    /// It has rung for too long.
    pub(super) fn unanswered(&mut self, context: &mut Context) {
        self.finish(context, "unanswered", &Failure::new(StatusCode::TEMPORARILY_UNAVAILABLE, ApiCode::Offline, "No answer"));
    }
}
