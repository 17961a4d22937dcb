//! Errors as the original SDK numbers them: a domain, a code, a message, and what the server said.

/// What went wrong, in the numbers of the original SDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Whose fault: 0 network, 1 capability, 2 session, 3 server, 5 the caller of the SDK.
    pub domain: i32,
    /// Which fault: see [`codes`].
    pub code: i32,
    /// A sentence for a person.
    pub message: String,
    /// What the server answered.
    pub response: Option<Box<ErrorResponse>>,
}

/// A refusal of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The SIP status code, or the five-digit code where the server gave one.
    pub error_code: u32,
    /// The reason phrase.
    pub reason: String,
    /// The header fields of the answer.
    pub headers: Vec<(String, String)>,
}

/// Domain and code of each fault that the SDK itself finds.
pub mod codes {
    /// The server cannot be reached.
    pub const CONNECTION_REFUSED: (i32, i32) = (0, 1000);
    /// The media path broke and did not come back.
    pub const CONNECTION_TIMED_OUT: (i32, i32) = (0, 1001);
    /// The server refused.
    pub const API_CALL_FAILED: (i32, i32) = (3, 4000);
    /// A call that makes no sense now.
    pub const UNEXPECTED_CALL: (i32, i32) = (5, 6000);
    /// Something inside the browser failed, such as the microphone.
    pub const INTERNAL: (i32, i32) = (5, 6001);
    /// Misuse: wrong state, missing capability.
    pub const MISUSE: (i32, i32) = (5, 6002);
    /// A missing or malformed argument.
    pub const MISSING_PARAMETER: (i32, i32) = (5, 6003);
}

impl Error {
    /// A fault with one of [`codes`].
    #[must_use]
    pub fn new((domain, code): (i32, i32), message: &str) -> Self {
        Self { domain, code, message: message.to_owned(), response: None }
    }
}
