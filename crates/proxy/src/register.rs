//! REGISTER: whose device is where, and what it needs to know to make calls.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use offhook_sip::{ApiCode, Name, Rejection, StatusCode, Writer, escape_user, quote, reply};
use offhook_ua::log::{Masked, Plain};
use sha1::Sha1;
use tracing::{debug, info};

use super::ConnId;
use super::context::Context;
use super::party::Aor;
use super::refusal::{CAN, NOT_SUPPORTED, Refusal};
use super::request::Request;
use super::timers::Timer;
use crate::registrar::{Binding, Change, Device, MAX_EXPIRES, Registrar};

/// How often a client should show that it lives, in seconds (RFC 5626, 4.4.1).
const FLOW_TIMER: u32 = 30;

impl Registrar {
    /// Answers a REGISTER that came over `conn`. Returns what it has changed; `None` where it was refused.
    pub(super) fn answer(&mut self, cx: &mut Context, request: &Request, conn: ConnId, aor: &Aor) -> Option<Change> {
        match self.try_register(cx, request, conn, aor) {
            Ok(change) => {
                let answer = self.accept(cx, request, aor);
                cx.respond(&request.key, answer);
                self.watch_expiry(cx, aor);
                log_registered(request, aor, &change);
                Some(change)
            }
            Err(refusal) => {
                cx.refuse(request, refusal);
                None
            }
        }
    }

    fn try_register(&mut self, cx: &Context, request: &Request, conn: ConnId, aor: &Aor) -> Result<Change, Refusal> {
        let message = request.message();
        if let Err(Rejection { code, reason }) = message.check_registrar() {
            return Err(Refusal::new(code, ApiCode::Malformed, reason));
        }
        if !message.to().is_ok_and(|to| to.uri.user_text() == aor.user) {
            return Err(Refusal::OTHER_USER);
        }
        if message.unsupported(CAN.extensions).next().is_some() {
            return Err(Refusal::new(StatusCode::BAD_EXTENSION, ApiCode::Malformed, NOT_SUPPORTED));
        }
        let most = seconds_left(cx, conn);
        self.register(&cx.clock, aor, conn, most, message)
    }

    fn accept(&self, cx: &Context, request: &Request, aor: &Aor) -> String {
        let mut text = reply(request.message(), StatusCode::OK, Some(&request.tag));
        let mut outbound = false;
        for binding in self.bindings(aor) {
            outbound |= binding.reg_id > 0;
            text = text.field("Contact", &contact(cx, aor, binding));
        }
        text = text.field("Supported", &CAN.extensions.join(", "));
        if outbound && request.message().has_token(Name::Supported, "outbound") {
            text = text.field("Require", "outbound");
        }
        ice_servers(cx, &aor.user, text.number("Flow-Timer", FLOW_TIMER)).end()
    }

    /// Registrations of a user have run out.
    pub(super) fn expire_due(&mut self, cx: &mut Context, aor: &Aor) {
        let expired = self.expire(&cx.clock, aor);
        log_unregistered(aor, expired, "it was not refreshed");
        self.watch_expiry(cx, aor);
    }

    /// The identity of a connection holds no longer, nor do the bindings that it carries.
    pub(super) fn lapse_on(&mut self, cx: &mut Context, aor: &Aor, conn: ConnId) {
        log_unregistered(aor, self.lapse(conn), "what was shown for its identity holds no longer");
        self.watch_expiry(cx, aor);
    }

    fn watch_expiry(&self, cx: &mut Context, aor: &Aor) {
        match self.expiry(aor) {
            Some(at) => cx.clock.set_at(Timer::Bindings(aor.clone()), at),
            None => cx.clock.clear(&Timer::Bindings(aor.clone())),
        }
    }
}

/// For how many whole seconds the identity of a connection holds yet; a last one that is not whole counts.
fn seconds_left(cx: &Context, conn: ConnId) -> u32 {
    let until = cx.connections.proof(conn).and_then(|proof| proof.until);
    until.map_or(MAX_EXPIRES, |until| u32::try_from((until - cx.now()).as_secs().max(1)).unwrap_or(MAX_EXPIRES))
}

fn contact(cx: &Context, aor: &Aor, binding: &Binding) -> String {
    let seconds = (binding.expires - cx.now()).as_millis().div_ceil(1000);
    let mut value = format!("<{}>;expires={seconds}", binding.contact);
    if let Device::Instance(instance) = &binding.device {
        let (user, domain) = (escape_user(&aor.user), &cx.settings.domain);
        value.push_str(&format!(";+sip.instance=\"<{instance}>\";pub-gruu=\"sip:{user}@{domain};gr={instance}\""));
    }
    if binding.reg_id > 0 {
        value.push_str(&format!(";reg-id={}", binding.reg_id));
    }
    value
}

/// STUN and TURN servers, the latter with credentials that run out (coturn's `use-auth-secret`).
fn ice_servers(cx: &Context, user: &str, mut text: Writer) -> Writer {
    for server in &cx.settings.ice_servers {
        let turn = server.url.starts_with("turn:") || server.url.starts_with("turns:");
        let secret = cx.settings.turn_secret.as_ref().filter(|_| turn);
        let value = secret.map_or_else(
            || format!("<{}>", server.url),
            |secret| {
                let username = format!("{}:{user}", cx.date().millis() / 1000 + u64::from(cx.settings.turn_ttl));
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

/// Says in the log which devices of a user came and went by a REGISTER.
fn log_registered(request: &Request, aor: &Aor, change: &Change) {
    let (call, conn) = (Plain(request.call_id()), request.flow.number());
    let (application, user) = (&aor.application, Masked(&aor.user));
    log_unregistered(aor, change.removed, "it asked for that");
    for _ in &change.arrived {
        info!(application, %user, conn, "registered");
    }
    if change.arrived.is_empty() && change.removed == 0 {
        debug!(%call, application, %user, conn, "the registration is refreshed");
    }
}

/// Says in the log that so many devices of a user are registered no longer, and why.
fn log_unregistered(aor: &Aor, devices: usize, reason: &'static str) {
    for _ in 0..devices {
        info!(application = aor.application, user = %Masked(&aor.user), reason, "unregistered");
    }
}
