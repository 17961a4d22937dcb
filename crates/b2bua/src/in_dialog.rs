//! In-dialog requests, on either leg. Each leg has media of its own, so offers, session refreshes and trickled candidates end here; what goes
//! on to the other leg are DTMF digits and the end of the call.

use offhook_media::{Command, Leg, MAX_SDP};
use offhook_sip::{Abilities, Message, Method, OwnedMessage, StatusCode, dtmf, reasons, reply};
use offhook_trunk::Dtmf;
use offhook_ua::session_timer::{AGAIN, Refreshed, SessionTimer};
use offhook_ua::transaction::{ClientKey, ServerKey};
use offhook_ua::{dialog, uas};

use super::Timer;
use super::call::{Call, Stage};
use super::context::{Context, Purpose, SDP, description};
use super::failure::Failure;
use super::party::{Invite, OfferAnswer, abilities, allow};

impl Call {
    /// Takes a request in one of the call's dialogs in.
    pub(super) fn request(&mut self, context: &mut Context, leg: Leg, key: &ServerKey, message: &OwnedMessage) {
        let request = message.get();
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let Some(dialog) = self.party(leg).dialog_of(request) else {
            return context.reject(leg, key, request, StatusCode::CALL_DOES_NOT_EXIST);
        };
        if !dialog.in_order(number) {
            return context.reject(leg, key, request, StatusCode::SERVER_INTERNAL_ERROR);
        }
        let Some(method) = request.method() else { return };
        if self.is_over() && method != Method::Bye {
            return context.reject(leg, key, request, StatusCode::CALL_DOES_NOT_EXIST);
        }
        if let Err(code) = uas::check_in_dialog(request, &abilities(leg)) {
            return context.reject(leg, key, request, code);
        }
        match method {
            Method::Bye => self.bye(context, leg, key, request),
            Method::Prack => self.provisional_acknowledged(context, leg, key, request),
            Method::Info => self.info(context, leg, key, request),
            Method::Invite | Method::Update => self.reoffered(context, leg, key, message),
            Method::Options => {
                let answer = reply(request, StatusCode::OK, None).field("Allow", &allow()).field("Accept", SDP);
                context.respond(leg, key, answer.end());
            }
            // No transfers: who would pay for what is open.
            Method::Refer => context.reject(leg, key, request, StatusCode::DECLINE),
            method => context.reject(leg, key, request, Abilities::unserved(method)),
        }
    }

    /// Takes BYE in.
    fn bye(&mut self, context: &mut Context, leg: Leg, key: &ServerKey, bye: &Message<'_>) {
        context.respond(leg, key, reply(bye, StatusCode::OK, None).end());
        let party = self.party(leg);
        party.gone = true;
        if matches!(party.invite, Invite::Received { .. }) {
            // The caller ends an early dialog with BYE: the INVITE still needs its final response (RFC 3261, 15.1.2).
            return self.finish(context, "cancelled", &Failure::hung_up(StatusCode::REQUEST_TERMINATED, reasons(bye)));
        }
        party.reliable.stop();
        self.watch_acknowledgement(context, leg);
        self.hung_up(context, leg, reasons(bye));
    }

    /// Takes INFO in: DTMF digits and candidates.
    fn info(&mut self, context: &mut Context, leg: Leg, key: &ServerKey, info: &Message<'_>) {
        let pressed = if dtmf::TYPES.iter().any(|kind| info.content_is(kind)) {
            let Some(pressed) = dtmf::read(info.text()) else { return context.reject(leg, key, info, StatusCode::BAD_REQUEST) };
            Some(pressed)
        } else {
            // Candidates: the gateway is ICE-lite and needs none of the peer's (RFC 8445, 2.5).
            None
        };
        context.respond(leg, key, reply(info, StatusCode::OK, None).end());
        if let Some((digit, duration)) = pressed {
            self.dtmf(context, leg, digit, duration);
        }
    }

    /// Passes a DTMF digit of one leg on to the other one, by INFO or in RTP, as that takes them; `duration` in ms.
    pub(super) fn dtmf(&mut self, context: &mut Context, leg: Leg, digit: char, duration: u32) {
        if self.stage != Stage::Up {
            return;
        }
        if self.test.is_some() {
            return self.test_digit(context, digit);
        }
        let other = if leg == Leg::Page { Leg::Peer } else { Leg::Page };
        let by_info = other == Leg::Peer && self.trunk.as_ref().is_some_and(|trunk| context.trunks.dtmf(trunk) == Dtmf::Info);
        let (key, session) = (self.key, self.key.session());
        if !by_info {
            return context.media(Command::SendDigit { session, leg: other, digit, duration });
        }
        let (Some(next_hop), Some(dialog)) = (self.next_hop(other), self.peer.dialog.as_mut()) else { return };
        let body = dtmf::write(digit.encode_utf8(&mut [0; 4]), duration);
        context.send_request(key, &next_hop, Purpose::Other, dialog.request(Method::Info), Some((dtmf::TYPE, &body)));
    }

