//! How the switch says no: the SIP status for every client, and the five-digit code of the calling API in `X-Error`.

use offhook_sip::{Message, Method, Name, StatusCode, Writer, reply};
use offhook_ua::time::Instant;

use super::admission::Request;
use super::{ConnId, Hub, Output, Record};

/// Methods that the switch takes part in.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, UPDATE, INFO, PRACK, REFER, NOTIFY, MESSAGE";

/// A final answer other than 2xx.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) code: StatusCode,
    error: u32,
    why: &'static str,
    retry_after: Option<u32>,
}

impl Refusal {
    /// With SIP status `code`, API error number `error`, and a phrase that both the user and the log see.
    pub(super) const fn new(code: StatusCode, error: u32, why: &'static str) -> Self {
        Self { code, error, why, retry_after: None }
    }

    /// Says when to try again, in seconds.
    pub(super) const fn after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// A method outside a dialog that the switch does nothing with.
    pub(super) fn unserved(method: Method<'_>) -> Self {
        if ALLOW.split(", ").any(|known| known == method.as_str()) {
            Self::new(StatusCode::METHOD_NOT_ALLOWED, 40003, "Method not allowed outside a dialog")
        } else {
            Self::new(StatusCode::NOT_IMPLEMENTED, 40003, "Method not implemented")
        }
    }

    /// The answer to `request`, still open.
    pub(super) fn answer(&self, request: &Message<'_>, tag: &str) -> Writer {
        let mut text = reply(request, self.code, Some(tag));
        if let Some(seconds) = self.retry_after {
            text = text.number("Retry-After", seconds);
        }
        if matches!(self.code, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) {
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
        if message.is_request() && message.method() != Some(Method::Ack) {
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
        let refusal = Refusal::new(StatusCode::BAD_EXTENSION, 40003, "Extension not supported");
        let text = refusal.answer(request.message, &tag).field("Unsupported", &unknown.join(", ")).end();
        self.respond(now, &request.key, text);
        self.record_refused(request.conn, request.message, StatusCode::BAD_EXTENSION, refusal.why);
    }

    pub(super) fn record_refused(&mut self, conn: ConnId, message: &Message<'_>, code: StatusCode, why: &'static str) {
        let user = message.from().map(|from| from.uri.user_text().into_owned()).unwrap_or_default();
        self.record(Record::Refused { conn, user, code, why });
    }
}
