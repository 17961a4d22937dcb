//! How the switch says no: the SIP status for every client, and the five-digit code of the calling API in `X-Error`.

use offhook_access::proofs::TOO_MANY;
use offhook_sip::{Message, Name, Uri, Writer, reply};
use offhook_ua::log::{Plain, named};
use offhook_ua::time::Instant;
use tracing::{debug, info};

use super::admission::Request;
use super::{ConnId, Hub, Output, Record};

/// Methods that the switch takes part in.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, UPDATE, INFO, PRACK, REFER, NOTIFY, MESSAGE";

/// A final answer other than 2xx.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) code: u16,
    error: u32,
    pub(super) why: &'static str,
    retry_after: Option<u32>,
}

impl Refusal {
    /// With SIP status `code`, API error number `error`, and a phrase that both the user and the log see.
    pub(super) const fn new(code: u16, error: u32, why: &'static str) -> Self {
        Self { code, error, why, retry_after: None }
    }

    /// Says when to try again, in seconds.
    pub(super) const fn after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// A method outside a dialog that the switch does nothing with.
    pub(super) fn unserved(method: &str) -> Self {
        if ALLOW.split(", ").any(|known| known == method) {
            Self::new(405, 40003, "Method not allowed outside a dialog")
        } else {
            Self::new(501, 40003, "Method not implemented")
        }
    }

    /// The answer to `request`, still open.
    pub(super) fn answer(&self, request: &Message<'_>, tag: &str) -> Writer {
        let mut text = reply(request, self.code, Some(tag));
        if let Some(seconds) = self.retry_after {
            text = text.number("Retry-After", seconds);
        }
        if matches!(self.code, 405 | 501) {
            text = text.field("Allow", ALLOW);
        }
        text.field("X-Error", &[&self.error.to_string(), " ", self.why].concat())
    }
}

impl Hub {
    /// Refuses a request that has a transaction.
    pub(super) fn refuse(&mut self, now: Instant, request: &Request<'_>, refusal: Refusal) {
        let tag = self.random.token();
        let text = refusal.answer(request.message, &tag).end();
        self.respond(now, &request.key, text);
        self.record_refused(request.conn, request.message, refusal.code, refusal.why);
    }

    /// Refuses a request that has none. An ACK is never answered.
    pub(super) fn refuse_plainly(&mut self, conn: ConnId, message: &Message<'_>, refusal: Refusal) {
        if message.is_request() && message.method() != Some("ACK") {
            let tag = self.random.token();
            let text = refusal.answer(message, &tag).end();
            self.push(Output::Send { conn, text });
            self.record_refused(conn, message, refusal.code, refusal.why);
        }
    }

    /// Refuses a request that requires what is not there (RFC 3261, 8.2.2.3).
    pub(super) fn refuse_extension(&mut self, now: Instant, request: &Request<'_>, name: Name, known: &[&str]) {
        let tag = self.random.token();
        let unknown: Vec<&str> =
            request.message.all(name).filter(|token| !known.iter().any(|known| known.eq_ignore_ascii_case(token))).collect();
        let refusal = Refusal::new(420, 40003, "Extension not supported");
        let text = refusal.answer(request.message, &tag).field("Unsupported", &unknown.join(", ")).end();
        self.respond(now, &request.key, text);
        self.record_refused(request.conn, request.message, 420, refusal.why);
    }

    pub(super) fn record_refused(&mut self, conn: ConnId, message: &Message<'_>, code: u16, why: &'static str) {
        let user = message.from().map(|from| from.uri.user_text().into_owned()).unwrap_or_default();
        self.tell_refused(conn, message, (code, why));
        self.record(Record::Refused { conn, user, code, why });
    }

    /// Says in the log what was refused, of whom, and why.
    pub(super) fn tell_refused(&self, conn: ConnId, message: &Message<'_>, (code, reason): (u16, &'static str)) {
        let method = message.method().unwrap_or_default();
        let invited = message.uri().filter(|_| method == "INVITE").and_then(|uri| Uri::parse(uri).ok()).map(|uri| uri.user_text());
        let user = message.from().map(|from| from.uri.user_text()).unwrap_or_default();
        let (call, user, to) = (Plain(message.call_id().unwrap_or_default()), named(&user), invited.as_deref().and_then(named));
        let (application, conn) = (self.application_of(conn), conn.0);
        // Anybody can fail to prove who he is as often as he likes: at `info` that is told by the minute.
        if code == 401 || reason == TOO_MANY {
            debug!(%call, application, user, to, conn, method, code, reason, "refused");
        } else {
            info!(%call, application, user, to, conn, method, code, reason, "refused");
        }
    }

    /// The key of the application that a connection is of; empty where it is gone.
    pub(super) fn application_of(&self, conn: ConnId) -> &str {
        self.flows.connections.get(&conn).map_or("", |connection| &connection.application)
    }
}