    /// Takes a re-INVITE or UPDATE in: another offer, or only a session refresh.
    fn reoffered(&mut self, context: &mut Context, leg: Leg, key: &ServerKey, message: &OwnedMessage) {
        let request = message.get();
        let (offer, invite) = (request.description(), request.method() == Some(Method::Invite));
        let session = self.key.session();
        let up = self.stage == Stage::Up;
        let party = self.party(leg);
        if invite && up {
            party.reliable.reinvited();
        }
        let free = matches!(party.offer_answer, OfferAnswer::Idle) && !party.reliable.is_pending();
        if offer.is_some_and(|offer| offer.len() > MAX_SDP) {
            return context.reject(leg, key, request, StatusCode::REQUEST_ENTITY_TOO_LARGE);
        }
        if SessionTimer::is_too_brief(request) {
            return context.reject(leg, key, request, StatusCode::SESSION_INTERVAL_TOO_SMALL);
        }
        if invite && !up || (offer.is_some() || invite) && !free {
            let by_peer = matches!(party.offer_answer, OfferAnswer::Answering { .. });
            return context.reject_glare(leg, key, request, by_peer);
        }
        if let Some(dialog) = party.dialog_of(request) {
            dialog.refresh(request);
        }
        party.learn(request);
        if offer.is_none() && !invite {
            return self.confirm(context, leg, key, request, None);
        }
        self.party(leg).offer_answer = OfferAnswer::Answering { key: key.clone(), request: message.clone() };
        context.media(match offer {
            Some(offer) => Command::Offered { session, leg, sdp: offer.to_owned() },
            None => Command::Offer { session, leg },
        });
    }

    /// Sends the 200 to a re-INVITE or UPDATE.
    pub(super) fn confirm(&mut self, context: &mut Context, leg: Leg, key: &ServerKey, request: &Message<'_>, sdp: Option<&str>) {
        let party = self.party(leg);
        let answer = party.timer.answer(request, party.reply(request, StatusCode::OK));
        let text = match sdp {
            Some(sdp) => answer.body(SDP, sdp),
            None => answer.end(),
        };
        if request.method() == Some(Method::Invite) {
            party.reliable.success(context.now, key.clone(), request, text.clone());
            self.watch_acknowledgement(context, leg);
        }
        context.respond(leg, key, text);
        self.keep_alive(context, leg);
    }

    /// Takes the CANCEL of a re-INVITE in.
    pub(super) fn reoffer_cancelled(&mut self, context: &mut Context, leg: Leg) {
        let party = self.party(leg);
        if let OfferAnswer::Answering { key, request } = std::mem::replace(&mut party.offer_answer, OfferAnswer::Cancelled) {
            context.reject(leg, &key, request.get(), StatusCode::REQUEST_TERMINATED);
        }
    }

    /// Sets the timers of the session, from its last 2xx on: when to refresh it, and when it expires.
    pub(super) fn keep_alive(&mut self, context: &mut Context, leg: Leg) {
        let (refresh, end) = (Timer::Refresh(self.key, leg), Timer::Expire(self.key, leg));
        context.timers.clear(&refresh);
        context.timers.clear(&end);
        let answered = matches!(self.stage, Stage::Accepting | Stage::Up);
        if let Some(deadlines) = self.party(leg).timer.deadlines().filter(|_| answered) {
            context.set_timer(end, deadlines.end);
            if let Some(after) = deadlines.refresh {
                context.set_timer(refresh, after);
            }
        }
    }

    /// Refreshes the session: by UPDATE where the peer allows it, else by a re-INVITE.
    pub(super) fn refresh(&mut self, context: &mut Context, leg: Leg) {
        let (key, session) = (self.key, self.key.session());
        let party = self.party(leg);
        if !matches!(party.offer_answer, OfferAnswer::Idle) || party.reliable.is_pending() {
            return context.set_timer(Timer::Refresh(key, leg), AGAIN);
        }
        if !party.updates {
            party.offer_answer = OfferAnswer::Offering;
            return context.media(Command::Offer { session, leg });
        }
        let (Some(dialog), Some(next_hop)) = (party.dialog.as_mut(), party.next_hop.clone()) else { return };
        let update = dialog.request(Method::Update).field("Contact", &party.contact).field("Supported", "timer");
        context.send_request(key, &next_hop, Purpose::Update, party.timer.refresh(update), None);
    }

