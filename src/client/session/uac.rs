//! The UAC of a call: offer, INVITE, its responses, CANCEL.

use std::time::Duration;

use offhook_sip::sdp;
use offhook_sip::{EarlyMedia, Message, Method, Name, StatusCode, Writer};
use offhook_ua::TIMEOUT;
use offhook_ua::forks;
use offhook_ua::transaction::ClientKey;

use super::path::MEDIA_TIMEOUT;
use super::{Leg, Phase, Session};
use crate::client::account::error_response;
use crate::client::call::{CallInfo, Destination, Domain, EndCause, Error, State};
use crate::client::context::{Context, Owner, Purpose, TaskPurpose, with_capabilities};
use crate::client::timers::Timer;

/// How long an INVITE that was sent again over a new connection waits for a response.
const RESENT_INVITE_TIMEOUT: Duration = Duration::from_secs(2);

impl Session {
    /// Places a call: the offer is made and the microphone opened at the same time, and neither waits for the other. Before we are signed in
    /// no offer is made, as the server may name TURN servers. Of a call with an error in place of its headers nothing is sent: it ends with that.
    pub fn place(context: &mut Context, info: CallInfo, to: Destination, headers: Result<Vec<(String, String)>, Error>) -> Self {
        let mut session = Self::new(context, info);
        session.to = Some(to);
        match headers {
            Ok(headers) => session.headers = headers,
            Err(fault) => {
                session.fail_later(context, fault);
                return session;
            }
        }
        context.timers.set(Timer::ProgressTimeout(session.info.id), context.now + context.config.progress_timeout);
        context.timers.set(Timer::AnswerTimeout(session.info.id), context.now + context.config.answer_timeout);
        session.proceed(context);
        session
    }

    pub(super) fn offer_created(&mut self, context: &mut Context, sdp: String) {
        self.set_local_description(sdp);
        self.proceed(context);
    }

    /// Asks for the offer once we are signed in, and sends the INVITE once the offer is made.
    pub fn proceed(&mut self, context: &mut Context) {
        if !matches!(self.phase, Phase::Placing) || !context.signed_in || self.is_over() || self.fault.is_some() {
            return;
        }
        if self.media.local.is_some() {
            return self.send_invite(context, 1);
        }
        if !self.is_creating_description(context) {
            self.request_offer(context, TaskPurpose::InitialOffer, false, context.config.candidate_wait);
            self.open_microphone(context, false);
        }
    }

    fn send_invite(&mut self, context: &mut Context, number: u32) {
        // Which server it is, and so its domain, is known no earlier than this.
        let uri = self.to.as_ref().map(|to| to.uri(&context.config.domain)).unwrap_or_default();
        let invite = Writer::request(Method::Invite, &uri)
            .joined("From", &["<", &context.aor(), ">;tag=", &self.local_tag])
            .joined("To", &["<", &uri, ">"])
            .field("Call-ID", &self.info.call_id)
            .cseq(number, Method::Invite);
        let mut invite = with_capabilities(invite, &context.contact());
        if context.config.session_expires > 0 {
            invite = self.timer.propose(invite, context.config.session_expires);
        }
        for (name, value) in &self.headers {
            invite = invite.field(name, value);
        }
        let owner = Owner::Call(self.info.id, Purpose::Invite);
        let key = context.send_request(invite, owner, self.media.offer());
        self.phase = Phase::Inviting { key, number };
    }

    /// Starts the time-out of an INVITE that was sent again over a new connection. A server that knows it responds to the retransmission at once
    /// (RFC 3261, 17.2.1), but perhaps to the old connection: a new transaction gets its response in any case.
    pub(super) fn watch_resent_invite(&self, context: &mut Context) {
        if matches!(&self.phase, Phase::Inviting { key, .. } if !context.transactions.is_cancelled(key)) {
            context.timers.set(Timer::NewTransaction(self.info.id), context.now + RESENT_INVITE_TIMEOUT);
        }
    }

    /// Sends the INVITE in a new transaction, as its retransmission got no response.
    pub fn invite_in_new_transaction(&mut self, context: &mut Context) {
        let Phase::Inviting { key, .. } = &mut self.phase else { return };
        if context.transactions.is_cancelled(key) {
            return;
        }
        if let Some(new) = context.resend_in_new_transaction(key) {
            *key = new;
            if self.is_over() {
                self.send_cancel(context);
            }
        }
    }

