//! What happens within a call: requests of the other side, offers both ways (RFC 3264), refreshes (RFC 4028), tones.

use offhook_sip::sdp;
use offhook_sip::{Abilities, Message, Name, OwnedMessage, reply};
use offhook_ua::glare;
use offhook_ua::session_timer::SessionTimer;
use offhook_ua::transaction::{ClientKey, ServerKey};

use super::{Exchange, Phase, Session};
use crate::client::call::{EndCause, Error};
use crate::client::context::{Asked, Awaited, CAN, Context, Owner, SUPPORTED, capable};
use crate::client::io::{Change, IceState, Output, TaskKind};
use crate::client::timers::Timer;
use offhook_sip::{Method, StatusCode};

impl Session {
    /// Takes a request of the other side in that belongs to the dialog at `position`.
    pub fn request(&mut self, context: &mut Context, position: usize, key: &ServerKey, owned: &OwnedMessage) {
        let request = owned.get();
        let number = request.number(Name::CSeq).unwrap_or(0);
        if !self.legs.get_mut(position).is_some_and(|leg| leg.dialog.in_order(number)) {
            return context.refuse(key, request, StatusCode::SERVER_INTERNAL_ERROR);
        }
        let gone = self.is_up() && !self.reliable.is_pending();
        let Some(method) = request.method() else { return };
        // Whoever offers goes on. Candidates may have been on their way when the peer connection was closed.
        if matches!(method, Method::Invite | Method::Update) {
            self.left = None;
        }
        match method {
            _ if self.is_over() && (gone || method != Method::Bye) => context.refuse(key, request, StatusCode::CALL_DOES_NOT_EXIST),
            Method::Bye => self.bye(context, key, request),
            Method::Prack => self.provisional_acknowledged(context, key, request),
            Method::Info => self.info_request(context, key, request),
            Method::Invite | Method::Update => self.reoffered(context, position, key, owned),
            Method::Options => {
                let answer = reply(request, StatusCode::OK, None).field("Allow", &CAN.allow()).field("Supported", SUPPORTED);
                context.respond(key, answer.end())
            }
            method => context.refuse(key, request, Abilities::unserved(method)),
        }
    }

    fn bye(&mut self, context: &mut Context, key: &ServerKey, bye: &Message<'_>) {
        context.confirm(key, bye);
        self.reliable.stop();
        let cause = if self.is_up() { EndCause::HungUp } else { EndCause::Canceled };
        if let Phase::Ringing { .. } = self.phase {
            // The caller ends an early dialog with BYE: the INVITE still wants its answer (RFC 3261, 15.1.2).
            self.end(context, cause, None);
            return self.decline(context, StatusCode::REQUEST_TERMINATED);
        }
        self.end(context, cause, None);
        self.leave(context);
    }

    /// The BYE went one way or the other: nothing is left to do but to acknowledge the answer to an offer of ours (RFC 5407, 3.2.3), and
    /// to turn away forks that answer late.
    pub(super) fn leave(&mut self, context: &mut Context) {
        if matches!(self.exchange, Exchange::Offered { .. }) {
            return;
        }
        self.done = context.now >= self.forks_until;
        if !self.done {
            context.timers.set(Timer::Forget(self.info.id), self.forks_until);
        }
    }

    fn info_request(&mut self, context: &mut Context, key: &ServerKey, info: &Message<'_>) {
        let package = info.get(Name::InfoPackage).unwrap_or("trickle-ice");
        if package.eq_ignore_ascii_case("offhook-credit") {
            // {"seconds":30}
            let number = info.text().split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
            let seconds = number.and_then(|number| number.parse().ok()).unwrap_or(0);
            context.changed(Change::CreditLow(seconds), &self.info);
        } else if !package.eq_ignore_ascii_case("trickle-ice") {
            return context.refuse(key, info, StatusCode::BAD_INFO_PACKAGE);
        }
        if info.content_is("application/trickle-ice-sdpfrag") {
            let fragment = sdp::read_fragment(info.text()).ok();
            let Some(fragment) = fragment else { return context.refuse(key, info, StatusCode::BAD_REQUEST) };
            // Candidates of an ICE session that is no more (RFC 8840, 4.4).
            let remote = self.media.remote.as_deref().and_then(sdp::ice_credentials);
            let current = fragment.ufrag.is_none() || remote.is_none_or(|(ufrag, _)| fragment.ufrag.as_ref() == Some(&ufrag));
            if current && !self.is_over() {
                let (mut candidates, end) = (fragment.candidates, fragment.end);
                if self.media.local.is_none() {
                    self.media.early.0.append(&mut candidates);
                    self.media.early.0.truncate(100);
                    self.media.early.1 |= end;
                } else {
                    context.push(Output::Candidates { peer: self.media.peer, candidates, end });
                }
            }
        }
        context.confirm(key, info);
    }

