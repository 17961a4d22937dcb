//! In-dialog requests: those of the remote party, offers both ways (RFC 3264), session refreshes (RFC 4028), DTMF.

use std::time::Duration;

use offhook_sip::{Abilities, Message, Name, OwnedMessage, reply};
use offhook_sip::{dtmf, sdp};
use offhook_ua::session_timer::{AGAIN, Refreshed, SessionTimer};
use offhook_ua::transaction::{ClientKey, ServerKey};
use offhook_ua::{dialog, glare, uas};

use super::{OfferAnswer, Phase, Session};
use crate::client::account::error_in_bye;
use crate::client::call::{EndCause, Error};
use crate::client::context::{ABILITIES, Context, Owner, Purpose, TaskPurpose, with_capabilities};
use crate::client::io::{Change, IceState, Output, TaskKind};
use crate::client::timers::Timer;
use offhook_sip::{Method, StatusCode};

impl Session {
    /// Takes a request of the remote party in the dialog at `position`.
    pub fn handle_request(&mut self, context: &mut Context, position: usize, key: &ServerKey, owned: &OwnedMessage) {
        let request = owned.get();
        let number = request.number(Name::CSeq).unwrap_or(0);
        if !self.legs.get_mut(position).is_some_and(|leg| leg.dialog.in_order(number)) {
            return context.reject(key, request, StatusCode::SERVER_INTERNAL_ERROR);
        }
        let gone = self.is_answered() && !self.reliable.is_pending();
        let Some(method) = request.method() else { return };
        // A remote party that offers is there. Candidates may have been on their way when its peer connection was closed.
        if matches!(method, Method::Invite | Method::Update) {
            self.closed_peer = None;
        }
        if self.is_over() && (gone || method != Method::Bye) {
            return context.reject(key, request, StatusCode::CALL_DOES_NOT_EXIST);
        }
        if let Err(code) = uas::check_in_dialog(request, &ABILITIES) {
            return context.reject(key, request, code);
        }
        match method {
            Method::Bye => self.handle_bye(context, key, request),
            Method::Prack => self.handle_prack(context, key, request),
            Method::Info => self.handle_info(context, key, request),
            Method::Invite | Method::Update => self.handle_offer(context, position, key, owned),
            Method::Options => {
                let answer = reply(request, StatusCode::OK, None)
                    .field("Allow", &ABILITIES.allow())
                    .field("Supported", &ABILITIES.supported());
                context.respond(key, answer.end())
            }
            method => context.reject(key, request, Abilities::unserved(method)),
        }
    }

    fn handle_bye(&mut self, context: &mut Context, key: &ServerKey, bye: &Message<'_>) {
        context.respond_ok(key, bye);
        self.reliable.stop();
        let cause = if self.is_answered() { EndCause::HungUp } else { EndCause::Canceled };
        if let Phase::Ringing { .. } = self.phase {
            // The caller ends an early dialog by BYE: the INVITE still gets its final response (RFC 3261, 15.1.2).
            self.report_end(context, cause, None);
            return self.reject(context, StatusCode::REQUEST_TERMINATED);
        }
        let error = error_in_bye(bye).filter(|_| self.is_answered()).map(Error::CallRefused);
        self.report_end(context, if error.is_some() { EndCause::Failure } else { cause }, error);
        self.finish_signalling(context);
    }

    /// Ends the signalling after a BYE, sent or received. Before that, a 2xx to a re-INVITE of ours gets its ACK (RFC 5407, 3.2.3), and forks
    /// that answer late get ACK and BYE.
    pub(super) fn finish_signalling(&mut self, context: &mut Context) {
        if matches!(self.offer_answer, OfferAnswer::Offered { .. }) {
            return;
        }
        self.done = context.now >= self.forks_until;
        if !self.done {
            context.timers.set(Timer::Forget(self.info.id), self.forks_until);
        }
    }

