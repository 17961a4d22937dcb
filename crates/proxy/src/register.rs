//! REGISTER: whose device is where, and what it needs to know to make calls.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use offhook_sip::{ApiCode, Name, StatusCode, Writer, escape_user, quote, reply};
use offhook_ua::log::{Masked, Plain};
use offhook_ua::time::Instant;
use offhook_ua::uas;
use sha1::Sha1;
use tracing::{debug, info};

use super::admission::Request;
use super::party::Aor;
use super::refusal::{CAN, NOT_SUPPORTED, Refusal};
use super::timers::Timer;
use super::{ConnId, Hub};
use crate::registrar::{self, Binding, Change, Device, MAX_EXPIRES, MIN_EXPIRES};

const TOO_BRIEF: Refusal = Refusal::of(uas::Refusal::IntervalTooBrief(MIN_EXPIRES), ApiCode::Parameter, "Interval too brief");
/// How often a client should show that it lives, in seconds (RFC 5626, 4.4.1).
const FLOW_TIMER: u32 = 30;

impl Hub {
    pub(super) fn register(&mut self, now: Instant, request: &Request, (conn, aor): (ConnId, &Aor)) {
        let message = request.message();
        if !message.to().is_ok_and(|to| to.uri.is_sip() && to.uri.user_text() == aor.user) {
            return self.refuse(
                now,
                request,
                Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Registration of another user"),
            );
        }
        if message.unsupported(CAN.extensions).next().is_some() {
            return self.refuse(now, request, Refusal::new(StatusCode::BAD_EXTENSION, ApiCode::Malformed, NOT_SUPPORTED));
        }
        match self.registrar.register(now, aor, conn, self.seconds_left(now, conn), message) {
            Ok(change) => self.registered(now, request, (conn, aor), change),
            Err(registrar::Refusal::TooBrief) => self.refuse(now, request, TOO_BRIEF),
            Err(registrar::Refusal::Malformed(why)) => {
                self.refuse(now, request, Refusal::new(StatusCode::BAD_REQUEST, ApiCode::Malformed, why))
            }
            Err(registrar::Refusal::OutOfOrder) => self.refuse(
                now,
                request,
                Refusal::new(StatusCode::SERVER_INTERNAL_ERROR, ApiCode::Internal, "REGISTER out of order"),
            ),
            Err(registrar::Refusal::TooMany) => {
                self.refuse(now, request, Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Too many devices"))
            }
        }
    }

    /// How many whole seconds the identity of a connection holds yet; a last one that is not whole counts.
    fn seconds_left(&self, now: Instant, conn: ConnId) -> u32 {
        let until = self.proof(conn).and_then(|proof| proof.until);
        until.map_or(MAX_EXPIRES, |until| u32::try_from((until - now).as_secs().max(1)).unwrap_or(MAX_EXPIRES))
    }

    fn registered(&mut self, now: Instant, request: &Request, (conn, aor): (ConnId, &Aor), change: Change) {
        let answer = self.registered_answer(now, request, aor);
        self.respond(now, &request.key, answer);
        self.watch_expiry(aor);
        tell_registered(request, aor, &change);
        for old in change.superseded {
            self.supersede(now, old, conn, aor);
        }
        self.flush(now);
        for device in &change.arrived {
            self.returned(now, conn, aor, device);
        }
        if !change.arrived.is_empty() {
            self.release(now, aor.clone());
            self.ring_arrived(now, aor);
        }
    }

    fn registered_answer(&mut self, now: Instant, request: &Request, aor: &Aor) -> String {
        let tag = self.random.token();
        let mut text = reply(request.message(), StatusCode::OK, Some(&tag));
        let mut outbound = false;
        for binding in self.registrar.bindings(aor) {
            outbound |= binding.reg_id > 0;
            text = text.field("Contact", &self.contact(now, aor, binding));
        }
        text = text.field("Supported", &CAN.extensions.join(", "));
        if outbound && request.message().has_token(Name::Supported, "outbound") {
            text = text.field("Require", "outbound");
        }
        self.ice_servers(now, &aor.user, text.number("Flow-Timer", FLOW_TIMER)).end()
    }

    fn contact(&self, now: Instant, aor: &Aor, binding: &Binding) -> String {
        let seconds = (binding.expires - now).as_millis().div_ceil(1000);
        let mut value = format!("<{}>;expires={seconds}", binding.contact);
        if let Device::Instance(instance) = &binding.device {
            let user = escape_user(&aor.user);
            let domain = &self.settings.domain;
            value.push_str(&format!(";+sip.instance=\"<{instance}>\";pub-gruu=\"sip:{user}@{domain};gr={instance}\""));
        }
        if binding.reg_id > 0 {
            value.push_str(&format!(";reg-id={}", binding.reg_id));
        }
        value
    }

    /// STUN and TURN servers, the latter with credentials that run out (coturn's `use-auth-secret`).
    fn ice_servers(&self, now: Instant, user: &str, mut text: Writer) -> Writer {
        for server in &self.settings.ice_servers {
            let turn = server.url.starts_with("turn:") || server.url.starts_with("turns:");
            let secret = self.settings.turn_secret.as_ref().filter(|_| turn);
            let value = secret.map_or_else(
                || format!("<{}>", server.url),
                |secret| {
                    let username = format!("{}:{user}", self.wall.date(now).millis() / 1000 + u64::from(self.settings.turn_ttl));
                    let mut hash = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
                    hash.update(username.as_bytes());
                    let credential = STANDARD.encode(hash.finalize().into_bytes());
                    format!("<{}>;username={};credential={}", server.url, quote(&username), quote(&credential))
                },
            );
            text = text.field("X-ICE-Server", &value);
        }
        text
    }

    /// Registrations of a user have run out.
    pub(super) fn expire_bindings(&mut self, now: Instant, aor: &Aor) {
        let expired = self.registrar.expire(now, aor);
        tell_unregistered(aor, expired, "it was not refreshed");
        self.watch_expiry(aor);
    }

    pub(super) fn watch_expiry(&mut self, aor: &Aor) {
        match self.registrar.expiry(aor) {
            Some(at) => self.timers.set(Timer::Bindings(aor.clone()), at),
            None => self.timers.clear(&Timer::Bindings(aor.clone())),
        }
    }
}

/// Says in the log which devices of a user came and went by a REGISTER.
fn tell_registered(request: &Request, aor: &Aor, change: &Change) {
    let (call, conn) = (Plain(request.message().call_id().unwrap_or_default()), request.flow.number());
    let (application, user) = (&aor.application, Masked(&aor.user));
    tell_unregistered(aor, change.removed, "it asked for that");
    for _ in &change.arrived {
        info!(application, %user, conn, "registered");
    }
    if change.arrived.is_empty() && change.removed == 0 {
        debug!(%call, application, %user, conn, "the registration is refreshed");
    }
}

/// Says in the log that so many devices of a user are registered no longer, and why.
pub(super) fn tell_unregistered(aor: &Aor, devices: usize, reason: &'static str) {
    for _ in 0..devices {
        info!(application = aor.application, user = %Masked(&aor.user), reason, "unregistered");
    }
}