    /// Takes a response to the INVITE.
    pub fn handle_invite_response(&mut self, context: &mut Context, key: &ClientKey, answer: &Message<'_>) {
        let Some(code) = answer.code() else { return };
        if code.is_success() {
            return self.handle_success(context, answer);
        }
        let Phase::Inviting { key: current, .. } = &self.phase else { return };
        if current != key {
            return;
        }
        context.timers.stop(Timer::NewTransaction(self.info.id));
        if code.is_provisional() {
            return self.handle_provisional(context, answer);
        }
        if self.is_over() {
            self.done = true;
            return;
        }
        match code {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => self.authenticate(context, key, answer),
            StatusCode::SESSION_INTERVAL_TOO_SMALL if context.config.session_expires > 0 && self.timer.too_brief(answer) => {
                self.send_invite_with_longer_interval(context);
            }
            _ => self.handle_failure(context, answer),
        }
    }

    /// Ends the call, as the INVITE got no final response.
    pub fn invite_timed_out(&mut self, context: &mut Context) {
        let error = Error::TimedOut("The server did not answer");
        let rang = self.info.state > State::Initiating;
        self.report_end(context, if rang { EndCause::NoAnswer } else { EndCause::Timeout }, Some(error));
        self.done = true;
    }

    fn authenticate(&mut self, context: &mut Context, key: &ClientKey, answer: &Message<'_>) {
        match context.retry_with_credentials(key, answer) {
            Some((key, number)) => self.phase = Phase::Inviting { key, number },
            None => self.handle_failure(context, answer),
        }
    }

    /// Sends the INVITE with a longer session interval, which a proxy or the UAS demands (RFC 4028, 7.3).
    fn send_invite_with_longer_interval(&mut self, context: &mut Context) {
        let Phase::Inviting { number, .. } = self.phase else { return };
        self.send_invite(context, number + 1);
    }

    fn handle_provisional(&mut self, context: &mut Context, answer: &Message<'_>) {
        if self.is_over() {
            return;
        }
        if answer.code() == Some(StatusCode::TRYING) {
            return;
        }
        // RFC 5009: P-Early-Media says whether there is early media. A call with early media counts as established, as in the original SDK; one
        // without any, whose 183 only brings the path up, does not ring yet.
        let early = answer.early_media();
        self.early_media |= early.is_some_and(EarlyMedia::sends);
        if early == Some(EarlyMedia::Inactive) {
            context.timers.stop(Timer::ProgressTimeout(self.info.id));
        } else {
            self.report_progress(context);
        }
        let described = self.media.described;
        let Some(leg) = forks::early(&mut self.legs, answer, |dialog| Leg::new(dialog, described, true)) else { return };
        leg.learn_capabilities(answer);
        if let Some(prack) = leg.reliable.prack(&mut leg.dialog, answer) {
            context.send_request(prack, Owner::Call(self.info.id, Purpose::Prack), None);
        }
        let tag = answer.to_tag().unwrap_or_default();
        if self.media.remote_tag.is_none() {
            self.accept_first_answer(context, tag, answer);
        }
        if self.early_media && self.media.remote_applied {
            self.report_established(context);
        }
        self.trickle(context);
    }

    /// Takes note of a PRACK that failed.
    pub(super) fn prack_failed(&mut self, refusal: &Message<'_>) {
        let tag = refusal.to_tag().unwrap_or_default();
        for leg in self.legs.iter_mut().filter(|leg| leg.dialog.remote_tag == tag) {
            leg.reliable.prack_failed();
        }
    }

    /// Gives the peer connection the answer of a remote party: the first one, and no other.
    fn accept_first_answer(&mut self, context: &mut Context, tag: &str, answer: &Message<'_>) -> bool {
        let Some(text) = answer.description().filter(|text| sdp::check(text).is_ok()) else { return false };
        self.media.remote_tag = Some(tag.to_owned());
        self.apply_answer(context, TaskPurpose::InitialAccept, text);
        true
    }

    /// Takes a 2xx: the first one answers the call, others are retransmissions or of other forks (RFC 3261, 13.2.2.4).
    fn handle_success(&mut self, context: &mut Context, answer: &Message<'_>) {
        let Some((tag, number)) = answer.to_tag().zip(answer.number(Name::CSeq)) else {
            return;
        };
        let ours = self.legs.first().is_some_and(|leg| leg.dialog.confirmed && leg.dialog.remote_tag == tag);
        if self.is_answered() && ours {
            if let Some(ack) = &self.ack {
                context.send(ack.clone());
            }
            return;
        }
        let described = self.media.described;
        let leg = forks::confirmed(&mut self.legs, answer, |dialog| Leg::new(dialog, described, true));
        let Some(mut leg) = leg else { return };
        leg.learn_capabilities(answer);
        let ack = context.send_ack(leg.dialog.acknowledge(number));
        if self.is_answered() || self.is_over() {
            return self.end_late_fork(context, leg);
        }
        // The provisional response may be lost: the app is told of ringing before the answer in any case.
        self.report_progress(context);
        self.ack = Some(ack);
        self.highest_number = 0;
        for other in &self.legs {
            self.highest_number = self.highest_number.max(other.dialog.last_number());
        }
        self.legs = vec![leg];
        self.phase = Phase::Answered;
        context.timers.stop(Timer::ProgressTimeout(self.info.id));
        context.timers.stop(Timer::AnswerTimeout(self.info.id));
        context.timers.set(Timer::MediaTimeout(self.info.id), context.now + MEDIA_TIMEOUT);
        self.forks_until = context.now + TIMEOUT;
        self.session_refreshed(context, answer);
        if self.info.state == State::Established {
            // It had early media.
            self.update_sending(context);
            self.set_path_timers(context);
        }
        self.join_media(context, tag, answer);
    }

