//! URIs: `sip:`, `sips:` and `tel:` are parsed into their parts, all others are kept as text (RFC 3261, 19.1; RFC 3966).

use std::borrow::Cow;

use super::header::{HOST, Params, URI, USER, after, all, between, is, split_at};
use super::message::ParseError;
use crate::text::{cut_at, find, number};

/// A URI, borrowed from its text.
///
/// | | `scheme` | `user` | `host` | `params`, `headers` |
/// |---|---|---|---|---|
/// | `sip:` `sips:` | as written | before `@`, without password | IPv6 in brackets: `[::1]` | after `;`, after `?` |
/// | `tel:` | as written | the number | empty | after `;` |
/// | any other | as written | none | all that follows `:` | empty |
///
/// ```
/// use offhook_sip::{Uri, escape_user};
///
/// let uri = Uri::parse("sip:j%C3%B6rg;day=1:secret@[2001:db8::1]:5070;transport=tcp?Subject=hi")?;
/// assert_eq!((uri.user_text(), uri.host, uri.port), ("jörg;day=1".into(), "[2001:db8::1]", Some(5070)));
/// assert_eq!((uri.params.get("transport"), uri.headers), (Some("tcp"), "Subject=hi"));
///
/// assert_eq!(Uri::parse("tel:+46-8-123456;ext=7")?.user, Some("+46-8-123456"));
/// assert!(Uri::parse("sip:two words@example.com").is_err());
/// assert_eq!(escape_user("two words"), "two%20words");
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// As written, in any case.
    pub scheme: &'a str,
    /// The user part with its escapes, as written.
    pub user: Option<&'a str>,
    /// A name or an address; an IPv6 address keeps its brackets.
    pub host: &'a str,
    /// The port, if there is one.
    pub port: Option<u16>,
    /// The parameters after `;`.
    pub params: Params<'a>,
    /// The header fields after `?`.
    pub headers: &'a str,
}

impl<'a> Uri<'a> {
    /// Parses a URI. Only `sip:`, `sips:` and `tel:` are parsed into parts.
    ///
    /// # Errors
    ///
    /// [`ParseError::Uri`]: there is no scheme, or there is a blank, a control character, a character outside ASCII, `<`, `>` or
    /// `"`; in a SIP URI also a malformed host, port, escape or parameter.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::read(text).ok_or(ParseError::Uri)
    }

    fn read(text: &'a str) -> Option<Self> {
        let (scheme, rest) = cut_at(text, b':')?;
        if !is_scheme(scheme) || rest.is_empty() || !all(rest, URI) {
            return None;
        }
        let uri = Self { scheme, user: None, host: rest, port: None, params: Params::NONE, headers: "" };
        if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
            uri.read_sip(rest)
        } else if uri.is_tel() {
            let (number, params) = split_at(rest, b';');
            Some(Self { user: Some(number), host: "", params: Params::parse(params)?, ..uri })
        } else {
            Some(uri)
        }
    }

    fn read_sip(self, rest: &'a str) -> Option<Self> {
        // The user part may contain `;`, `?` and `/`, so it has to be cut off first, at the only `@`.
        let (user, rest) = match cut_at(rest, b'@') {
            Some((_, rest)) if find(rest, b'@').is_some() => return None,
            Some((user, rest)) => (Some(Some(split_at(user, b':').0).filter(|user| is_user(user))?), rest),
            None => (None, rest),
        };
        let (rest, headers) = split_at(rest, b'?');
        let (host_port, params) = split_at(rest, b';');
        let (host, port) = host_port_of(host_port)?;
        Some(Self { user, host, port, params: Params::parse(params)?, headers: after(headers, b'?').unwrap_or(""), ..self })
    }

    /// Whether this is a `sip:` or `sips:` URI.
    #[must_use]
    pub fn is_sip(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("sip") || self.scheme.eq_ignore_ascii_case("sips")
    }

    /// Whether this is a `tel:` URI.
    #[must_use]
    pub fn is_tel(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("tel")
    }

    /// Returns the user part, unescaped once; `""` where there is none. It may contain NUL. Escapes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn user_text(&self) -> Cow<'a, str> {
        unescape(self.user.unwrap_or(""))
    }
}

/// Returns the text as the user part of a SIP URI, with escapes for characters that it does not allow, and for UTF-8 octets outside ASCII.
#[must_use]
pub fn escape_user(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is(byte, USER) {
            escaped.push(char::from(byte));
        } else {
            push_escape(&mut escaped, byte);
        }
    }
    escaped
}

/// Appends `%XX`.
pub(super) fn push_escape(text: &mut String, byte: u8) {
    text.push('%');
    for value in [byte >> 4, byte & 15] {
        text.push(char::from(if value < 10 { b'0' + value } else { b'A' - 10 + value }));
    }
}

fn unescape(text: &str) -> Cow<'_, str> {
    if find(text, b'%').is_none() {
        return Cow::Borrowed(text);
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        (octets, rest) = match escape(rest) {
            Some((octet, after)) => (pushed(octets, octet), after),
            None => (pushed(octets, *first), after),
        };
    }
    Cow::Owned(lossy(&octets))
}

/// Like `String::from_utf8_lossy`, in a third of its code.
fn lossy(mut octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    loop {
        match core::str::from_utf8(octets) {
            Ok(rest) => {
                text.push_str(rest);
                return text;
            }
            Err(error) => {
                let (good, bad) = octets.split_at(error.valid_up_to());
                text.push_str(core::str::from_utf8(good).unwrap_or_default());
                text.push(char::REPLACEMENT_CHARACTER);
                octets = bad.get(error.error_len().unwrap_or(bad.len())..).unwrap_or_default();
            }
        }
    }
}

fn pushed(mut octets: Vec<u8>, octet: u8) -> Vec<u8> {
    octets.push(octet);
    octets
}

/// Returns the octet of a leading `%XX`, and the rest of the text.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    Some(((digit(high)? << 4 | digit(low)?) as u8, rest))
}

/// Whether this is a user part: not empty, and each `%` begins an escape. It may have any character unescaped: `#` is common in telephone
/// numbers and does no harm.
fn is_user(user: &str) -> bool {
    let escapes = |at: usize| user.as_bytes().get(at..).and_then(escape).is_some();
    !user.is_empty() && (find(user, b'%').is_none() || user.bytes().enumerate().all(|(at, b)| b != b'%' || escapes(at)))
}

fn is_scheme(scheme: &str) -> bool {
    scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Parses `host`, `host:port`, `[address]` or `[address]:port`, without blanks.
pub(super) fn host_port_of(text: &str) -> Option<(&str, Option<u16>)> {
    let end = if after(text, b'[').is_some() { find(text, b']')? + 1 } else { find(text, b':').unwrap_or(text.len()) };
    let (host, port) = text.split_at_checked(end)?;
    let port = match after(port, b':') {
        Some(port) => Some(u16::try_from(number(port)?).ok()?),
        None if port.is_empty() => None,
        None => return None,
    };
    is_host(host).then_some((host, port))
}

/// Whether the characters are those of a host name or address. This is not the whole grammar; but `:::`, which RFC 3261 allowed by mistake
/// (RFC 5118, 4.10), is rejected.
fn is_host(host: &str) -> bool {
    match between(host, b'[', b']') {
        Some(address) => {
            address.len() > 1
                && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.')
                && !address.as_bytes().windows(3).any(|colons| colons == b":::")
        }
        None => !host.is_empty() && all(host, HOST),
    }
}
