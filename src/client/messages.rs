//! What the server sends: which account, call or transaction each message is for, and the answer to what is for none.

use offhook_sip::{Abilities, Message, OwnedMessage};
use offhook_ua::session_timer::SessionTimer;
use offhook_ua::transaction::{ClientKey, Received, ServerKey, Transport};
use offhook_ua::uas;

use super::context::{Asked, CAN, Owner, SUPPORTED};
use super::session::Session as Call;
use super::{Client, Phase};
use crate::client::call::State;
use offhook_sip::{Method, StatusCode};

impl Client {
    pub(super) fn received(&mut self, text: String) {
        self.connection.heard(&mut self.context);
        if text.bytes().all(|b| matches!(b, b'\r' | b'\n')) {
            return if text.len() == 2 { self.connection.ponged() } else { self.context.send("\r\n".to_owned()) };
        }
        let Ok(owned) = OwnedMessage::parse(text) else {
            return self.context.log("A message from the server makes no sense");
        };
        let message = owned.get();
        if let Err(rejection) = message.check() {
            return self.reject(message, rejection.code);
        }
        if !message.is_request() && !self.context.is_ours(message) {
            return;
        }
        match self.context.transactions.receive(self.context.now, (), Transport::Reliable, message) {
            Received::Request(key) => self.request(&key, &owned),
            Received::Ack => {
                if let Some(call) = self.calls.iter_mut().find(|call| call.leg_of(message).is_some()) {
                    call.acknowledged(&mut self.context, message);
                }
            }
            Received::Response(key) => self.response(&key, message),
            Received::Absorbed | Received::Stray => {}
        }
    }

    /// Answers a request that breaks the rules, where it has what an answer needs.
    fn reject(&mut self, message: &Message<'_>, code: StatusCode) {
        self.context.log("A message from the server breaks the rules");
        if !message.is_request() || message.method() == Some(Method::Ack) {
            return;
        }
        if let Received::Request(key) = self.context.transactions.receive(self.context.now, (), Transport::Reliable, message) {
            self.context.refuse(&key, message, code);
        }
    }

    fn request(&mut self, key: &ServerKey, owned: &OwnedMessage) {
        let request = owned.get();
        if request.method() == Some(Method::Cancel) {
            return self.cancelled(key, request);
        }
        let known = self.calls.iter_mut().find_map(|call| call.leg_of(request).map(|position| (call, position)));
        if let Some((call, position)) = known {
            return call.request(&mut self.context, position, key, owned);
        }
        let inside = request.to_tag().is_some();
        match request.method() {
            _ if inside => self.context.refuse(key, request, StatusCode::CALL_DOES_NOT_EXIST),
            Some(Method::Invite) => self.invited(key, owned),
            Some(Method::Options) => {
                let tag = self.context.random.token();
                let answer = uas::answer(request, StatusCode::OK, &tag).field("Allow", &CAN.allow()).field("Supported", SUPPORTED);
                self.context.respond(key, answer.field("Accept", &CAN.bodies.join(", ")).end());
            }
            Some(Method::Bye | Method::Prack | Method::Update | Method::Info) => {
                self.context.refuse(key, request, StatusCode::CALL_DOES_NOT_EXIST);
            }
            Some(method) => self.context.refuse(key, request, Abilities::unserved(method)),
            None => {}
        }
    }

    fn cancelled(&mut self, key: &ServerKey, cancel: &Message<'_>) {
        let invite = key.invite();
        if !self.context.transactions.knows(&invite) {
            return self.context.refuse(key, cancel, StatusCode::CALL_DOES_NOT_EXIST);
        }
        let call = self.calls.iter_mut().find(|call| call.rings_for(&invite));
        // With the tag that the answers to its INVITE have. What was answered meanwhile stays answered (RFC 3261, 9.2).
        let tag = call.as_ref().map_or_else(|| self.context.random.token(), |call| call.local_tag().to_owned());
        self.context.respond(key, uas::answer(cancel, StatusCode::OK, &tag).end());
        if let Some(call) = call {
            call.cancelled(&mut self.context, cancel);
        }
    }

    /// Somebody calls: busy, refused, or it rings.
    fn invited(&mut self, key: &ServerKey, owned: &OwnedMessage) {
        let invite = owned.get();
        if let Err(rejection) = invite.check_uas(&CAN) {
            return self.context.refuse(key, invite, rejection.code);
        }
        if !invite.body.is_empty() && offhook_sip::sdp::usable(invite.text()).is_err() {
            return self.context.refuse(key, invite, StatusCode::NOT_ACCEPTABLE_HERE);
        }
        if SessionTimer::is_too_brief(invite) {
            return self.context.refuse(key, invite, StatusCode::SESSION_INTERVAL_TOO_SMALL);
        }
        if let Some(call) = self.calls.iter_mut().find(|call| call.rings_again(invite)) {
            return call.ring_again(&mut self.context, key.clone(), owned);
        }
        if !self.account.is_receiving() {
            return self.context.refuse(key, invite, StatusCode::TEMPORARILY_UNAVAILABLE);
        }
        if !self.context.config.multi_call && self.has_calls() {
            return self.context.refuse(key, invite, StatusCode::BUSY_HERE);
        }
        let id = self.new_id();
        match Call::ring(&mut self.context, id, key.clone(), owned) {
            Some(call) => self.calls.push(call),
            None => self.context.refuse(key, invite, StatusCode::BAD_REQUEST),
        }
    }

    fn response(&mut self, key: &ClientKey, answer: &Message<'_>) {
        let Some(code) = answer.code() else { return };
        let challenged = code.is_challenge();
        match self.context.owner(key, code.is_final() && !challenged) {
            Some(Owner::Account) => self.registered(key, answer),
            Some(Owner::Call(id, Asked::Invite)) => {
                if let Some((call, context)) = self.on_call(id) {
                    call.invite_answered(context, key, answer);
                }
                if challenged && self.call_info(id).is_none_or(|info| info.state == State::Ended) {
                    // The server may know us no longer.
                    self.account.doubted(&mut self.context);
                }
            }
            Some(Owner::Call(id, asked)) if code.is_final() => {
                if let Some((call, context)) = self.on_call(id) {
                    call.request_answered(context, asked, key, Some(answer));
                }
                if challenged && !self.calls.iter().any(|call| call.info.id == id) {
                    // A BYE or CANCEL of a call that is gone already.
                    self.context.retry(key, answer);
                }
                // A challenge that was not met is the last answer, too; one that was met is waited for under another key.
                self.context.owner(key, true);
            }
            _ => {}
        }
    }

    fn registered(&mut self, key: &ClientKey, answer: &Message<'_>) {
        if answer.code().is_some_and(StatusCode::is_provisional) {
            return;
        }
        if answer.code().is_some_and(StatusCode::is_challenge) {
            if let Some((_, number)) = self.context.retry(key, answer) {
                return self.account.sent(number);
            }
            self.context.owner(key, true);
        }
        if self.account.phase == Phase::Over {
            return;
        }
        let verdict = self.account.answered(&mut self.context, answer);
        self.judge(verdict);
    }
}