    /// ACK to a 2xx of ours.
    pub fn acknowledged(&mut self, context: &mut Context, ack: &Message<'_>) {
        if self.reliable.acknowledge(ack).is_none() {
            return;
        }
        self.watch_acknowledgement(context);
        if let Some(leg) = self.legs.first_mut() {
            leg.open = true;
        }
        if self.is_over() {
            return self.say_goodbye(context);
        }
        // Our 2xx had the offer; here is the answer (RFC 3261, 13.2.1).
        if let Some(answer) = Some(ack.text()).filter(|_| ack.content_is("application/sdp") && !self.media.joined) {
            if sdp::check(answer).is_err() {
                let error = Error::Unusable("The answer has no usable session description");
                return self.finish(context, EndCause::Failure, Some(error), StatusCode::NOT_ACCEPTABLE_HERE);
            }
            self.accept_answer(context, Awaited::FirstAccept, answer);
        }
        self.trickle(context);
    }

    /// INVITE or UPDATE within the call.
    fn reoffered(&mut self, context: &mut Context, position: usize, key: &ServerKey, owned: &OwnedMessage) {
        let request = owned.get();
        let offer = request.content_is("application/sdp");
        let invite = request.method() == Some(Method::Invite);
        if invite {
            self.reliable.reinvited();
        }
        let free = matches!(self.exchange, Exchange::Idle) && !self.reliable.is_pending();
        if SessionTimer::is_too_brief(request) {
            return context.refuse(key, request, StatusCode::SESSION_INTERVAL_TOO_SMALL);
        }
        if invite && !self.is_up() || (offer || invite) && !free {
            let theirs = matches!(self.exchange, Exchange::Answering { .. });
            let (refusal, tag) = (glare::refusal(theirs, &mut context.random), context.random.token());
            return context.refuse_with(key, request, refusal, &tag);
        }
        if offer && sdp::usable(request.text()).is_err() {
            return context.refuse(key, request, StatusCode::NOT_ACCEPTABLE_HERE);
        }
        if let Some(leg) = self.legs.get_mut(position) {
            leg.dialog.refresh(request);
        }
        if offer || invite { self.answer_offer(context, key, owned) } else { self.confirm(context, key, request, "") }
    }

    /// Has an answer made for their offer; a fingerprint of another session asks for another peer connection, and so does ICE that has
    /// failed.
    fn answer_offer(&mut self, context: &mut Context, key: &ServerKey, request: &OwnedMessage) {
        let wait = context.config.candidate_wait;
        let offer = request.get().text();
        let known = self.media.remote.as_deref().and_then(sdp::fingerprint);
        let dead = self.media.ice == IceState::Failed;
        let renewed = !offer.is_empty() && (dead || known.is_some() && sdp::fingerprint(offer) != known);
        self.exchange = Exchange::Answering { key: key.clone(), request: request.clone() };
        if offer.is_empty() {
            return self.make_offer(context, Awaited::Reanswer, false, wait);
        }
        if renewed {
            self.replace_peer(context);
        }
        let offer = self.media.take_offer(offer);
        // The DTLS association goes on, and so do the roles in it (RFC 8842, 5.3): a browser that is asked anew may take the other one.
        let offer = if self.media.passive { sdp::taking_the_lead(&offer) } else { offer };
        self.make_answer(context, Awaited::Reanswer, offer, wait);
        if renewed {
            self.send_stream(context, Awaited::Nothing);
        }
    }