    fn handle_info(&mut self, context: &mut Context, key: &ServerKey, info: &Message<'_>) {
        if info.get(Name::InfoPackage).is_some_and(|package| package.eq_ignore_ascii_case("offhook-credit")) {
            // {"seconds":30}
            let number = info.text().split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
            let seconds = number.and_then(|number| number.parse().ok()).unwrap_or(0);
            context.call_changed(Change::CreditLow(seconds), &self.info);
        }
        if info.content_is("application/trickle-ice-sdpfrag") {
            let fragment = sdp::read_fragment(info.text()).ok();
            let Some(fragment) = fragment else { return context.reject(key, info, StatusCode::BAD_REQUEST) };
            // Candidates of an ICE session that is no more (RFC 8840, 4.4).
            let remote = self.media.remote.as_deref().and_then(sdp::ice_credentials);
            let current = fragment.ufrag.is_none() || remote.is_none_or(|(ufrag, _)| fragment.ufrag.as_ref() == Some(&ufrag));
            if current && !self.is_over() {
                let (mut candidates, end) = (fragment.candidates, fragment.end);
                if self.media.local.is_none() {
                    self.media.early_candidates.0.append(&mut candidates);
                    self.media.early_candidates.0.truncate(100);
                    self.media.early_candidates.1 |= end;
                } else {
                    context.push(Output::Candidates { peer: self.media.peer, candidates, end });
                }
            }
        }
        context.respond_ok(key, info);
    }

    /// Takes the ACK to a 2xx of ours.
    pub fn handle_ack(&mut self, context: &mut Context, ack: &Message<'_>) {
        if self.reliable.acknowledge(ack).is_none() {
            return;
        }
        self.set_retransmission_timer(context);
        if let Some(leg) = self.legs.first_mut() {
            leg.open = true;
        }
        if self.is_over() {
            return self.send_bye(context);
        }
        // Our 2xx had the offer, and the ACK has the answer (RFC 3261, 13.2.1).
        if let Some(answer) = ack.description().filter(|_| !self.media.remote_applied) {
            if sdp::check(answer).is_err() {
                let error = Error::Unusable("The answer has no usable session description");
                return self.terminate(context, EndCause::Failure, Some(error), StatusCode::NOT_ACCEPTABLE_HERE);
            }
            self.apply_answer(context, TaskPurpose::InitialAccept, answer);
        }
        self.trickle(context);
    }

    /// Takes a re-INVITE or UPDATE.
    fn handle_offer(&mut self, context: &mut Context, position: usize, key: &ServerKey, owned: &OwnedMessage) {
        let request = owned.get();
        let offer = request.description().is_some();
        let invite = request.method() == Some(Method::Invite);
        if invite {
            self.reliable.reinvited();
        }
        let free = matches!(self.offer_answer, OfferAnswer::Idle) && !self.reliable.is_pending();
        if SessionTimer::is_too_brief(request) {
            return context.reject(key, request, StatusCode::SESSION_INTERVAL_TOO_SMALL);
        }
        if invite && !self.is_answered() || (offer || invite) && !free {
            let theirs = matches!(self.offer_answer, OfferAnswer::Answering { .. });
            let (refusal, tag) = (glare::refusal(theirs, &mut context.random), context.random.token());
            return context.reject_with(key, request, refusal, &tag);
        }
        if request.description().is_some_and(|offer| sdp::usable(offer).is_err()) {
            return context.reject(key, request, StatusCode::NOT_ACCEPTABLE_HERE);
        }
        if let Some(leg) = self.legs.get_mut(position) {
            leg.dialog.refresh(request);
        }
        if offer || invite { self.create_answer(context, key, owned) } else { self.send_ok(context, key, request, "") }
    }

