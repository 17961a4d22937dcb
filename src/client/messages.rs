//! What the server sends: which account, call or transaction each message is for, and the answer to what is for none.

use offhook_sip::{Abilities, Message, parse_text};
use offhook_ua::session_timer::SessionTimer;
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Received, ServerKey, Transport};
use offhook_ua::uas;

use super::core::{Asked, CAN, Owner, SUPPORTED};
use super::session::Session as Call;
use super::{Client, Phase};
use crate::client::call::State;
use offhook_sip::{Method, StatusCode};

impl Client {
    pub(super) fn received(&mut self, now: Instant, text: &str) {
        self.connection.heard(&mut self.core, now);
        if text.bytes().all(|b| matches!(b, b'\r' | b'\n')) {
            return if text.len() == 2 { self.connection.ponged() } else { self.core.send("\r\n".to_owned()) };
        }
        let Ok(message) = parse_text(text) else {
            return self.core.log("A message from the server makes no sense");
        };
        if let Err(rejection) = message.check() {
            return self.reject(now, &message, rejection.code);
        }
        if !message.is_request() && !self.core.is_ours(&message) {
            return;
        }
        match self.core.transactions.receive(now, (), Transport::Reliable, &message) {
            Received::Request(key) => self.request(now, &key, &message),
            Received::Ack => {
                if let Some(call) = self.calls.iter_mut().find(|call| call.leg_of(&message).is_some()) {
                    call.acknowledged(&mut self.core, now, &message);
                }
            }
            Received::Response(key) => self.response(now, &key, &message),
            Received::Absorbed | Received::Stray => {}
        }
    }

    /// Answers a request that breaks the rules, where it has what an answer needs.
    fn reject(&mut self, now: Instant, message: &Message<'_>, code: StatusCode) {
        self.core.log("A message from the server breaks the rules");
        if !message.is_request() || message.method() == Some(Method::Ack) {
            return;
        }
        if let Received::Request(key) = self.core.transactions.receive(now, (), Transport::Reliable, message) {
            self.core.refuse(now, &key, message, code);
        }
    }

    fn request(&mut self, now: Instant, key: &ServerKey, request: &Message<'_>) {
        if request.method() == Some(Method::Cancel) {
            return self.cancelled(now, key, request);
        }
        let known = self.calls.iter_mut().find_map(|call| call.leg_of(request).map(|position| (call, position)));
        if let Some((call, position)) = known {
            return call.request(&mut self.core, now, position, key, request);
        }
        let inside = request.to_tag().is_some();
        match request.method() {
            _ if inside => self.core.refuse(now, key, request, StatusCode::CALL_DOES_NOT_EXIST),
            Some(Method::Invite) => self.invited(now, key, request),
            Some(Method::Options) => {
                let tag = self.core.random.token();
                let answer = uas::answer(request, StatusCode::OK, &tag).field("Allow", &CAN.allow()).field("Supported", SUPPORTED);
                self.core.respond(now, key, answer.field("Accept", &CAN.bodies.join(", ")).end());
            }
            Some(Method::Bye | Method::Prack | Method::Update | Method::Info) => {
                self.core.refuse(now, key, request, StatusCode::CALL_DOES_NOT_EXIST);
            }
            Some(method) => self.core.refuse(now, key, request, Abilities::unserved(method)),
            None => {}
        }
    }

    fn cancelled(&mut self, now: Instant, key: &ServerKey, cancel: &Message<'_>) {
        let invite = key.invite();
        if !self.core.transactions.knows(&invite) {
            return self.core.refuse(now, key, cancel, StatusCode::CALL_DOES_NOT_EXIST);
        }
        let call = self.calls.iter_mut().find(|call| call.rings_for(&invite));
        // With the tag that the answers to its INVITE have. What was answered meanwhile stays answered (RFC 3261, 9.2).
        let tag = call.as_ref().map_or_else(|| self.core.random.token(), |call| call.local_tag().to_owned());
        self.core.respond(now, key, uas::answer(cancel, StatusCode::OK, &tag).end());
        if let Some(call) = call {
            call.cancelled(&mut self.core, now, cancel);
        }
    }

    /// Somebody calls: busy, refused, or it rings.
    fn invited(&mut self, now: Instant, key: &ServerKey, invite: &Message<'_>) {
        if let Err(rejection) = invite.check_uas(&CAN) {
            return self.core.refuse(now, key, invite, rejection.code);
        }
        if !invite.body.is_empty() && offhook_sip::sdp::usable(invite.text()).is_err() {
            return self.core.refuse(now, key, invite, StatusCode::NOT_ACCEPTABLE_HERE);
        }
        if SessionTimer::is_too_brief(invite) {
            return self.core.refuse(now, key, invite, StatusCode::SESSION_INTERVAL_TOO_SMALL);
        }
        if let Some(call) = self.calls.iter_mut().find(|call| call.rings_again(invite)) {
            return call.ring_again(&mut self.core, now, key.clone(), invite);
        }
        if !self.account.is_receiving() {
            return self.core.refuse(now, key, invite, StatusCode::TEMPORARILY_UNAVAILABLE);
        }
        if !self.core.config.multi_call && self.has_calls() {
            return self.core.refuse(now, key, invite, StatusCode::BUSY_HERE);
        }
        let id = self.new_id();
        match Call::ring(&mut self.core, now, id, key.clone(), invite) {
            Some(call) => self.calls.push(call),
            None => self.core.refuse(now, key, invite, StatusCode::BAD_REQUEST),
        }
    }

    fn response(&mut self, now: Instant, key: &ClientKey, answer: &Message<'_>) {
        let Some(code) = answer.code() else { return };
        let challenged = code.is_challenge();
        match self.core.owner(key, code.is_final() && !challenged) {
            Some(Owner::Account) => self.registered(now, key, answer),
            Some(Owner::Call(id, Asked::Invite)) => {
                if let Some((call, core)) = self.on_call(id) {
                    call.invite_answered(core, now, key, answer);
                }
                if challenged && self.call_info(id).is_none_or(|info| info.state == State::Ended) {
                    // The server may know us no longer.
                    self.account.doubted(&mut self.core, now);
                }
            }
            Some(Owner::Call(id, asked)) if code.is_final() => {
                if let Some((call, core)) = self.on_call(id) {
                    call.request_answered(core, now, asked, key, Some(answer));
                }
                if challenged && !self.calls.iter().any(|call| call.info.id == id) {
                    // A BYE or CANCEL of a call that is gone already.
                    self.core.retry(now, key, answer);
                }
                // A challenge that was not met is the last answer, too; one that was met is waited for under another key.
                self.core.owner(key, true);
            }
            _ => {}
        }
    }

    fn registered(&mut self, now: Instant, key: &ClientKey, answer: &Message<'_>) {
        if answer.code().is_some_and(StatusCode::is_provisional) {
            return;
        }
        if answer.code().is_some_and(StatusCode::is_challenge) {
            if let Some((_, number)) = self.core.retry(now, key, answer) {
                return self.account.sent(number);
            }
            self.core.owner(key, true);
        }
        if self.account.phase == Phase::Over {
            return;
        }
        let verdict = self.account.answered(&mut self.core, now, answer);
        self.judge(now, verdict);
    }
}
