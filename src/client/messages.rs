//! Messages from the server: passes each one on to the account, call or transaction that it belongs to, and rejects requests that belong to none.

use offhook_sip::{Abilities, Message, OwnedMessage};
use offhook_ua::session_timer::SessionTimer;
use offhook_ua::transaction::{ClientKey, Received, ServerKey, Transport};
use offhook_ua::uas;

use super::context::{ABILITIES, Owner, Purpose};
use super::session::Session as Call;
use super::{Client, Output, Phase};
use crate::client::call::State;
use offhook_sip::{Method, StatusCode};

impl Client {
    pub(super) fn handle_received(&mut self, text: String) {
        self.connection.received(&mut self.context);
        if text.bytes().all(|b| matches!(b, b'\r' | b'\n')) {
            return if text.len() == 2 {
                self.connection.pong_received()
            } else {
                self.context.push(Output::Send("\r\n".to_owned()))
            };
        }
        let Ok(owned) = OwnedMessage::parse(text) else {
            return self.context.log("A message from the server cannot be parsed");
        };
        let message = owned.get();
        if let Err(rejection) = message.check() {
            return self.reject(message, rejection.code);
        }
        if !message.is_request() && !self.context.is_ours(message) {
            return;
        }
        match self.context.transactions.receive(self.context.now, (), Transport::Reliable, message) {
            Received::Request(key) => self.handle_request(&key, &owned),
            Received::Ack => {
                if let Some(call) = self.calls.iter_mut().find(|call| call.leg_of(message).is_some()) {
                    call.handle_ack(&mut self.context, message);
                }
            }
            Received::Response(key) => self.handle_response(&key, message),
            Received::Absorbed | Received::Stray => {}
        }
    }

    /// Rejects a malformed request, if it has the fields that a response needs.
    fn reject(&mut self, message: &Message<'_>, code: StatusCode) {
        self.context.log("A message from the server violates RFC 3261");
        if !message.is_request() || message.method() == Some(Method::Ack) {
            return;
        }
        if let Received::Request(key) = self.context.transactions.receive(self.context.now, (), Transport::Reliable, message) {
            self.context.reject(&key, message, code);
        }
    }

    fn handle_request(&mut self, key: &ServerKey, owned: &OwnedMessage) {
        let request = owned.get();
        if request.method() == Some(Method::Cancel) {
            return self.handle_cancel(key, request);
        }
        let known = self.calls.iter_mut().find_map(|call| call.leg_of(request).map(|position| (call, position)));
        if let Some((call, position)) = known {
            return call.handle_request(&mut self.context, position, key, owned);
        }
        let inside = request.to_tag().is_some();
        match request.method() {
            _ if inside => self.context.reject(key, request, StatusCode::CALL_DOES_NOT_EXIST),
            Some(Method::Invite) => self.handle_invite(key, owned),
            Some(Method::Options) => {
                let tag = self.context.random.token();
                let answer = uas::answer(request, StatusCode::OK, &tag)
                    .field("Allow", &ABILITIES.allow())
                    .field("Supported", &ABILITIES.supported());
                self.context.respond(key, answer.field("Accept", &ABILITIES.bodies.join(", ")).end());
            }
            Some(Method::Bye | Method::Prack | Method::Update | Method::Info) => {
                self.context.reject(key, request, StatusCode::CALL_DOES_NOT_EXIST);
            }
            Some(method) => self.context.reject(key, request, Abilities::unserved(method)),
            None => {}
        }
    }

    fn handle_cancel(&mut self, key: &ServerKey, cancel: &Message<'_>) {
        let invite = key.invite();
        if !self.context.transactions.knows(&invite) {
            return self.context.reject(key, cancel, StatusCode::CALL_DOES_NOT_EXIST);
        }
        let call = self.calls.iter_mut().find(|call| call.is_ringing_for(&invite) || call.is_answering(&invite));
        // With the tag of the responses to its INVITE. A call that was answered meanwhile stays answered (RFC 3261, 9.2).
        let tag = call.as_ref().map_or_else(|| self.context.random.token(), |call| call.local_tag().to_owned());
        self.context.respond(key, uas::answer(cancel, StatusCode::OK, &tag).end());
        match call {
            Some(call) if call.is_answering(&invite) => call.reoffer_cancelled(&mut self.context),
            Some(call) => call.handle_cancel(&mut self.context, cancel),
            None => {}
        }
    }

    /// Takes an INVITE outside a dialog: rejects it, or rings.
    fn handle_invite(&mut self, key: &ServerKey, owned: &OwnedMessage) {
        let invite = owned.get();
        if let Err(rejection) = invite.check_uas(&ABILITIES) {
            return self.context.reject(key, invite, rejection.code);
        }
        if invite.description().is_some_and(|offer| offhook_sip::sdp::usable(offer).is_err()) {
            return self.context.reject(key, invite, StatusCode::NOT_ACCEPTABLE_HERE);
        }
        if SessionTimer::is_too_brief(invite) {
            return self.context.reject(key, invite, StatusCode::SESSION_INTERVAL_TOO_SMALL);
        }
        if let Some(call) = self.calls.iter_mut().find(|call| call.is_resent_by(invite)) {
            return call.ring_for_resent(&mut self.context, key.clone(), owned);
        }
        if !self.account.is_receiving() {
            return self.context.reject(key, invite, StatusCode::TEMPORARILY_UNAVAILABLE);
        }
        if !self.context.config.multi_call && self.has_calls() {
            return self.context.reject(key, invite, StatusCode::BUSY_HERE);
        }
        let id = self.new_id();
        match Call::ring(&mut self.context, id, key.clone(), owned) {
            Some(call) => self.calls.push(call),
            None => self.context.reject(key, invite, StatusCode::BAD_REQUEST),
        }
    }

    fn handle_response(&mut self, key: &ClientKey, answer: &Message<'_>) {
        let Some(code) = answer.code() else { return };
        let challenged = code.is_challenge();
        match self.context.owner(key, code.is_final() && !challenged) {
            Some(Owner::Account) => self.handle_register_response(key, answer),
            Some(Owner::Call(id, Purpose::Invite)) => {
                if let Some((call, context)) = self.call_by_id(id) {
                    call.handle_invite_response(context, key, answer);
                }
                if challenged && self.call_info(id).is_none_or(|info| info.state == State::Ended) {
                    // The server may not accept our credentials any more.
                    self.account.check_credentials(&mut self.context);
                }
            }
            Some(Owner::Call(id, purpose)) if code.is_final() => {
                if let Some((call, context)) = self.call_by_id(id) {
                    call.handle_response(context, purpose, key, Some(answer));
                }
                if challenged && !self.calls.iter().any(|call| call.info.id == id) {
                    // A BYE or CANCEL of a call that is dropped already.
                    self.context.retry_with_credentials(key, answer);
                }
                // A challenge without another try is the final response, too; another try has another key.
                self.context.owner(key, true);
            }
            _ => {}
        }
    }

    fn handle_register_response(&mut self, key: &ClientKey, answer: &Message<'_>) {
        if answer.code().is_some_and(StatusCode::is_provisional) {
            return;
        }
        if answer.code().is_some_and(StatusCode::is_challenge) {
            if let Some((_, number)) = self.context.retry_with_credentials(key, answer) {
                return self.account.retried(number);
            }
            self.context.owner(key, true);
        }
        if self.account.phase == Phase::Over {
            return;
        }
        let verdict = self.account.handle_response(&mut self.context, answer);
        self.apply(verdict);
    }
}