    /// Asks the browser for an answer, or for an offer where the re-INVITE has none. A fingerprint of another session takes another peer
    /// connection, and so does ICE that has failed.
    fn create_answer(&mut self, context: &mut Context, key: &ServerKey, request: &OwnedMessage) {
        let wait = context.config.candidate_wait;
        let offer = request.get().description().unwrap_or_default();
        let known = self.media.remote.as_deref().and_then(sdp::fingerprint);
        let dead = self.media.ice == IceState::Failed;
        let renewed = !offer.is_empty() && (dead || known.is_some() && sdp::fingerprint(offer) != known);
        self.offer_answer = OfferAnswer::Answering { key: key.clone(), request: request.clone() };
        if offer.is_empty() {
            return self.request_offer(context, TaskPurpose::Reanswer, false, wait);
        }
        if renewed {
            self.replace_peer(context);
        }
        let offer = self.media.narrow_offer(offer);
        // The DTLS association goes on, and so do the roles in it (RFC 8842, 5.3): in a new answer, a browser may take the other one.
        let offer = if self.media.dtls_passive { sdp::taking_the_lead(&offer) } else { offer };
        self.request_answer(context, TaskPurpose::Reanswer, offer, wait);
        if renewed {
            self.attach_stream(context, TaskPurpose::Nothing);
        }
    }

    pub(super) fn answer_created(&mut self, context: &mut Context, sdp: String) {
        let (key, request) = match std::mem::replace(&mut self.offer_answer, OfferAnswer::Idle) {
            OfferAnswer::Answering { key, request } => (key, request),
            OfferAnswer::Cancelled { offered } => return self.undo_answer(context, offered, sdp),
            _ => return,
        };
        let request = request.get();
        self.set_local_description(sdp);
        self.media.remote_applied = request.description().is_some();
        let sdp = self.media.local.clone().unwrap_or_default();
        self.send_ok(context, &key, request, &sdp);
        if self.is_path_broken() {
            // The remote offer restores the path: ours would only cross it.
            self.set_path_timers(context);
        }
        if self.media.remote_applied {
            self.description_applied(context);
        }
        self.update_sending(context);
        self.trickle(context);
    }

    /// Takes the CANCEL of a re-INVITE.
    pub fn reoffer_cancelled(&mut self, context: &mut Context) {
        if let OfferAnswer::Answering { key, request } = std::mem::replace(&mut self.offer_answer, OfferAnswer::Idle) {
            let request = request.get();
            self.offer_answer = OfferAnswer::Cancelled { offered: request.description().is_some() };
            context.reject(&key, request, StatusCode::REQUEST_TERMINATED);
        }
    }

    /// Takes our description for a re-INVITE that was cancelled meanwhile. There is no way back from an answer, so that only an offer of ours
    /// brings both ends together again.
    fn undo_answer(&mut self, context: &mut Context, offered: bool, sdp: String) {
        if !offered {
            return context.start_task(self.info.id, TaskPurpose::Nothing, TaskKind::Rollback { peer: self.media.peer });
        }
        self.set_local_description(sdp);
        self.media.remote_applied = true;
        self.reoffer(context, false);
    }

    pub(super) fn answer_failed(&mut self, context: &mut Context) {
        let OfferAnswer::Answering { key, request, .. } = std::mem::replace(&mut self.offer_answer, OfferAnswer::Idle) else {
            return;
        };
        context.reject(&key, request.get(), StatusCode::NOT_ACCEPTABLE_HERE);
    }

    /// Sends 200 to a re-INVITE or UPDATE.
    fn send_ok(&mut self, context: &mut Context, key: &ServerKey, request: &Message<'_>, sdp: &str) {
        let answer = with_capabilities(reply(request, StatusCode::OK, None), &context.contact());
        let text = self.timer.answer(request, answer).body("application/sdp", sdp);
        context.respond(key, text.clone());
        self.set_session_timers(context);
        if request.method() == Some(Method::Invite) {
            self.reliable.success(context.now, key.clone(), request, text);
            self.set_retransmission_timer(context);
        }
    }

    /// Whether we may offer: nothing is under way that an offer would cross.
    pub(super) fn may_offer(&self) -> bool {
        matches!(self.offer_answer, OfferAnswer::Idle) && !self.reliable.is_pending() && self.is_answered() && !self.is_over()
    }

