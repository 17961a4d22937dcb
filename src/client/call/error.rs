//! Errors, by whose fault they are. Pages know each by a domain, a code and a message: those of the original SDK.
//!
//! | fault of | variants | domain |
//! |---|---|---|
//! | the network | [`Error::Unreachable`], [`Error::TimedOut`] | 0 |
//! | the server, or the remote party | [`Error::Refused`], [`Error::CallRefused`], [`Error::ApiRefused`] | 3 |
//! | the peer | [`Error::Unusable`] | 3 |
//! | the browser | [`Error::Browser`] | 5 |
//! | the SDK | [`Error::Failed`] | 5 |
//! | the page | [`Error::Unexpected`], [`Error::Misuse`], [`Error::Argument`], [`Error::NoListener`] | 5 |

use core::fmt;
use std::borrow::Cow;

use crate::client::MediaError;

/// What went wrong, and whose fault it is. Its text is a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The network's: the server cannot be reached (0, 1000).
    Unreachable(Cow<'static, str>),
    /// The network's: a server or peer does not answer, or the media path broke and did not come back (0, 1001).
    TimedOut(&'static str),
    /// The server's: it rejected a registration (3, 4000).
    Refused(Box<ErrorResponse>),
    /// The server's or the remote party's: the call was rejected (3, and the code of the response).
    CallRefused(Box<ErrorResponse>),
    /// The server's: it rejected a request over HTTP, with this reason (3, 4000).
    ApiRefused(String),
    /// The peer's: what it sent cannot be used (3, 4000).
    Unusable(&'static str),
    /// The browser's: it gave no media (5, 6001).
    Browser(MediaError),
    /// The SDK's own (5, 6001).
    Failed(&'static str),
    /// The page's: a method that cannot be called now (5, 6000).
    Unexpected(&'static str),
    /// The page's: a wrong state, or a capability that is not set (5, 6002).
    Misuse(&'static str),
    /// The page's: an argument is missing or malformed (5, 6003).
    Argument(Cow<'static, str>),
    /// The page's: there is no listener for incoming calls (5, 6004).
    NoListener,
}

/// A final response that is a failure, or a BYE that says of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The SIP status code, or the five-digit code where the server gave one. Of a BYE that has neither, the cause of Q.850.
    pub error_code: u32,
    /// The reason phrase.
    pub reason: String,
    /// The header fields of the response, each name once: several of one name are a list, with commas between.
    pub headers: Vec<(String, String)>,
}

impl Error {
    /// The page's: an argument is missing or malformed.
    pub(crate) const fn argument(why: &'static str) -> Self {
        Self::Argument(Cow::Borrowed(why))
    }

    /// Whose fault it is, as the original SDK numbers it: 0 the network's, 3 the server's, 5 the caller's of the SDK.
    #[must_use]
    pub const fn domain(&self) -> i32 {
        match self {
            Self::Unreachable(_) | Self::TimedOut(_) => 0,
            Self::Refused(_) | Self::CallRefused(_) | Self::ApiRefused(_) | Self::Unusable(_) => 3,
            Self::Browser(_) | Self::Failed(_) | Self::Unexpected(_) | Self::Misuse(_) | Self::Argument(_) | Self::NoListener => 5,
        }
    }

    /// The number of the error in the original SDK; of a call that was rejected, the code of the response.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Unreachable(_) => 1000,
            Self::TimedOut(_) => 1001,
            Self::CallRefused(said) => i32::try_from(said.error_code).unwrap_or(API_CALL_FAILED),
            Self::Refused(_) | Self::ApiRefused(_) | Self::Unusable(_) => API_CALL_FAILED,
            Self::Unexpected(_) => 6000,
            Self::Browser(_) | Self::Failed(_) => 6001,
            Self::Misuse(_) => 6002,
            Self::Argument(_) => 6003,
            Self::NoListener => 6004,
        }
    }

    /// What the author or the user of a page is told: the text of the error, and for some what can be done about it.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Browser(MediaError { name, message }) if let Some(advice) = advice(name) => {
                format!("{name}: {advice} ({message})")
            }
            Self::Refused(said) if said.error_code == INVALID_CREDENTIALS => {
                format!(
                    "{self}: check the user name and password; or the secret that signs the ticket or token, and the key and times in it"
                )
            }
            error => error.to_string(),
        }
    }

    /// The response of the server.
    #[must_use]
    pub fn response(&self) -> Option<&ErrorResponse> {
        match self {
            Self::Refused(response) | Self::CallRefused(response) => Some(response),
            _ => None,
        }
    }
}