    pub(super) fn reanswer_made(&mut self, context: &mut Context, sdp: String) {
        let Exchange::Answering { key, request, .. } = std::mem::replace(&mut self.exchange, Exchange::Idle) else { return };
        let request = request.get();
        self.describe_us(sdp);
        self.media.joined = !request.body.is_empty();
        let sdp = self.media.local.clone().unwrap_or_default();
        self.confirm(context, &key, request, &sdp);
        if self.is_broken() {
            // Their offer looks for a path: ours would only cross it.
            self.watch_path(context);
        }
        if self.media.joined {
            self.joined(context);
        }
        self.unmute(context);
        self.trickle(context);
    }

    pub(super) fn reanswer_failed(&mut self, context: &mut Context) {
        let Exchange::Answering { key, request, .. } = std::mem::replace(&mut self.exchange, Exchange::Idle) else { return };
        context.refuse(&key, request.get(), StatusCode::NOT_ACCEPTABLE_HERE);
    }

    /// 200 to an INVITE or UPDATE within the call.
    fn confirm(&mut self, context: &mut Context, key: &ServerKey, request: &Message<'_>, sdp: &str) {
        let answer = capable(reply(request, StatusCode::OK, None), &context.contact());
        let text = self.timer.answer(request, answer).body("application/sdp", sdp);
        context.respond(key, text.clone());
        self.keep_alive(context);
        if request.method() == Some(Method::Invite) {
            self.reliable.success(context.now, key.clone(), request, text);
            self.watch_acknowledgement(context);
        }
    }

    /// Whether nothing is on its way that an offer would cross.
    #[inline(never)]
    pub(super) fn may_offer(&self) -> bool {
        matches!(self.exchange, Exchange::Idle) && !self.reliable.is_pending() && self.is_up() && !self.is_over()
    }

    /// Makes an offer within the call, unless one is on its way.
    pub(super) fn reoffer(&mut self, context: &mut Context, restart: bool) {
        if !self.may_offer() {
            return;
        }
        self.exchange = Exchange::Offering;
        let wait = self.candidate_wait(context);
        self.make_offer(context, Awaited::Reoffer, restart, wait);
    }

    /// Begins anew with another peer connection; `restart`: the other side has one that was up, and needs another one, too.
    pub(super) fn renew(&mut self, context: &mut Context, restart: bool) {
        self.replace_peer(context);
        self.exchange = Exchange::Idle;
        self.reoffer(context, restart);
        self.send_stream(context, Awaited::Nothing);
    }

    /// Takes another peer connection. What the old one had still to do is given up and must not end the call.
    fn replace_peer(&mut self, context: &mut Context) {
        let id = self.info.id;
        context.drop_tasks(id, |awaited| awaited != Awaited::Microphone);
        context.push(Output::Close { peer: self.media.peer });
        self.media.renew(context.new_peer());
    }

    pub(super) fn reoffer_made(&mut self, context: &mut Context, sdp: String) {
        self.describe_us(sdp);
        let Some(leg) = self.legs.first_mut() else { return };
        let invite = self.timer.refresh(capable(leg.dialog.request(Method::Invite), &context.contact()));
        self.exchange = Exchange::Offered { number: leg.dialog.last_number() };
        context.request(invite, Owner::Call(self.info.id, Asked::Reinvite), self.media.offer());
    }