    /// Asks the browser for an offer for a re-INVITE, if we may offer.
    pub(super) fn reoffer(&mut self, context: &mut Context, restart: bool) {
        if !self.may_offer() {
            return;
        }
        self.offer_answer = OfferAnswer::Offering;
        let wait = self.candidate_wait(context);
        self.request_offer(context, TaskPurpose::Reoffer, restart, wait);
    }

    /// Offers another peer connection. `restart`: the remote party has one that was up, and needs another one, too.
    pub(super) fn reoffer_with_new_peer(&mut self, context: &mut Context, restart: bool) {
        self.replace_peer(context);
        self.offer_answer = OfferAnswer::Idle;
        self.reoffer(context, restart);
        self.attach_stream(context, TaskPurpose::Nothing);
    }

    /// Takes another peer connection. Tasks of the old one are dropped, and do not end the call; those of the call's own stream go on.
    fn replace_peer(&mut self, context: &mut Context) {
        let id = self.info.id;
        context.drop_tasks(id, |purpose| !matches!(purpose, TaskPurpose::Microphone | TaskPurpose::Reopen { .. }));
        context.push(Output::Close { peer: self.media.peer });
        self.media.replace(context.new_peer());
    }

    pub(super) fn send_reoffer(&mut self, context: &mut Context, sdp: String) {
        self.set_local_description(sdp);
        let Some(leg) = self.legs.first_mut() else { return };
        let invite = self.timer.refresh(with_capabilities(leg.dialog.request(Method::Invite), &context.contact()));
        self.offer_answer = OfferAnswer::Offered { number: leg.dialog.last_number() };
        context.send_request(invite, Owner::Call(self.info.id, Purpose::Reinvite), self.media.offer());
    }

    /// Takes the final response to an in-dialog request of ours; `None`: there was none.
    pub fn handle_response(&mut self, context: &mut Context, purpose: Purpose, key: &ClientKey, answer: Option<&Message<'_>>) {
        let code = answer.and_then(Message::code).unwrap_or(StatusCode::REQUEST_TIMEOUT);
        if let Some(answer) = answer.filter(|_| code.is_challenge())
            && let Some((_, number)) = context.retry_with_credentials(key, answer)
        {
            return self.request_retried(purpose, number);
        }
        // After 408 or 480 the remote party may come back, as from a tunnel: the media and the session timer decide how long to wait. One that
        // has closed its peer connection will not. As long as media arrives, only the remote party itself can say that the dialog is gone.
        let gone = (dialog::ends(code) || code == StatusCode::TEMPORARILY_UNAVAILABLE && self.closed_peer.is_some())
            && !self.media.is_up();
        if (gone || code == StatusCode::CALL_DOES_NOT_EXIST) && matches!(purpose, Purpose::Update | Purpose::Reinvite) {
            return self.dialog_gone(context, code);
        }
        match (purpose, answer) {
            (Purpose::Trickle, _) => self.trickle_answered(context),
            (Purpose::Dtmf, _) => self.send_next_digit(context),
            (Purpose::Prack, Some(answer)) if code.is_failure() => self.prack_failed(answer),
            (Purpose::Update, answer) => self.update_answered(context, code, answer),
            (Purpose::Reinvite, answer) => self.handle_reoffer_response(context, code, answer),
            _ => {}
        }
    }

    /// Takes note of the CSeq number of a request that was sent again after a challenge.
    fn request_retried(&mut self, purpose: Purpose, sent: u32) {
        if let Some(leg) = self.legs.first_mut() {
            leg.dialog.sent(sent);
        }
        if let (Purpose::Reinvite, OfferAnswer::Offered { number }) = (purpose, &mut self.offer_answer) {
            *number = sent;
        }
    }

