//! The names of values in SIP, in HTTP, in call records and for users.

use offhook_sip::{ApiCode, StatusCode};

use super::{Kind, Refused};

impl Refused {
    /// Returns the SIP status, which is also the first three digits of [`Refused::code`].
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Number => StatusCode::BAD_REQUEST,
            Self::NoCredit => StatusCode::PAYMENT_REQUIRED,
            Self::Destination | Self::TooManyCalls | Self::CallRate | Self::RangeRate | Self::SpendCap => StatusCode::FORBIDDEN,
            Self::NoRate => StatusCode::NOT_FOUND,
            Self::Store => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the five-digit error code of the calling API.
    #[must_use]
    pub const fn code(self) -> ApiCode {
        match self {
            Self::Number => ApiCode::Parameter,
            Self::NoCredit => ApiCode::NoCredit,
            Self::Destination | Self::TooManyCalls | Self::CallRate | Self::RangeRate | Self::SpendCap => ApiCode::Forbidden,
            Self::NoRate => ApiCode::NotFound,
            Self::Store => ApiCode::Unavailable,
        }
    }

    /// Returns the message for the caller.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Number => "Not a phone number: write + and the country code, then digits only",
            Self::NoCredit => "Not enough credit",
            Self::Destination => "Calls to this country or range are not allowed",
            Self::NoRate => "There is no rate for this number",
            Self::TooManyCalls => "Too many calls at once",
            Self::CallRate => "Too many new calls in a minute",
            Self::RangeRate => "Too many new calls to this country or range in an hour",
            Self::SpendCap => "The spending limit of today is reached",
            Self::Store => "The gateway cannot use its database",
        }
    }

    /// Returns the cause in the call record.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Number => "not a number",
            Self::NoCredit => "no credit",
            Self::Destination => "closed destination",
            Self::NoRate => "no rate",
            Self::TooManyCalls => "too many calls",
            Self::CallRate => "call rate",
            Self::RangeRate => "range rate",
            Self::SpendCap => "spend cap",
            Self::Store => "store failed",
        }
    }
}

impl Kind {
    /// Returns the name in call records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Phone | Self::Emergency => "phone",
            Self::Sip => "sip",
            Self::Test => "test",
            Self::Incoming => "incoming",
        }
    }
}
