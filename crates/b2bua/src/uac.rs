//! The callee's leg, where we are the UAC: the INVITE, its forks and responses, and the next trunk where one does not take the call.

use std::time::Duration;

use offhook_ledger::Kind;
use offhook_media::{Command, Leg};
use offhook_sip::{ApiCode, Message, Method, Start, StatusCode, Writer, escape_user};
use offhook_trunk::TrunkId;
use offhook_ua::forks;
use offhook_ua::log::{Masked, Plain, said};
use offhook_ua::session_timer::SessionTimer;
use tracing::{debug, info};

use super::Timer;
use super::call::{Call, Stage};
use super::context::{Context, NextHop, Purpose, SDP, description, side};
use super::failure::Failure;
use super::party::{Fork, Invite, OfferAnswer, abilities, allow};

/// The session interval that is asked for, s (RFC 4028).
const SESSION: u32 = 1_800;
/// Timer C (RFC 3261, 16.6).
const RING: Duration = Duration::from_secs(180);

impl Call {
    /// Puts the call on the next trunk that is not full, and has our offer made; with no trunk left the call ends.
    pub(super) fn dial(&mut self, context: &mut Context) {
        let Some(trunk) = self.next_trunk(context) else {
            let failure = self
                .failure
                .take()
                .unwrap_or_else(|| Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "No trunk is free"));
            return self.finish(context, failure.cause(), &failure);
        };
        let session = self.key.session();
        if self.peer.next_hop.is_some() {
            context.media(Command::Forget { session, peer: context.peer_settings(&trunk) });
        }
        self.stage = Stage::Calling;
        self.peer.contact = context.trunks.contact(&trunk);
        self.peer.next_hop = Some(NextHop::Trunk(trunk.clone()));
        self.peer.forks.clear();
        self.peer.offer_answer = OfferAnswer::First;
        self.occupy_trunk(context, trunk);
        context.media(Command::Offer { session, leg: Leg::Peer });
    }

    /// Returns the next trunk that is not full. Emergency calls may exceed its limit.
    fn next_trunk(&mut self, context: &Context) -> Option<TrunkId> {
        let (emergency, call) = (self.kind == Kind::Emergency, Plain(&self.call_id));
        let has_room = |trunk: &TrunkId| {
            let full = !emergency && context.trunks.is_full(trunk);
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
        self.log_dialled();
        self.send_invite(context, &call_id, sdp, 1);
        context.timers.start(Timer::Ring(self.key), context.now + RING);
    }

    fn log_dialled(&self) {
        let (call, trunk_call, user) = (Plain(&self.call_id), said(&self.trunk_call), Masked(&self.user));
        let (application, trunk) = (&self.application, self.trunk.as_ref().map(|trunk| &*trunk.0));
        if self.outgoing {
            info!(%call, trunk_call, application, %user, trunk, to = %Masked(&self.to), "dialled");
        } else {
            debug!(%call, trunk_call, application, %user, trunk, "the page is called");
        }
    }

    /// Sends an INVITE with this Call-ID, description and number in CSeq.
    fn send_invite(&mut self, context: &mut Context, call_id: &str, sdp: &str, number: u32) {
        let leg = self.callee_leg();
        let (uri, caller) = match (&self.trunk, &self.destination) {
            (Some(trunk), Some(destination)) => (context.trunks.invite_uri(trunk, destination), self.shown(context, trunk)),
            _ => (format!("sip:{}@{}", escape_user(&self.user), context.settings.domain), self.caller.clone()),
        };
        let last = self.routes.is_empty();
        let (key, headers) = (self.key, self.headers.clone());
        let anonymous = caller.contains("@anonymous.invalid");
        let party = self.party(leg);
        let Some(next_hop) = party.next_hop.clone() else { return };
        // No 100rel: several devices may ring, and with early answers all of them would share our one transport.
        let can = abilities(leg);
        let extensions: Vec<_> = can.extensions.iter().copied().filter(|tag| leg == Leg::Peer || *tag != "100rel").collect();
        let mut invite = Writer::request(Method::Invite, &uri)
            .joined("From", &[&caller, ";tag=", &party.tag])
            .joined("To", &["<", &uri, ">"])
            .field("Call-ID", call_id)
            .cseq(number, Method::Invite)
            .field("Contact", &party.contact)
            .field("Allow", &allow())
            .field("Supported", &extensions.join(", "));
        invite = match leg {
            Leg::Page => invite.field("Recv-Info", "trickle-ice"),
            Leg::Peer if anonymous => invite.field("P-Early-Media", "supported").field("Privacy", "id"),
            Leg::Peer => invite.field("P-Early-Media", "supported"),
        };
        invite = headers.iter().fold(party.timer.propose(invite, SESSION), |invite, (name, value)| invite.field(name, value));
        party.local = Some(sdp.to_owned());
        party.forks.clear();
        let sent = context.send_request(key, &next_hop, Purpose::Invite, invite, Some((SDP, sdp)));
        if last && leg == Leg::Peer {
            context.trunks.persist(&sent);
        }
        self.party(leg).invite = Invite::Sent { key: sent };
    }

    /// Returns the From, without tag, that the SIP side sees. Towards a SIP address it is the user's, unless that would be taken for a number
    /// there; else the number of the account that may be shown over this trunk, or none (RFC 3323).
    fn shown(&self, context: &Context, trunk: &TrunkId) -> String {
        if self.kind == Kind::Sip && !context.trunks.may_mislead(trunk, &self.user) {
            return self.caller.clone();
        }
        match self.caller_id.as_deref().filter(|number| context.trunks.may_show(trunk, number)) {
            Some(number) => format!("<sip:{number}@{};user=phone>", context.settings.domain),
            None => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
        }
    }

    /// Takes a response to our INVITE in; `Err`: there was none, and this status stands for that.
    pub(super) fn invite_answered(&mut self, context: &mut Context, answer: Result<&Message<'_>, StatusCode>) {
        let code = answer.map_or_else(|code| code, |answer| answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR));
        match (code, answer) {
            (StatusCode::TRYING, _) => {}
            (code, Ok(answer)) if code.is_provisional() => self.provisional(context, answer),
            (code, Ok(answer)) if code.is_success() => self.accepted(context, answer),
            (StatusCode::SESSION_INTERVAL_TOO_SMALL, Ok(answer)) if self.retry_longer_interval(context, answer) => {}
            (_, answer) => self.rejected(context, answer),
        }
    }

    /// Takes a provisional response in: PRACK where it is reliable, early media, and the same to the caller.
    fn provisional(&mut self, context: &mut Context, answer: &Message<'_>) {
        if self.stage != Stage::Calling {
            return;
        }
        let leg = self.callee_leg();
        let (key, session) = (self.key, self.key.session());
        let (party, code) = (self.party(leg), answer.code().unwrap_or(StatusCode::RINGING));
        party.learn(answer);
        let next_hop = party.next_hop.clone();
        let mut early = false;
        let first = party.forks.iter().all(|fork| fork.sdp.is_none());
        if let (Some(fork), Some(next_hop)) = (forks::early(&mut party.forks, answer, Fork::new), next_hop) {
            if let Some(prack) = fork.reliable.prack(&mut fork.dialog, answer) {
                context.send_request(key, &next_hop, Purpose::Other, prack, None);
            }
            let silent = answer.early_media().is_some_and(|early| !early.sends());
            if let Some(sdp) = description(answer).map(str::to_owned).filter(|_| fork.sdp.is_none()) {
                fork.sdp = Some(sdp.clone());
                if leg == Leg::Peer && first {
                    context.media(Command::Answered { session, leg, sdp });
                }
            }
            early = leg == Leg::Peer && fork.sdp.is_some() && answer.description().is_some() && !silent;
        }
        debug!(call = %Plain(&self.call_id), trunk_call = said(&self.trunk_call), side = side(leg), code = code.as_u16(), early, "ringing");
        self.send_provisional(context, code, early);
    }

    /// Takes the failure of a PRACK in, which a later request may have overtaken: the next retransmission of its response gets another one.
    pub(super) fn prack_rejected(&mut self, leg: Leg, response: &Message<'_>) {
        let tag = response.to_tag().unwrap_or_default();
        for fork in self.party(leg).forks.iter_mut().filter(|fork| fork.dialog.remote_tag == tag) {
            fork.reliable.prack_failed();
        }
    }

    /// Takes a 2xx in: the first one makes the call, others are retransmissions or of other forks (RFC 3261, 13.2.2.4).
    fn accepted(&mut self, context: &mut Context, answer: &Message<'_>) {
        let leg = self.callee_leg();
        let (key, session) = (self.key, self.key.session());
        let (Ok(to), Ok(cseq)) = (answer.to(), answer.cseq()) else { return };
        let party = self.party(leg);
        let (Some(tag), Some(next_hop)) = (to.tag(), party.next_hop.clone()) else { return };
        if let (Some(dialog), Some(ack)) = (&party.dialog, &party.ack)
            && dialog.remote_tag == tag
        {
            return context.retransmit_ack(&next_hop, ack);
        }
        let taken = party.forks.iter().find_map(|fork| Some((fork.dialog.remote_tag.clone(), fork.sdp.clone()?)));
        let Some(fork) = forks::confirmed(&mut party.forks, answer, Fork::new) else { return };
        let Fork { mut dialog, sdp: early, .. } = fork;
        let ack = context.send_ack(&next_hop, dialog.acknowledge(cseq.number));
        if self.stage != Stage::Calling {
            // Another fork was faster, or the call has ended.
            debug!(call = %Plain(&self.call_id), side = side(leg), "a 2xx that came too late gets BYE");
            context.send_request(key, &next_hop, Purpose::Other, dialog.request(Method::Bye), None);
            if self.is_over() {
                self.party(leg).invite = Invite::Done;
            }
            return;
        }
        let party = self.party(leg);
        party.learn(answer);
        party.invite = Invite::Done;
        party.local = None;
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
        let known = leg == Leg::Peer && taken.as_ref().is_some_and(|taken| *taken == (tag.to_owned(), sdp.clone()));
        if leg == Leg::Peer && taken.is_some_and(|(other, _)| other != tag) {
            context.media(Command::Forget { session, peer: None });
        }
        if !known {
            context.media(Command::Answered { session, leg, sdp });
        }
        debug!(call = %Plain(&self.call_id), trunk_call = said(&self.trunk_call), side = side(leg), "answered");
        self.connect(context);
        self.keep_alive(context, leg);
        self.accept(context);
    }

    /// Sends the INVITE once more where the callee, or a proxy on the way, wants a longer session interval (RFC 4028, 7.3). Whether it did.
    fn retry_longer_interval(&mut self, context: &mut Context, answer: &Message<'_>) -> bool {
        let leg = self.callee_leg();
        let party = self.party(leg);
        let (Ok(call_id), Ok(cseq), Some(sdp)) = (answer.call_id(), answer.cseq(), party.local.clone()) else { return false };
        if !party.timer.too_brief(answer) || self.stage != Stage::Calling {
            return false;
        }
        self.send_invite(context, call_id, &sdp, cseq.number + 1);
        true
    }

    /// Takes a failure in: the next trunk is tried, or the call ends.
    fn rejected(&mut self, context: &mut Context, answer: Result<&Message<'_>, StatusCode>) {
        let leg = self.callee_leg();
        self.party(leg).invite = Invite::Done;
        if self.stage != Stage::Calling {
            return;
        }
        if let Ok(Start::Response { code, reason }) = answer.map(|answer| &answer.start) {
            debug!(call = %Plain(&self.call_id), side = side(leg), code = code.as_u16(), words = %Plain(reason), "the INVITE was rejected");
        }
        let failure = match answer {
            // The caller learns the status alone: the reasons of the switch are about our users.
            Ok(answer) if leg == Leg::Page => Failure::plain(match answer.code() {
                Some(StatusCode::REQUEST_TIMEOUT | StatusCode::REQUEST_TERMINATED) | None => StatusCode::TEMPORARILY_UNAVAILABLE,
                Some(code) => code,
            }),
            Ok(answer) => Failure::passed(answer),
            Err(code) => Failure::no_response(code),
        };
        if leg == Leg::Page || !failure.is_of_trunk() {
            return self.finish(context, failure.cause(), &failure);
        }
        let trunk = self.release_trunk(context).map(|trunk| trunk.0).unwrap_or_default();
        let code = answer.map_or_else(|code| code, |answer| answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR)).as_u16();
        let (call, reason) = (Plain(&self.call_id), failure.log_reason());
        info!(%call, trunk_call = said(&self.trunk_call), trunk, code, reason, "not taken: the next trunk");
        self.failure = Some(failure);
        self.dial(context);
    }

    /// Time-out of the callee.
    pub(super) fn ring_timeout(&mut self, context: &mut Context) {
        self.finish(context, "unanswered", &Failure::new(StatusCode::TEMPORARILY_UNAVAILABLE, ApiCode::Offline, "No answer"));
    }
}