    /// The final answer to a request of ours within the call; `None`: there was none.
    pub fn request_answered(&mut self, context: &mut Context, asked: Asked, key: &ClientKey, answer: Option<&Message<'_>>) {
        let code = answer.and_then(Message::code).unwrap_or(StatusCode::REQUEST_TIMEOUT);
        if let Some(answer) = answer.filter(|_| code.is_challenge())
            && let Some((_, number)) = context.retry(key, answer)
        {
            return self.repeated(asked, number);
        }
        // The other side, or the way to it, knows nothing of this dialog any more (RFC 3261, 12.2.1.2; RFC 5057). 408 and 480 only say
        // that it is away now, as in a tunnel: the media and the session timer decide how long to wait for it. Who ended the media
        // before is in no tunnel.
        let unknown = matches!(code, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FLOW_FAILED);
        let gone = (unknown || code == StatusCode::TEMPORARILY_UNAVAILABLE && self.left.is_some()) && !self.media.is_up();
        if (gone || code == StatusCode::CALL_DOES_NOT_EXIST) && matches!(asked, Asked::Update | Asked::Reinvite) {
            return self.vanished(context, code);
        }
        match (asked, answer) {
            (Asked::Trickle, _) => self.trickled(context),
            (Asked::Tone, _) => self.next_tone(context),
            (Asked::Prack, Some(answer)) if code.is_failure() => self.prack_refused(answer),
            (Asked::Update, Some(answer)) if !code.is_failure() => self.updated(context, answer),
            (Asked::Update, _) if matches!(code, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) => {
                self.update_refused(context)
            }
            (Asked::Update, Some(answer)) if code == StatusCode::SESSION_INTERVAL_TOO_SMALL && self.timer.too_brief(answer) => {
                self.refresh_session(context)
            }
            (Asked::Update, _)
                if code.is_failure() && self.is_up() && self.timer.deadlines().is_some_and(|due| due.refresh.is_some()) =>
            {
                let wait = SessionTimer::again(code, self.info.outgoing, &mut context.random);
                context.timers.set(Timer::SessionRefresh(self.info.id), context.now + wait);
            }
            (Asked::Reinvite, answer) => self.reoffer_answered(context, code, answer),
            _ => {}
        }
    }

    /// A challenged request went out again with this number in CSeq.
    fn repeated(&mut self, asked: Asked, sent: u32) {
        if let Some(leg) = self.legs.first_mut() {
            leg.dialog.sent(sent);
        }
        if let (Asked::Reinvite, Exchange::Offered { number }) = (asked, &mut self.exchange) {
            *number = sent;
        }
    }

    /// The dialog is gone at the other side. 410, or media that it ended itself: its page was closed, which is how many people hang up.
    fn vanished(&mut self, context: &mut Context, code: StatusCode) {
        self.exchange = Exchange::Idle;
        if self.is_over() {
            return self.leave(context);
        }
        if self.is_ringing() {
            return self.finish(context, EndCause::Canceled, None, StatusCode::REQUEST_TERMINATED);
        }
        let error = (code != StatusCode::GONE && self.left.is_none()).then_some(Error::TimedOut("The other side is gone"));
        self.end(context, if error.is_some() { EndCause::Failure } else { EndCause::HungUp }, error);
        self.say_goodbye(context);
    }

    fn updated(&mut self, context: &mut Context, answer: &Message<'_>) {
        if let Some(leg) = self.legs.first_mut() {
            leg.dialog.refresh(answer);
        }
        if self.is_up() {
            self.learn_refresh(context, answer);
        }
    }

    /// The other end takes no UPDATE after all: the next refresh is an INVITE.
    fn update_refused(&mut self, context: &mut Context) {
        if let Some(leg) = self.legs.first_mut() {
            leg.updates = false;
        }
        self.refresh_session(context);
    }

    fn reoffer_answered(&mut self, context: &mut Context, code: StatusCode, answer: Option<&Message<'_>>) {
        let Exchange::Offered { number } = self.exchange else { return };
        if self.is_over() {
            if let Some(ack) = self.legs.first().filter(|_| !code.is_failure()).map(|leg| leg.dialog.acknowledge(number)) {
                context.acknowledge(ack);
            }
            self.exchange = Exchange::Idle;
            return self.leave(context);
        }
        if code.is_failure() {
            self.exchange = Exchange::Idle;
            if self.media.joined {
                context.task(self.info.id, Awaited::Nothing, TaskKind::Rollback { peer: self.media.peer });
            } else {
                // Of a first offer, a rollback leaves transceivers behind that no offer of the other side will use.
                self.replace_peer(context);
            }
            // Both offered at once; or something that was sent after our offer overtook it, and it came out of order.
            if code == StatusCode::REQUEST_PENDING || code == StatusCode::SERVER_INTERNAL_ERROR && !self.media.is_up() {
                let wait = glare::wait(self.info.outgoing, &mut context.random);
                context.timers.set(Timer::Glare(self.info.id), context.now + wait);
            }
            if code == StatusCode::SESSION_INTERVAL_TOO_SMALL && answer.is_some_and(|answer| self.timer.too_brief(answer)) {
                self.offer_again(context);
            }
            return;
        }
        let Some((leg, answer)) = self.legs.first_mut().zip(answer) else { return };
        leg.dialog.refresh(answer);
        leg.learn(answer);
        let ack = leg.dialog.acknowledge(number);
        self.ack = Some(context.acknowledge(ack));
        self.exchange = Exchange::Idle;
        self.learn_refresh(context, answer);
        let text = Some(answer.text()).filter(|text| sdp::check(text).is_ok());
        if let Some(text) = text {
            self.media.taken_from = self.legs.first().map(|leg| leg.dialog.remote_tag.clone());
            self.accept_answer(context, Awaited::Reaccept, text);
        }
        self.trickle(context);
    }