    /// Sends BYE to a fork that answered too late.
    fn end_late_fork(&self, context: &mut Context, mut leg: Leg) {
        leg.dialog.sent(self.highest_number);
        context.send_request(leg.dialog.request(Method::Bye), Owner::Call(self.info.id, Purpose::Bye), None);
    }

    /// Connects the media of the party that answered.
    fn join_media(&mut self, context: &mut Context, tag: &str, answer: &Message<'_>) {
        match self.media.remote_tag.clone() {
            Some(taken) if taken == tag => {
                if self.media.remote_applied {
                    self.report_established(context);
                }
            }
            // Another fork's early answer has used up our offer: takes a new peer connection and offers again.
            Some(_) => self.reoffer_with_new_peer(context, false),
            None if self.accept_first_answer(context, tag, answer) => {}
            None => {
                let error = Error::Unusable("The answer has no usable session description");
                self.terminate(context, EndCause::Failure, Some(error), StatusCode::NOT_ACCEPTABLE_HERE);
            }
        }
        self.trickle(context);
    }

    /// The peer connection has the remote description.
    pub(super) fn description_applied(&mut self, context: &mut Context) {
        self.media.remote_applied = true;
        if self.is_answered() || self.early_media {
            self.report_established(context);
        }
    }

    fn handle_failure(&mut self, context: &mut Context, answer: &Message<'_>) {
        let code = answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
        let rang = self.info.state > State::Initiating;
        let cause = match code {
            StatusCode::BUSY_HERE | StatusCode::BUSY_EVERYWHERE | StatusCode::DECLINE => EndCause::Denied,
            StatusCode::REQUEST_TERMINATED => EndCause::Canceled,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TEMPORARILY_UNAVAILABLE if rang => EndCause::NoAnswer,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TEMPORARILY_UNAVAILABLE => EndCause::Timeout,
            _ => EndCause::Failure,
        };
        // The response of another network is told in any case; that of a user who declines or does not answer tells nothing more.
        let tell = matches!(cause, EndCause::Failure | EndCause::Timeout) || self.info.domain != Domain::Data;
        let error = tell.then(|| Error::CallRefused(error_response(answer)));
        if cause == EndCause::Denied {
            // The original SDK reports ringing before the end, also where the callee never rang.
            self.report_progress(context);
        }
        self.report_end(context, cause, error);
        self.done = true;
    }

    /// Cancels the INVITE. A server that responds neither to it nor to the CANCEL is waited for until `Timer::Forget`.
    pub(super) fn send_cancel(&self, context: &mut Context) {
        if let Phase::Inviting { key, .. } = &self.phase {
            context.transactions.cancel(context.now, key, None);
        }
    }

    /// Has the call end with an error: not now, as an app hears of nothing before it could add its listeners.
    pub fn fail_later(&mut self, context: &mut Context, fault: Error) {
        self.fault.get_or_insert(fault);
        context.timers.set(Timer::Fault(self.info.id), context.now);
    }

    /// Ends the call with the error that it has.
    pub fn fail(&mut self, context: &mut Context) {
        let fault = self.fault.take();
        self.terminate(context, EndCause::Failure, fault, StatusCode::TEMPORARILY_UNAVAILABLE);
    }

    /// Ends the call, as no device of the callee has responded in time.
    pub fn progress_timed_out(&mut self, context: &mut Context) {
        if self.info.state == State::Initiating {
            let error = Error::TimedOut("The other side is not online: none of its devices has answered");
            self.terminate(context, EndCause::Timeout, Some(error), StatusCode::REQUEST_TIMEOUT);
        }
    }

    /// Ends the call, as it was not answered in time.
    pub fn answer_timed_out(&mut self, context: &mut Context) {
        if self.info.state < State::Established {
            self.terminate(context, EndCause::NoAnswer, None, StatusCode::TEMPORARILY_UNAVAILABLE);
        }
    }
}
