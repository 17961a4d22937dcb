//! The caller's side: offer, INVITE, what comes back, CANCEL.

use std::time::Duration;

use offhook_sip::sdp;
use offhook_sip::{Message, Method, Name, StatusCode, Writer};
use offhook_ua::TIMEOUT;
use offhook_ua::forks;
use offhook_ua::transaction::ClientKey;

use super::path::LOST;
use super::{Leg, Phase, Session};
use crate::client::account::refusal;
use crate::client::call::{CallInfo, Domain, EndCause, Error, State};
use crate::client::context::{Asked, Awaited, Context, Owner, capable};
use crate::client::timers::Timer;

/// How long a copy of the INVITE waits for an answer.
const COPY: Duration = Duration::from_secs(2);

impl Session {
    /// Places a call: the offer is made and the microphone opened at once, and neither waits for the other. Before we are signed in
    /// there is no offer, as the server may have TURN servers to name.
    pub fn place(context: &mut Context, info: CallInfo, uri: String, headers: Vec<(String, String)>) -> Self {
        let mut session = Self::new(context, info);
        session.uri = uri;
        session.headers = headers;
        context.timers.set(Timer::Progress(session.info.id), context.now + context.config.progress_timeout);
        context.timers.set(Timer::Answer(session.info.id), context.now + context.config.answer_timeout);
        session.ready(context);
        session
    }

    pub(super) fn offer_made(&mut self, context: &mut Context, sdp: String) {
        self.describe_us(sdp);
        self.ready(context);
    }

    /// Once we are signed in the offer is made, and once that is there the INVITE leaves.
    pub fn ready(&mut self, context: &mut Context) {
        if !matches!(self.phase, Phase::Placing) || !context.signed_in || self.is_over() {
            return;
        }
        if self.media.local.is_some() {
            return self.invite(context, 1);
        }
        if !self.is_describing(context) {
            self.make_offer(context, Awaited::FirstOffer, false, context.config.candidate_wait);
            self.open_microphone(context, false);
        }
    }

    fn invite(&mut self, context: &mut Context, number: u32) {
        let invite = Writer::request(Method::Invite, &self.uri)
            .joined("From", &["<", &context.aor(), ">;tag=", &self.local_tag])
            .joined("To", &["<", &self.uri, ">"])
            .field("Call-ID", &self.info.call_id)
            .cseq(number, Method::Invite);
        let mut invite = capable(invite, &context.contact());
        if context.config.session_expires > 0 {
            invite = self.timer.propose(invite, context.config.session_expires);
        }
        for (name, value) in &self.headers {
            invite = invite.field(name, value);
        }
        let owner = Owner::Call(self.info.id, Asked::Invite);
        let key = context.request(invite, owner, self.media.offer());
        self.phase = Phase::Inviting { key, number };
    }

    /// The INVITE went out once more, over a new connection. Who knows it answers a copy at once (RFC 3261, 17.2.1), unless to where the
    /// first one came from: a new transaction is answered in any case.
    pub(super) fn invited_again(&self, context: &mut Context) {
        if matches!(&self.phase, Phase::Inviting { key, .. } if !context.transactions.is_cancelled(key)) {
            context.timers.set(Timer::Again(self.info.id), context.now + COPY);
        }
    }

    /// The copy was not answered.
    pub fn invite_anew(&mut self, context: &mut Context) {
        let Phase::Inviting { key, .. } = &mut self.phase else { return };
        if context.transactions.is_cancelled(key) {
            return;
        }
        if let Some(new) = context.anew(key) {
            *key = new;
            if self.is_over() {
                self.cancel(context);
            }
        }
    }

    /// Takes an answer to the INVITE in.
    pub fn invite_answered(&mut self, context: &mut Context, key: &ClientKey, answer: &Message<'_>) {
        let Some(code) = answer.code() else { return };
        if code.is_success() {
            return self.picked_up(context, answer);
        }
        let Phase::Inviting { key: current, .. } = &self.phase else { return };
        if current != key {
            return;
        }
        context.timers.stop(Timer::Again(self.info.id));
        if code.is_provisional() {
            return self.provisional(context, answer);
        }
        if self.is_over() {
            self.done = true;
            return;
        }
        match code {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => self.challenged(context, key, answer),
            StatusCode::SESSION_INTERVAL_TOO_SMALL if context.config.session_expires > 0 && self.timer.too_brief(answer) => {
                self.invite_longer(context);
            }
            _ => self.refused(context, answer),
        }
    }

