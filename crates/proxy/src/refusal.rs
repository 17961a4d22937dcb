//! How the switch says no: the SIP status for every client, and the five-digit code of the calling API in `X-Error`.

use offhook_access::proofs::TOO_MANY;
use offhook_sip::{Abilities, ApiCode, Message, Method, StatusCode, Uri, Writer};
use offhook_ua::log::{Plain, named};
use offhook_ua::time::Instant;
use offhook_ua::uas;
use tracing::{debug, info};

use super::admission::Request;
use super::party::Flow;
use super::{Hub, Record};

/// What the switch takes part in.
pub(super) const CAN: Abilities<'static> = Abilities {
    methods: &[
        Method::Invite,
        Method::Ack,
        Method::Cancel,
        Method::Bye,
        Method::Options,
        Method::Register,
        Method::Update,
        Method::Info,
        Method::Prack,
        Method::Refer,
        Method::Notify,
        Method::Message,
    ],
    extensions: &["path", "outbound", "gruu"],
    bodies: &["application/sdp"],
    ..Abilities::NONE
};

/// Why an extension that a request requires is refused.
pub(super) const NOT_SUPPORTED: &str = "Extension not supported";

/// A final answer other than 2xx.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    status: uas::Refusal<'static>,
    error: ApiCode,
    pub(super) why: &'static str,
}

impl Refusal {
    /// With SIP status `code`, the code `error` of the calling API, and a phrase that both the user and the log see.
    pub(super) const fn new(code: StatusCode, error: ApiCode, why: &'static str) -> Self {
        Self::of(uas::Refusal::Status(code), error, why)
    }

    /// The same with a status that has more to say.
    pub(super) const fn of(status: uas::Refusal<'static>, error: ApiCode, why: &'static str) -> Self {
        Self { status, error, why }
    }

    /// Says when to try again, in seconds.
    pub(super) const fn after(self, seconds: u32) -> Self {
        Self { status: uas::Refusal::RetryAfter(self.status.code(), seconds), ..self }
    }

    /// A method outside a dialog that the switch does nothing with.
    pub(super) fn unserved(method: Method<'_>) -> Self {
        let code = Abilities::unserved(method);
        Self::new(
            code,
            ApiCode::Malformed,
            if code == StatusCode::METHOD_NOT_ALLOWED { "Method not allowed outside a dialog" } else { "Method not implemented" },
        )
    }

    /// The SIP status.
    pub(super) const fn code(&self) -> StatusCode {
        self.status.code()
    }

    /// The answer to `request`, still open.
    pub(super) fn answer(&self, request: &Message<'_>, tag: &str) -> Writer {
        self.status.answer(request, tag, &CAN).field("X-Error", &self.error.x_error(self.why))
    }
}

impl Hub {
    /// Refuses a request that has a transaction.
    pub(super) fn refuse(&mut self, now: Instant, request: &Request, refusal: Refusal) {
        let tag = self.random.token();
        let text = refusal.answer(request.message(), &tag).end();
        self.respond(now, &request.key, text);
        self.record_refused(request.flow, request.message(), refusal.code(), refusal.why);
    }

    /// Refuses a request that has none. An ACK is never answered.
    pub(super) fn refuse_plainly(&mut self, flow: Flow, message: &Message<'_>, refusal: Refusal) {
        if message.is_request() && message.method() != Some(Method::Ack) {
            let tag = self.random.token();
            let text = refusal.answer(message, &tag).end();
            self.send(flow, text);
            self.record_refused(flow, message, refusal.code(), refusal.why);
        }
    }

    pub(super) fn record_refused(&mut self, flow: Flow, message: &Message<'_>, code: StatusCode, why: &'static str) {
        let user = message.from().map(|from| from.uri.user_text().into_owned()).unwrap_or_default();
        self.tell_refused(flow, message, (code, why));
        self.record(Record::Refused { conn: flow.conn(), user, code, why });
    }

    /// Says in the log what was refused, of whom, and why.
    pub(super) fn tell_refused(&self, flow: Flow, message: &Message<'_>, (code, reason): (StatusCode, &'static str)) {
        let method = message.method().map(Method::as_str);
        let invited =
            message.uri().filter(|_| method == Some("INVITE")).and_then(|uri| Uri::parse(uri).ok()).map(|uri| uri.user_text());
        let user = message.from().map(|from| from.uri.user_text()).unwrap_or_default();
        let (call, user, to) = (Plain(message.call_id().unwrap_or_default()), named(&user), invited.as_deref().and_then(named));
        let (application, conn) = (self.application_of(flow), flow.number());
        // Anybody can fail to prove who he is as often as he likes: at `info` that is told by the minute.
        if code == StatusCode::UNAUTHORIZED || reason == TOO_MANY {
            debug!(%call, application, user, to, conn, method, code = code.as_u16(), reason, "refused");
        } else {
            info!(%call, application, user, to, conn, method, code = code.as_u16(), reason, "refused");
        }
    }

    /// The key of the application that a flow is of; empty where it is gone.
    pub(super) fn application_of(&self, flow: Flow) -> &str {
        match flow {
            Flow::WebSocket(conn) => self.flows.connections.get(&conn).map_or("", |connection| &connection.application),
            Flow::B2bua(id) => self.key_of(id),
        }
    }
}
