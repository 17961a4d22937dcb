//! The destination of a call, checked before anything is sent.

use std::borrow::Cow;

use offhook_sip::text::cut_at;
use offhook_sip::{Uri, escape_user, is_token};

use super::{Domain, Error};

/// The destination of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A user of the same server: 1 to 255 bytes.
    User(String),
    /// A phone number in E.164 with its `+`, or a short one for emergencies, which the server knows.
    Phone(String),
    /// A SIP address: `user@domain`, with or without `sip:`.
    Sip(String),
    /// A conference room: 1 to 64 characters.
    Conference(String),
}

/// The longest user id, in bytes: what the second generation of the original allows.
const LONGEST_USER: usize = 255;
/// The longest room name, in characters.
const LONGEST_ROOM: usize = 64;
/// All header names and values of a call together, in bytes.
const LONGEST_HEADERS: usize = 1024;

impl Destination {
    /// The kind of the party.
    #[must_use]
    pub const fn domain(&self) -> Domain {
        match self {
            Self::User(_) => Domain::Data,
            Self::Phone(_) => Domain::Pstn,
            Self::Sip(_) => Domain::Sip,
            Self::Conference(_) => Domain::Conference,
        }
    }

    /// The party as the app named it.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Phone(id) | Self::Sip(id) | Self::Conference(id) => id,
        }
    }

    /// Checks that it can be called.
    ///
    /// # Errors
    /// `MissingParameter` (5, 6003) with a message for the page.
    pub fn check(&self) -> Result<(), Error> {
        let fault: Cow<'static, str> = match self {
            Self::User(id) if id.is_empty() => {
                "The call names no user: callUser takes the id of one, as callUser(\"alice\") does".into()
            }
            Self::User(id) if id.len() > LONGEST_USER => {
                format!("A user id has at most {LONGEST_USER} bytes, and this one has {}", id.len()).into()
            }
            Self::User(id) if id.chars().any(char::is_control) => "A user id has no control characters".into(),
            Self::Phone(number) if is_short(number) => return Ok(()),
            Self::Phone(number) => match not_e164(number) {
                Some(fault) => fault.into(),
                None => return Ok(()),
            },
            Self::Sip(address) if !is_sip(address) => "A SIP address is user@domain, in ASCII and without a password".into(),
            Self::Conference(room) if room.is_empty() => "The call names no room: a conference id has 1 to 64 characters".into(),
            Self::Conference(room) if room.chars().count() > LONGEST_ROOM => {
                format!("A conference id has at most {LONGEST_ROOM} characters, and this one has {}", room.chars().count()).into()
            }
            Self::Conference(room) if room.chars().any(char::is_control) => "A conference id has no control characters".into(),
            _ => return Ok(()),
        };
        Err(Error::Argument(fault))
    }

    /// The request-URI, for a server whose SIP domain is `domain`.
    #[must_use]
    pub fn uri(&self, domain: &str) -> String {
        match self {
            Self::User(id) => format!("sip:{}@{domain}", escape_user(id)),
            Self::Phone(number) => format!("sip:{number}@{domain};user=phone"),
            Self::Sip(address) => format!("sip:{}", without_scheme(address)),
            Self::Conference(room) => format!("sip:{}@conference.{domain}", escape_user(room)),
        }
    }
}

/// Checks the headers of a call, and returns them with their names on the wire: names that begin with `x-` as they are, all others as
/// `X-Header-NAME`. Calls to SIP addresses take only the former.
///
/// # Errors
/// `MissingParameter` (5, 6003) for names that are no token, control characters, names without `x-` towards SIP, names of ours, and
/// more than 1,024 bytes in all.
pub fn check_headers(headers: &[(String, String)], domain: Domain) -> Result<Vec<(String, String)>, Error> {
    let mut wire = Vec::with_capacity(headers.len());
    let mut length = 0;
    for (name, value) in headers {
        length += name.len() + value.len();
        let own = is_own(name);
        let fault = if length > LONGEST_HEADERS {
            "The headers of a call have at most 1024 bytes"
        } else if !is_token(name) {
            "A header name has letters, digits and -.!%*_+`'~ only"
        } else if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            "A header value has no line breaks and no NUL"
        } else if domain == Domain::Sip && !own {
            "The headers of a call to a SIP address begin with x-"
        } else if reserved(name) {
            "This header name is the SDK's own"
        } else {
            let prefix = if own { "" } else { HEADER_PREFIX };
            wire.push((format!("{prefix}{name}"), value.clone()));
            continue;
        };
        return Err(Error::argument(fault));
    }
    Ok(wire)
}

/// Returns the app's name of a header field `name`; `None` for one that is not of an app.
#[must_use]
pub fn header_name(name: &str) -> Option<&str> {
    let prefix = name.get(..HEADER_PREFIX.len());
    if prefix.is_some_and(|start| start.eq_ignore_ascii_case(HEADER_PREFIX)) {
        return name.get(HEADER_PREFIX.len()..);
    }
    (is_own(name) && !reserved(name)).then_some(name)
}

const HEADER_PREFIX: &str = "X-Header-";

fn reserved(name: &str) -> bool {
    name.eq_ignore_ascii_case("X-ICE-Server") || name.eq_ignore_ascii_case("X-Error")
}

fn is_own(name: &str) -> bool {
    name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
}

/// Whether a phone number may be an emergency number, such as 112: which ones are depends on the place, so the server checks them.
fn is_short(number: &str) -> bool {
    (3..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

/// Returns why a phone number is not in E.164; `None` where it is.
fn not_e164(number: &str) -> Option<&'static str> {
    let Some(digits) = number.strip_prefix("+") else {
        return Some("A phone number begins with + and the country code, as +14155550101 does");
    };
    match digits.as_bytes() {
        [b'0', ..] => {
            Some("No country code begins with 0: after the + comes the country, and then the number without its leading 0")
        }
        digits if !digits.iter().all(u8::is_ascii_digit) => Some("A phone number has nothing but digits after its +"),
        digits if !(7..=15).contains(&digits.len()) => Some("A phone number has 7 to 15 digits after its +"),
        _ => None,
    }
}

fn without_scheme(address: &str) -> &str {
    address.strip_prefix("sip:").unwrap_or(address)
}

fn is_sip(address: &str) -> bool {
    let text = format!("sip:{}", without_scheme(address));
    let clean = !text.bytes().any(|b| b <= b' ' || matches!(b, b'<' | b'>' | b'"' | b',' | b'?' | 0x7f..));
    // With a colon before the @ it has a password, or a scheme that is not `sip:`.
    let user = cut_at(&text, b'@').map_or(&*text, |(user, _)| user);
    clean && user.bytes().filter(|b| *b == b':').count() == 1 && Uri::parse(&text).is_ok_and(|uri| uri.user.is_some())
}