    /// Nobody answered the INVITE at all.
    pub fn invite_timed_out(&mut self, context: &mut Context) {
        let error = Error::TimedOut("The server did not answer");
        let rang = self.info.state > State::Initiating;
        self.end(context, if rang { EndCause::NoAnswer } else { EndCause::Timeout }, Some(error));
        self.done = true;
    }

    fn challenged(&mut self, context: &mut Context, key: &ClientKey, answer: &Message<'_>) {
        match context.retry(key, answer) {
            Some((key, number)) => self.phase = Phase::Inviting { key, number },
            None => self.refused(context, answer),
        }
    }

    /// Somebody on the way wants a longer session interval (RFC 4028, 7.3).
    fn invite_longer(&mut self, context: &mut Context) {
        let Phase::Inviting { number, .. } = self.phase else { return };
        self.invite(context, number + 1);
    }

    fn provisional(&mut self, context: &mut Context, answer: &Message<'_>) {
        if self.is_over() {
            return;
        }
        if answer.code() == Some(StatusCode::TRYING) {
            return;
        }
        // RFC 5009: the network says whether there is sound before the answer. A call that is heard counts as established, as in the
        // original; one where nothing is heard, and whose 183 only brings the path up, does not ring yet.
        let early = answer.get_other("P-Early-Media").unwrap_or_default();
        self.early |= early.starts_with("send");
        if early.starts_with("inactive") {
            context.timers.stop(Timer::Progress(self.info.id));
        } else {
            self.progress(context);
        }
        let described = self.media.described;
        let Some(leg) = forks::early(&mut self.legs, answer, |dialog| Leg::new(dialog, described, true)) else { return };
        leg.learn(answer);
        if let Some(prack) = leg.reliable.prack(&mut leg.dialog, answer) {
            context.request(prack, Owner::Call(self.info.id, Asked::Prack), None);
        }
        let tag = answer.to_tag().unwrap_or_default();
        if self.media.taken_from.is_none() && answer.content_is("application/sdp") {
            self.take_answer(context, tag, answer);
        }
        if self.early && self.media.joined {
            self.establish(context);
        }
        self.trickle(context);
    }

    /// A PRACK that came out of order, overtaken by what was sent after it.
    pub(super) fn prack_refused(&mut self, refusal: &Message<'_>) {
        let tag = refusal.to_tag().unwrap_or_default();
        for leg in self.legs.iter_mut().filter(|leg| leg.dialog.remote_tag == tag) {
            leg.reliable.prack_failed();
        }
    }

    /// Gives the peer connection the other side's answer: the first one, and no other.
    fn take_answer(&mut self, context: &mut Context, tag: &str, answer: &Message<'_>) -> bool {
        let Some(text) = Some(answer.text()).filter(|text| sdp::check(text).is_ok()) else { return false };
        self.media.taken_from = Some(tag.to_owned());
        self.accept_answer(context, Awaited::FirstAccept, text);
        true
    }

    /// A 2xx: the first makes the call, others are copies or other forks (RFC 3261, 13.2.2.4).
    fn picked_up(&mut self, context: &mut Context, answer: &Message<'_>) {
        let Some((tag, number)) = answer.to_tag().zip(answer.number(Name::CSeq)) else {
            return;
        };
        let ours = self.legs.first().is_some_and(|leg| leg.dialog.confirmed && leg.dialog.remote_tag == tag);
        if self.is_up() && ours {
            if let Some(ack) = &self.ack {
                context.send(ack.clone());
            }
            return;
        }
        let described = self.media.described;
        let leg = forks::confirmed(&mut self.legs, answer, |dialog| Leg::new(dialog, described, true));
        let Some(mut leg) = leg else { return };
        leg.learn(answer);
        let ack = context.acknowledge(leg.dialog.acknowledge(number));
        if self.is_up() || self.is_over() {
            return self.turn_away(context, leg);
        }
        // Nobody answers what did not ring, though the sign of it may be lost: every app hears of the one before the other.
        self.progress(context);
        self.ack = Some(ack);
        self.spent = 0;
        for other in &self.legs {
            self.spent = self.spent.max(other.dialog.last_number());
        }
        self.legs = vec![leg];
        self.phase = Phase::Up;
        context.timers.stop(Timer::Progress(self.info.id));
        context.timers.stop(Timer::Answer(self.info.id));
        context.timers.set(Timer::PathLost(self.info.id), context.now + LOST);
        self.forks_until = context.now + TIMEOUT;
        self.learn_refresh(context, answer);
        if self.info.state == State::Established {
            // It was heard before.
            self.unmute(context);
            self.watch_path(context);
        }
        self.connect(context, tag, answer);
    }

