//! The five-digit error codes of the calling API: the header field `X-Error` of a SIP response has one, and `errorCode` of an HTTP response.

use core::fmt;

macro_rules! codes {
    ($($name:ident $number:literal $meaning:literal,)*) => {
        /// An error code of the calling API, five digits. The first three are the HTTP status, and the usual SIP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ApiCode {
            $(#[doc = concat!($number, ": ", $meaning, ".")] $name,)*
        }

        impl ApiCode {
            /// All codes, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the five digits.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$name => $number,)*
                }
            }
        }
    };
}

codes! {
    Parameter 40001 "a parameter is out of its range, or no phone number",
    MissingParameter 40002 "a parameter is missing, or of another type",
    Malformed 40003 "the request cannot be read, or asks for what is not there",
    NoCredentials 40100 "credentials are missing",
    Timestamp 40101 "the time of a signed request is wrong",
    Signature 40102 "the signature of a request is wrong, or was used before",
    Credentials 40108 "the credentials are wrong",
    NoCredit 40200 "there is not enough credit",
    Forbidden 40300 "this is not allowed, or is too much at once",
    AuthorizationScheme 40301 "the authorization scheme is not known",
    UserName 40302 "a user name has the form of a phone number",
    NoEmergencyCalls 40310 "emergency calls are not possible here",
    NotFound 40400 "there is no such thing",
    MethodNotAllowed 40500 "the path has no such method",
    Timeout 40800 "it took too long",
    Conflict 40900 "it is somebody else's, or was used before",
    Gone 41000 "the remote party has left",
    TooLarge 41300 "the body is too long",
    MediaType 41500 "the body is of another type",
    UpgradeRequired 42600 "the address is for WebSockets only",
    TooMany 42900 "there were too many of it",
    Offline 48000 "no device answers",
    Busy 48600 "the user is busy",
    Terminated 48700 "the request was cancelled",
    Internal 50000 "the server failed",
    NotImplemented 50100 "the server cannot do this",
    Unavailable 50300 "the server, or the way on, cannot be used now",
}

impl ApiCode {
    /// Returns the HTTP status: the first three digits.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        (self.number() / 100) as u16
    }

    /// Returns the value of `X-Error`: the five digits, and the reason.
    #[must_use]
    pub fn x_error(self, why: &str) -> String {
        format!("{self} {why}")
    }
}

impl fmt::Display for ApiCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::ApiCode;

    #[test]
    fn codes_are_sorted_and_begin_with_their_status() {
        assert!(ApiCode::ALL.is_sorted_by(|a, b| a.number() < b.number()));
        for code in ApiCode::ALL {
            assert!((10_000..70_000).contains(&code.number()));
            assert_eq!(u32::from(code.http_status()), code.number() / 100);
        }
        assert_eq!(ApiCode::NoCredit.x_error("Not enough credit"), "40200 Not enough credit");
    }
}