    /// Keeps the session alive, or tells the other side our new address.
    pub fn refresh_session(&mut self, context: &mut Context) {
        if !self.is_up() || self.is_over() {
            return;
        }
        if self.legs.first().is_some_and(|leg| leg.updates) { self.update(context, true) } else { self.reoffer(context, false) }
    }

    /// Sends an UPDATE, where the other side takes it; `refreshes`: the session timer begins anew with it.
    pub(super) fn update(&mut self, context: &mut Context, refreshes: bool) {
        let Some(leg) = self.legs.first_mut().filter(|leg| leg.updates) else { return };
        let update = leg.dialog.request(Method::Update).field("Contact", &context.contact()).field("Supported", SUPPORTED);
        let update = if refreshes { self.timer.refresh(update) } else { update };
        context.request(update, Owner::Call(self.info.id, Asked::Update), None);
    }

    /// Nobody refreshed the session (RFC 4028, 10).
    pub fn session_over(&mut self, context: &mut Context) {
        let error = Error::TimedOut("The other side is gone");
        self.finish(context, EndCause::Failure, Some(error), StatusCode::REQUEST_TIMEOUT);
    }

    /// What an answer to a request of ours grants.
    pub(super) fn learn_refresh(&mut self, context: &mut Context, answer: &Message<'_>) {
        self.timer.granted(answer);
        self.keep_alive(context);
    }

    /// Sees to it that the session is refreshed, or ends where nobody does that: from the last 2xx on.
    pub(super) fn keep_alive(&self, context: &mut Context) {
        context.timers.stop(Timer::SessionRefresh(self.info.id));
        context.timers.stop(Timer::SessionEnd(self.info.id));
        if let Some(deadlines) = self.timer.deadlines().filter(|_| self.is_up()) {
            context.timers.set(Timer::SessionEnd(self.info.id), context.now + deadlines.end);
            if let Some(refresh) = deadlines.refresh {
                context.timers.set(Timer::SessionRefresh(self.info.id), context.now + refresh);
            }
        }
    }

    /// Sends tones: by RTP where the other side takes them (RFC 4733), else by INFO.
    pub fn send_tones(&mut self, context: &mut Context, keys: &str) {
        if !self.is_up() || self.is_over() {
            return;
        }
        if self.media.remote.as_deref().is_none_or(sdp::has_telephone_event) {
            let keys = keys.to_ascii_uppercase();
            return context.push(Output::Tones { peer: self.media.peer, keys });
        }
        let idle = self.tones.is_empty();
        self.tones.push_str(&keys.to_ascii_uppercase());
        if idle {
            self.send_tone(context);
        }
    }

    fn next_tone(&mut self, context: &mut Context) {
        if !self.tones.is_empty() {
            self.tones.remove(0);
        }
        self.send_tone(context);
    }

    fn send_tone(&mut self, context: &mut Context) {
        let Some((leg, key)) = self.legs.first_mut().zip(self.tones.get(..1)) else { return };
        let body = format!("Signal={key}\r\nDuration=160\r\n");
        let owner = Owner::Call(self.info.id, Asked::Tone);
        context.request(leg.dialog.request(Method::Info), owner, Some(("application/dtmf-relay", &body)));
    }
}