const API_CALL_FAILED: i32 = 4000;
/// The code of the calling API for credentials that are wrong.
const INVALID_CREDENTIALS: u32 = 40_108;

/// Returns what people can do about an error of the browser, by its name of today or of old (W3C Media Capture and Streams, 10.2).
fn advice(name: &str) -> Option<&'static str> {
    Some(match name {
        "NotAllowedError" | "PermissionDeniedError" => {
            "the microphone, or the camera where the call has video, is not allowed; allow it for this page, in the browser and in the system, \
             and call again"
        }
        "NotFoundError" | "DevicesNotFoundError" => {
            "there is no microphone, or no camera where the call has video; connect one and call again"
        }
        "NotReadableError" | "TrackStartError" => "the microphone or camera cannot be opened; another program may be using it",
        _ => return None,
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(said) | Self::CallRefused(said) => write!(f, "{} {}", said.error_code, said.reason),
            Self::Browser(error) => write!(f, "{}: {}", error.name, error.message),
            Self::Unreachable(why) | Self::Argument(why) => f.write_str(why),
            Self::ApiRefused(said) => f.write_str(said),
            Self::TimedOut(why) | Self::Unusable(why) | Self::Failed(why) | Self::Unexpected(why) | Self::Misuse(why) => {
                f.write_str(why)
            }
            Self::NoListener => f.write_str("Nobody listens to incoming calls"),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorResponse, INVALID_CREDENTIALS};
    use crate::client::MediaError;

    fn said(error_code: u32) -> Box<ErrorResponse> {
        Box::new(ErrorResponse { error_code, reason: "Not enough credit".to_owned(), headers: Vec::new() })
    }

    #[test]
    fn each_fault_has_the_numbers_and_the_words_of_the_original_sdk() {
        let denied = MediaError { name: "NotAllowedError".to_owned(), message: "Permission denied".to_owned() };
        let other = MediaError { name: "InvalidStateError".to_owned(), message: "Closed".to_owned() };
        for (error, domain, code, text) in [
            (Error::Unreachable("no way".into()), 0, 1000, "no way"),
            (Error::TimedOut("silence"), 0, 1001, "silence"),
            (Error::Refused(said(40_200)), 3, 4000, "40200 Not enough credit"),
            (Error::CallRefused(said(40_200)), 3, 40_200, "40200 Not enough credit"),
            (Error::CallRefused(said(u32::MAX)), 3, 4000, "4294967295 Not enough credit"),
            (Error::ApiRefused("40900 The user name is taken".to_owned()), 3, 4000, "40900 The user name is taken"),
            (Error::Unusable("no description"), 3, 4000, "no description"),
            (Error::Unexpected("started"), 5, 6000, "started"),
            (Error::Browser(denied), 5, 6001, "NotAllowedError: Permission denied"),
            (Error::Browser(other), 5, 6001, "InvalidStateError: Closed"),
            (Error::Failed("a panic"), 5, 6001, "a panic"),
            (Error::Misuse("not started"), 5, 6002, "not started"),
            (Error::argument("no number"), 5, 6003, "no number"),
            (Error::NoListener, 5, 6004, "Nobody listens to incoming calls"),
        ] {
            assert_eq!((error.domain(), error.code(), error.to_string().as_str()), (domain, code, text));
        }
        let wrong = Error::Refused(said(INVALID_CREDENTIALS)).message();
        assert!(wrong.starts_with("40108 Not enough credit: check the user name and password"), "{wrong}");
        let message = |name: &str| Error::Browser(MediaError { name: name.to_owned(), message: "Device".to_owned() }).message();
        assert!(
            message("NotAllowedError").starts_with(
                "NotAllowedError: the microphone, or the camera where the call has video, is not allowed; allow it for"
            )
        );
        assert!(message("NotFoundError").ends_with("connect one and call again (Device)"));
        assert_eq!(
            (message("AbortError"), Error::NoListener.message()),
            ("AbortError: Device".into(), Error::NoListener.to_string())
        );
        assert_eq!(Error::CallRefused(said(486)).response().map(|said| said.error_code), Some(486));
    }
}
