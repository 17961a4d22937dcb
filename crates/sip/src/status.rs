//! Status codes of responses and their default reason phrases (RFC 3261, 21).

use core::fmt;

/// A status code from 100 to 699.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(u16);

/// The class of a status code: its first digit (RFC 3261, 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// 1xx: the request was received and is being processed.
    Provisional,
    /// 2xx: the request was understood and accepted.
    Success,
    /// 3xx: the request is to be tried elsewhere.
    Redirection,
    /// 4xx: the request is at fault, or cannot be fulfilled at this server.
    ClientError,
    /// 5xx: this server is at fault.
    ServerError,
    /// 6xx: the request cannot be fulfilled at any server.
    GlobalFailure,
}

macro_rules! status_codes {
    ($($name:ident $code:literal $reason:literal,)*) => {
        impl StatusCode {
            $(#[doc = concat!($code, " ", $reason)] pub const $name: Self = Self($code);)*
        }

        /// Sorted by code.
        static REASONS: &[(StatusCode, &str)] = &[$((StatusCode::$name, $reason),)*];
    };
}

status_codes! {
    TRYING 100 "Trying",
    RINGING 180 "Ringing",
    CALL_IS_BEING_FORWARDED 181 "Call Is Being Forwarded",
    QUEUED 182 "Queued",
    SESSION_PROGRESS 183 "Session Progress",
    OK 200 "OK",
    ACCEPTED 202 "Accepted",
    MULTIPLE_CHOICES 300 "Multiple Choices",
    MOVED_PERMANENTLY 301 "Moved Permanently",
    MOVED_TEMPORARILY 302 "Moved Temporarily",
    USE_PROXY 305 "Use Proxy",
    BAD_REQUEST 400 "Bad Request",
    UNAUTHORIZED 401 "Unauthorized",
    PAYMENT_REQUIRED 402 "Payment Required",
    FORBIDDEN 403 "Forbidden",
    NOT_FOUND 404 "Not Found",
    METHOD_NOT_ALLOWED 405 "Method Not Allowed",
    NOT_ACCEPTABLE 406 "Not Acceptable",
    PROXY_AUTHENTICATION_REQUIRED 407 "Proxy Authentication Required",
    REQUEST_TIMEOUT 408 "Request Timeout",
    GONE 410 "Gone",
    REQUEST_ENTITY_TOO_LARGE 413 "Request Entity Too Large",
    REQUEST_URI_TOO_LONG 414 "Request-URI Too Long",
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type",
    UNSUPPORTED_URI_SCHEME 416 "Unsupported URI Scheme",
    BAD_EXTENSION 420 "Bad Extension",
    EXTENSION_REQUIRED 421 "Extension Required",
    SESSION_INTERVAL_TOO_SMALL 422 "Session Interval Too Small",
    INTERVAL_TOO_BRIEF 423 "Interval Too Brief",
    PROVIDE_REFERRER_IDENTITY 429 "Provide Referrer Identity",
    FLOW_FAILED 430 "Flow Failed",
    FIRST_HOP_LACKS_OUTBOUND_SUPPORT 439 "First Hop Lacks Outbound Support",
    BAD_INFO_PACKAGE 469 "Bad Info Package",
    TEMPORARILY_UNAVAILABLE 480 "Temporarily Unavailable",
    CALL_DOES_NOT_EXIST 481 "Call/Transaction Does Not Exist",
    LOOP_DETECTED 482 "Loop Detected",
    TOO_MANY_HOPS 483 "Too Many Hops",
    ADDRESS_INCOMPLETE 484 "Address Incomplete",
    AMBIGUOUS 485 "Ambiguous",
    BUSY_HERE 486 "Busy Here",
    REQUEST_TERMINATED 487 "Request Terminated",
    NOT_ACCEPTABLE_HERE 488 "Not Acceptable Here",
    BAD_EVENT 489 "Bad Event",
    REQUEST_PENDING 491 "Request Pending",
    UNDECIPHERABLE 493 "Undecipherable",
    SERVER_INTERNAL_ERROR 500 "Server Internal Error",
    NOT_IMPLEMENTED 501 "Not Implemented",
    BAD_GATEWAY 502 "Bad Gateway",
    SERVICE_UNAVAILABLE 503 "Service Unavailable",
    SERVER_TIMEOUT 504 "Server Time-out",
    VERSION_NOT_SUPPORTED 505 "Version Not Supported",
    MESSAGE_TOO_LARGE 513 "Message Too Large",
    BUSY_EVERYWHERE 600 "Busy Everywhere",
    DECLINE 603 "Decline",
    DOES_NOT_EXIST_ANYWHERE 604 "Does Not Exist Anywhere",
    NOT_ACCEPTABLE_ANYWHERE 606 "Not Acceptable",
}

impl StatusCode {
    /// Returns the status code of this number; `None` below 100 and above 699.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if 100 <= code && code < 700 { Some(Self(code)) } else { None }
    }

    /// Returns the number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Returns the class, by the first digit.
    #[must_use]
    pub const fn class(self) -> Class {
        match self.0 / 100 {
            1 => Class::Provisional,
            2 => Class::Success,
            3 => Class::Redirection,
            4 => Class::ClientError,
            5 => Class::ServerError,
            _ => Class::GlobalFailure,
        }
    }

    /// Whether this is 1xx: a final response follows.
    #[must_use]
    pub const fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// Whether this is 2xx to 6xx: it completes the transaction.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !self.is_provisional()
    }

    /// Whether this is 2xx.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self.class(), Class::Success)
    }

    /// Whether this is 3xx to 6xx.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.0 >= 300
    }

    /// Whether a response to an INVITE with this code and a To tag creates a dialog: 101 to 299 (RFC 3261, 12.1).
    #[must_use]
    pub const fn creates_dialog(self) -> bool {
        100 < self.0 && self.0 < 300
    }

    /// Whether this asks for credentials: 401 or 407 (RFC 3261, 22).
    #[must_use]
    pub const fn is_challenge(self) -> bool {
        matches!(self, Self::UNAUTHORIZED | Self::PROXY_AUTHENTICATION_REQUIRED)
    }

    /// Returns the default reason phrase. An unknown code has that of the code that it is treated as (RFC 3261, 8.1.3.2).
    #[must_use]
    pub fn reason(self) -> &'static str {
        self.own_reason().or_else(|| self.stand_in().own_reason()).unwrap_or_default()
    }

    fn own_reason(self) -> Option<&'static str> {
        let at = REASONS.binary_search_by_key(&self, |(code, _)| *code).ok()?;
        REASONS.get(at).map(|(_, reason)| *reason)
    }

    /// Returns the code that an unknown one is treated as: 183 for a provisional one, else x00 (RFC 3261, 8.1.3.2).
    const fn stand_in(self) -> Self {
        match self.class() {
            Class::Provisional => Self::SESSION_PROGRESS,
            Class::Success => Self::OK,
            Class::Redirection => Self::MULTIPLE_CHOICES,
            Class::ClientError => Self::BAD_REQUEST,
            Class::ServerError => Self::SERVER_INTERNAL_ERROR,
            Class::GlobalFailure => Self::BUSY_EVERYWHERE,
        }
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<StatusCode> for u16 {
    fn from(code: StatusCode) -> Self {
        code.0
    }
}

impl From<StatusCode> for u32 {
    fn from(code: StatusCode) -> Self {
        code.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::{REASONS, StatusCode};

    #[test]
    fn reasons_are_sorted_and_each_code_has_one() {
        assert!(REASONS.is_sorted_by(|(a, _), (b, _)| a < b));
        for code in 100..700 {
            assert!(!StatusCode::new(code).unwrap().reason().is_empty(), "{code}");
        }
        for (code, reason) in
            [(180, "Ringing"), (199, "Session Progress"), (299, "OK"), (399, "Multiple Choices"), (499, "Bad Request")]
        {
            assert_eq!(StatusCode::new(code).unwrap().reason(), reason);
        }
        for (code, reason) in [(481, "Call/Transaction Does Not Exist"), (599, "Server Internal Error"), (699, "Busy Everywhere")] {
            assert_eq!(StatusCode::new(code).unwrap().reason(), reason);
        }
    }

    #[test]
    fn nothing_beyond_three_digits_of_six_classes_is_a_status_code() {
        for code in [0, 99, 700, u16::MAX] {
            assert_eq!(StatusCode::new(code), None);
        }
        assert_eq!(StatusCode::new(699).map(u16::from), Some(699));
    }
}