    /// Ends the call, as the remote party does not know the dialog any more. After 410, or where it has closed its peer connection, it hung up:
    /// many people hang up by closing the page.
    fn dialog_gone(&mut self, context: &mut Context, code: StatusCode) {
        self.offer_answer = OfferAnswer::Idle;
        if self.is_over() {
            return self.finish_signalling(context);
        }
        if self.is_ringing() {
            return self.terminate(context, EndCause::Canceled, None, StatusCode::REQUEST_TERMINATED);
        }
        let error = (code != StatusCode::GONE && self.closed_peer.is_none()).then_some(Error::TimedOut("The other side is gone"));
        self.report_end(context, if error.is_some() { EndCause::Failure } else { EndCause::HungUp }, error);
        self.send_bye(context);
    }

    fn update_answered(&mut self, context: &mut Context, code: StatusCode, answer: Option<&Message<'_>>) {
        if let Some((leg, answer)) = self.legs.first_mut().zip(answer.filter(|_| !code.is_failure())) {
            leg.dialog.refresh(answer);
            if !self.is_answered() {
                return;
            }
        }
        match self.timer.refreshed(Method::Update, (code, answer), self.info.outgoing, &mut context.random) {
            Refreshed::Granted => self.set_session_timers(context),
            Refreshed::Again => self.refresh_session(context),
            Refreshed::ByInvite => {
                if let Some(leg) = self.legs.first_mut() {
                    leg.allows_update = false;
                }
                self.refresh_session(context);
            }
            Refreshed::After(wait) => context.timers.set(Timer::SessionRefresh(self.info.id), context.now + wait),
            Refreshed::Nothing => {}
        }
    }

    fn handle_reoffer_response(&mut self, context: &mut Context, code: StatusCode, answer: Option<&Message<'_>>) {
        let OfferAnswer::Offered { number } = self.offer_answer else { return };
        if self.is_over() {
            if let Some(ack) = self.legs.first().filter(|_| !code.is_failure()).map(|leg| leg.dialog.acknowledge(number)) {
                context.send_ack(ack);
            }
            self.offer_answer = OfferAnswer::Idle;
            return self.finish_signalling(context);
        }
        if code.is_failure() {
            return self.reoffer_rejected(context, code, answer);
        }
        let Some((leg, answer)) = self.legs.first_mut().zip(answer) else { return };
        leg.dialog.refresh(answer);
        leg.learn_capabilities(answer);
        let ack = leg.dialog.acknowledge(number);
        self.ack = Some(context.send_ack(ack));
        self.offer_answer = OfferAnswer::Idle;
        self.session_refreshed(context, answer);
        if let Some(text) = answer.description().filter(|text| sdp::check(text).is_ok()) {
            self.media.remote_tag = self.legs.first().map(|leg| leg.dialog.remote_tag.clone());
            self.apply_answer(context, TaskPurpose::Reaccept, text);
        }
        self.trickle(context);
    }

    fn reoffer_rejected(&mut self, context: &mut Context, code: StatusCode, answer: Option<&Message<'_>>) {
        self.offer_answer = OfferAnswer::Idle;
        if self.media.remote_applied {
            context.start_task(self.info.id, TaskPurpose::Nothing, TaskKind::Rollback { peer: self.media.peer });
        } else {
            // Of a first offer, a rollback leaves transceivers behind that no remote offer will use.
            self.replace_peer(context);
        }
        // The offers crossed; or something that was sent after ours overtook it, and it came out of order.
        if code == StatusCode::REQUEST_PENDING || code == StatusCode::SERVER_INTERNAL_ERROR && !self.media.is_up() {
            let wait = glare::wait(self.info.outgoing, &mut context.random);
            context.timers.set(Timer::Glare(self.info.id), context.now + wait);
            return self.refresh_later(context, wait + AGAIN);
        }
        match self.timer.refreshed(Method::Invite, (code, answer), self.info.outgoing, &mut context.random) {
            Refreshed::Again => self.retry_offer(context),
            Refreshed::After(wait) => self.refresh_later(context, wait),
            Refreshed::Granted | Refreshed::ByInvite | Refreshed::Nothing => {}
        }
    }