    /// Hangs up on a fork that answered too late.
    fn turn_away(&self, context: &mut Context, mut leg: Leg) {
        leg.dialog.sent(self.spent);
        context.request(leg.dialog.request(Method::Bye), Owner::Call(self.info.id, Asked::Goodbye), None);
    }

    /// Joins the media of the party that answered.
    fn connect(&mut self, context: &mut Context, tag: &str, answer: &Message<'_>) {
        match self.media.taken_from.clone() {
            Some(taken) if taken == tag => {
                if self.media.joined {
                    self.establish(context);
                }
            }
            // Our offer was used up by another fork's early answer: a new peer connection and a new offer.
            Some(_) => self.renew(context, false),
            None if answer.content_is("application/sdp") && self.take_answer(context, tag, answer) => {}
            None => {
                let error = Error::Unusable("The answer has no usable session description");
                self.finish(context, EndCause::Failure, Some(error), StatusCode::NOT_ACCEPTABLE_HERE);
            }
        }
        self.trickle(context);
    }

    /// The other side's description is in place.
    pub(super) fn joined(&mut self, context: &mut Context) {
        self.media.joined = true;
        if self.is_up() || self.early {
            self.establish(context);
        }
    }

    fn refused(&mut self, context: &mut Context, answer: &Message<'_>) {
        let code = answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
        let rang = self.info.state > State::Initiating;
        let cause = match code {
            StatusCode::BUSY_HERE | StatusCode::BUSY_EVERYWHERE | StatusCode::DECLINE => EndCause::Denied,
            StatusCode::REQUEST_TERMINATED => EndCause::Canceled,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TEMPORARILY_UNAVAILABLE if rang => EndCause::NoAnswer,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TEMPORARILY_UNAVAILABLE => EndCause::Timeout,
            _ => EndCause::Failure,
        };
        // What another network says is told in any case; of a user who declines there is nothing more to tell.
        let tell = cause == EndCause::Failure || self.info.domain != Domain::Data;
        let error = tell.then(|| Error::CallRefused(refusal(answer)));
        if cause == EndCause::Denied {
            // The original shows a refusal as a ring and its end, also where the callee never rang.
            self.progress(context);
        }
        self.end(context, cause, error);
        self.done = true;
    }

    /// Takes the INVITE back. Who answers neither it nor the CANCEL is forgotten with the call.
    pub(super) fn cancel(&self, context: &mut Context) {
        if let Phase::Inviting { key, .. } = &self.phase {
            context.transactions.cancel(context.now, key, None);
        }
    }

    /// The client is not started, or could not be.
    pub fn refuse(&mut self, context: &mut Context) {
        let error = Error::Unexpected("The client is not started");
        self.finish(context, EndCause::Failure, Some(error), StatusCode::TEMPORARILY_UNAVAILABLE);
    }

    /// The callee gave no sign of life in time.
    pub fn no_progress(&mut self, context: &mut Context) {
        if self.info.state == State::Initiating {
            self.finish(context, EndCause::Timeout, None, StatusCode::REQUEST_TIMEOUT);
        }
    }

    /// It rang long enough.
    pub fn no_answer(&mut self, context: &mut Context) {
        if self.info.state < State::Established {
            self.finish(context, EndCause::NoAnswer, None, StatusCode::TEMPORARILY_UNAVAILABLE);
        }
    }
}
