//! How the proxy refuses: the SIP status for every client, and the five-digit code of the calling API in `X-Error`.

use offhook_sip::{Abilities, ApiCode, Message, Method, StatusCode, Writer};
use offhook_ua::uas;

/// What the proxy takes part in.
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
    /// The connection has shown no identity.
    pub(super) const NOT_AUTHENTICATED: Self = Self::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Not authenticated");
    /// From names somebody else.
    pub(super) const NOT_FROM: Self = Self::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "From is not the authenticated user");
    /// The callee has no device.
    pub(super) const OFFLINE: Self = Self::new(StatusCode::TEMPORARILY_UNAVAILABLE, ApiCode::Offline, "No device is online");
    /// Max-Forwards has come to 0 (RFC 3261, 16.3).
    pub(super) const TOO_MANY_HOPS: Self = Self::new(StatusCode::TOO_MANY_HOPS, ApiCode::Malformed, "Too many hops");
    /// A REGISTER is for somebody else.
    pub(super) const OTHER_USER: Self = Self::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Registration of another user");
    /// The sender has taken it back.
    pub(super) const CANCELLED: Self = Self::new(StatusCode::REQUEST_TERMINATED, ApiCode::Terminated, "Request terminated");

    /// With SIP status `code`, the code `error` of the calling API, and a phrase that both the user and the log see.
    pub(super) const fn new(code: StatusCode, error: ApiCode, why: &'static str) -> Self {
        Self::of(uas::Refusal::Status(code), error, why)
    }

    /// The same with a status that has more to say.
    pub(super) const fn of(status: uas::Refusal<'static>, error: ApiCode, why: &'static str) -> Self {
        Self { status, error, why }
    }

    /// The request breaks the rules of its method.
    pub(super) const fn malformed(why: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ApiCode::Malformed, why)
    }

    /// Says when to try again, in seconds.
    pub(super) const fn after(self, seconds: u32) -> Self {
        Self { status: uas::Refusal::RetryAfter(self.status.code(), seconds), ..self }
    }

    /// A method outside a dialog that the proxy does nothing with.
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

    /// Whether the credentials were wrong, or too many were.
    pub(super) const fn is_unproven(&self) -> bool {
        matches!(self.error, ApiCode::Credentials | ApiCode::TooMany)
    }

    /// The answer to `request`, still open.
    pub(super) fn answer(&self, request: &Message<'_>, tag: &str) -> Writer {
        self.status.answer(request, tag, &CAN).field("X-Error", &self.error.x_error(self.why))
    }
}