    /// Sends the re-INVITE that refreshes the session, with our offer.
    pub(super) fn reoffer(&mut self, context: &mut Context, leg: Leg, sdp: &str) {
        let key = self.key;
        let party = self.party(leg);
        party.offer_answer = OfferAnswer::Offered;
        let supported = abilities(leg).supported();
        let (Some(dialog), Some(next_hop)) = (party.dialog.as_mut(), party.next_hop.clone()) else { return };
        let invite =
            dialog.request(Method::Invite).field("Contact", &party.contact).field("Allow", &allow()).field("Supported", &supported);
        context.send_request(key, &next_hop, Purpose::Reinvite, party.timer.refresh(invite), Some((SDP, sdp)));
    }

    /// Takes the final response to an in-dialog request of ours in; `Err`: there was none, and this status stands for that.
    pub(super) fn request_answered(
        &mut self,
        context: &mut Context,
        (leg, purpose): (Leg, Purpose),
        key: &ClientKey,
        answer: Result<&Message<'_>, StatusCode>,
    ) {
        let code = answer.map_or_else(|code| code, |answer| answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR));
        // A challenge has raised the number in CSeq (RFC 3261, 22.2).
        if let (Ok(answer), Some(dialog)) = (answer, self.party(leg).dialog.as_mut())
            && let Ok(cseq) = answer.cseq()
        {
            dialog.sent(cseq.number);
        }
        if let (Ok(refusal), Method::Prack, true) = (answer, key.method(), code.is_failure()) {
            self.prack_rejected(leg, refusal);
        }
        if purpose == Purpose::Reinvite {
            self.reoffer_answered(context, leg, answer);
        }
        if self.is_over() {
            return;
        }
        // A page that does not respond may come back, as a call outlives its connection; behind a trunk nobody does.
        let gone = dialog::ends(code) || leg == Leg::Peer && code == StatusCode::REQUEST_TIMEOUT;
        if gone && self.stage == Stage::Up && key.method() != Method::Prack {
            self.party(leg).gone |= code != StatusCode::REQUEST_TIMEOUT;
            return self.lost(context, leg);
        }
        if purpose == Purpose::Update || purpose == Purpose::Reinvite && code.is_failure() {
            self.refresh_answered(context, leg, key.method(), (code, answer.ok()));
        }
    }

    /// Takes the final response to a re-INVITE of ours in.
    fn reoffer_answered(&mut self, context: &mut Context, leg: Leg, answer: Result<&Message<'_>, StatusCode>) {
        let session = self.key.session();
        let over = self.is_over();
        let party = self.party(leg);
        let Some((answer, next_hop)) =
            answer.ok().filter(|answer| answer.code().is_some_and(|code| !code.is_failure())).zip(party.next_hop.clone())
        else {
            party.offer_answer = OfferAnswer::Idle;
            return;
        };
        let Some((dialog, cseq)) = party.dialog.as_mut().zip(answer.cseq().ok()) else { return };
        dialog.refresh(answer);
        party.ack = Some(context.send_ack(&next_hop, dialog.acknowledge(cseq.number)));
        if over || !matches!(std::mem::take(&mut party.offer_answer), OfferAnswer::Offered) {
            return;
        }
        if let Some(sdp) = description(answer) {
            context.media(Command::Answered { session, leg, sdp: sdp.to_owned() });
        }
        self.refresh_answered(context, leg, Method::Invite, (StatusCode::OK, Some(answer)));
    }

    /// Takes the final response to a session refresh of ours in, or the status that stands for none.
    fn refresh_answered(
        &mut self,
        context: &mut Context,
        leg: Leg,
        by: Method<'_>,
        (code, answer): (StatusCode, Option<&Message<'_>>),
    ) {
        // On the callee's leg the Call-ID is ours.
        let made_call_id = leg == self.callee_leg();
        let party = self.party(leg);
        if let (Some(dialog), Some(answer)) = (party.dialog.as_mut(), answer.filter(|_| !code.is_failure())) {
            dialog.refresh(answer);
        }
        match party.timer.refreshed(by, (code, answer), made_call_id, &mut context.random) {
            Refreshed::Granted => self.keep_alive(context, leg),
            Refreshed::Again => self.refresh(context, leg),
            Refreshed::ByInvite => {
                party.updates = false;
                self.refresh(context, leg);
            }
            Refreshed::After(wait) => context.set_timer(Timer::Refresh(self.key, leg), wait),
            Refreshed::Nothing => {}
        }
    }
}