    /// Refreshes the session after `wait`, if that is up to us and not due anyway.
    pub(super) fn refresh_later(&self, context: &mut Context, wait: Duration) {
        let timer = Timer::SessionRefresh(self.info.id);
        if self.timer.is_ours() && !context.timers.runs(timer) {
            context.timers.set(timer, context.now + wait);
        }
    }

    /// Refreshes the session, which also tells the remote party our new address.
    pub fn refresh_session(&mut self, context: &mut Context) {
        if !self.is_answered() || self.is_over() {
            return;
        }
        if self.legs.first().is_some_and(|leg| leg.allows_update) {
            self.send_update(context, true)
        } else if self.may_offer() {
            self.reoffer(context, false)
        } else {
            self.refresh_later(context, AGAIN)
        }
    }

    /// Sends an UPDATE, if the remote party takes it. `refreshes`: it refreshes the session.
    pub(super) fn send_update(&mut self, context: &mut Context, refreshes: bool) {
        let Some(leg) = self.legs.first_mut().filter(|leg| leg.allows_update) else { return };
        let update =
            leg.dialog.request(Method::Update).field("Contact", &context.contact()).field("Supported", &ABILITIES.supported());
        let update = if refreshes { self.timer.refresh(update) } else { update };
        context.send_request(update, Owner::Call(self.info.id, Purpose::Update), None);
    }

    /// Ends the call, as the session was not refreshed (RFC 4028, 10).
    pub fn session_expired(&mut self, context: &mut Context) {
        let error = Error::TimedOut("The other side is gone");
        self.terminate(context, EndCause::Failure, Some(error), StatusCode::REQUEST_TIMEOUT);
    }

    /// Takes a 2xx that agrees on the session timer.
    pub(super) fn session_refreshed(&mut self, context: &mut Context, answer: &Message<'_>) {
        self.timer.granted(answer);
        self.set_session_timers(context);
    }

    /// Sets the timers that refresh the session, and end it without a refresh: from the last 2xx on.
    pub(super) fn set_session_timers(&self, context: &mut Context) {
        context.timers.stop(Timer::SessionRefresh(self.info.id));
        context.timers.stop(Timer::SessionExpiry(self.info.id));
        if let Some(deadlines) = self.timer.deadlines().filter(|_| self.is_answered()) {
            context.timers.set(Timer::SessionExpiry(self.info.id), context.now + deadlines.end);
            if let Some(refresh) = deadlines.refresh {
                context.timers.set(Timer::SessionRefresh(self.info.id), context.now + refresh);
            }
        }
    }

    /// Sends DTMF digits: by RTP where the remote party takes that (RFC 4733), else by INFO.
    pub fn send_dtmf(&mut self, context: &mut Context, digits: &str) {
        if !self.is_answered() || self.is_over() {
            return;
        }
        if self.media.remote.as_deref().is_none_or(sdp::has_telephone_event) {
            let digits = digits.to_ascii_uppercase();
            return context.push(Output::Dtmf { peer: self.media.peer, digits });
        }
        let idle = self.dtmf.is_empty();
        self.dtmf.push_str(&digits.to_ascii_uppercase());
        if idle {
            self.send_digit(context);
        }
    }

    fn send_next_digit(&mut self, context: &mut Context) {
        if !self.dtmf.is_empty() {
            self.dtmf.remove(0);
        }
        self.send_digit(context);
    }

    fn send_digit(&mut self, context: &mut Context) {
        let Some((leg, digit)) = self.legs.first_mut().zip(self.dtmf.get(..1)) else { return };
        let body = dtmf::write(digit, dtmf::DURATION);
        let owner = Owner::Call(self.info.id, Purpose::Dtmf);
        context.send_request(leg.dialog.request(Method::Info), owner, Some((dtmf::TYPE, &body)));
    }
}
