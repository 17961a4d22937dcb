//! Header fields and their values: names, addresses, parameters, Via.

use core::fmt;
use std::borrow::{Borrow, Cow};
use std::sync::Arc;

use super::message::ParseError;
use super::method::Method;
use super::uri::{Uri, host_port_of};
use crate::text::{cut_at, cut_last, find, number};

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Which field it is.
    pub name: Name,
    /// Its name as written.
    pub raw_name: &'a str,
    /// Its value without white space around it. Line folding (RFC 3261, 7.3.1) stays in it; [`Writer`](crate::Writer) replaces it by blanks.
    pub value: &'a str,
}

impl<'a> Field<'a> {
    /// Parses `name: value` in the octets `from..to` of `text`. `None` where there is no colon, the name is not a token, or there is a CR
    /// without LF, which is possible only in a line that is not `plain`.
    pub(super) fn parse(text: &'a str, from: usize, to: usize, plain: bool) -> Option<Self> {
        let bytes = text.as_bytes();
        let end = skip(bytes, from, TOKEN);
        let mut colon = end;
        while matches!(bytes.get(colon), Some(b' ' | b'\t')) {
            colon += 1;
        }
        if end == from || colon >= to || bytes.get(colon) != Some(&b':') {
            return None;
        }
        let (raw_name, value) = (text.get(from..end)?, text.get(colon + 1..to)?);
        let next = |at: usize| value.as_bytes().get(at + 1);
        let bare_cr = !plain && value.bytes().enumerate().any(|(at, b)| b == b'\r' && next(at) != Some(&b'\n'));
        (!bare_cr).then(|| Self { name: Name::parse(raw_name), raw_name, value: trim(value) })
    }
}

macro_rules! names {
    ($($name:ident $text:literal $compact:literal,)*) => {
        /// The header fields that this project uses; a compact form names the same field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Name {
            $(#[doc = $text] $name,)*
            /// Any other field: see [`Field::raw_name`].
            Other,
        }

        /// Each name and its compact form, or a blank where it has none, in the order of the enum.
        static NAMES: &[(Name, &str, u8)] = &[$((Name::$name, $text, $compact),)*];
    };
}

names! {
    Via "Via" b'v',
    From "From" b'f',
    To "To" b't',
    CallId "Call-ID" b'i',
    CSeq "CSeq" b' ',
    Contact "Contact" b'm',
    Route "Route" b' ',
    RecordRoute "Record-Route" b' ',
    Path "Path" b' ',
    MaxForwards "Max-Forwards" b' ',
    ContentLength "Content-Length" b'l',
    ContentType "Content-Type" b'c',
    ContentDisposition "Content-Disposition" b' ',
    Expires "Expires" b' ',
    MinExpires "Min-Expires" b' ',
    Authorization "Authorization" b' ',
    WwwAuthenticate "WWW-Authenticate" b' ',
    ProxyAuthenticate "Proxy-Authenticate" b' ',
    ProxyAuthorization "Proxy-Authorization" b' ',
    Supported "Supported" b'k',
    Require "Require" b' ',
    ProxyRequire "Proxy-Require" b' ',
    Unsupported "Unsupported" b' ',
    Allow "Allow" b' ',
    Accept "Accept" b' ',
    RSeq "RSeq" b' ',
    RAck "RAck" b' ',
    SessionExpires "Session-Expires" b'x',
    MinSe "Min-SE" b' ',
    Reason "Reason" b' ',
    RetryAfter "Retry-After" b' ',
    InfoPackage "Info-Package" b' ',
    RecvInfo "Recv-Info" b' ',
    Event "Event" b'o',
    ReferTo "Refer-To" b'r',
    Replaces "Replaces" b' ',
    Date "Date" b' ',
    Warning "Warning" b' ',
    UserAgent "User-Agent" b' ',
    Server "Server" b' ',
}

/// A hash table of indexes into [`NAMES`]: a name is in the slot of its hash or in one of the next; an empty slot ends the search.
static PLACES: [u8; 128] = places();

const fn places() -> [u8; 128] {
    let mut places = [u8::MAX; 128];
    let mut at = 0;
    while at < NAMES.len() {
        let mut slot = slot(NAMES[at].1.as_bytes());
        while places[slot] != u8::MAX {
            slot = (slot + 1) % places.len();
        }
        places[slot] = at as u8;
        at += 1;
    }
    places
}

/// Returns the slot of a name: a hash of its length and of its first and last letter, in any case.
const fn slot(name: &[u8]) -> usize {
    match name {
        [first, .., last] => (name.len() + (*first | 0x20) as usize * 33 + (*last | 0x20) as usize) % 128,
        _ => 0,
    }
}

impl Name {
    /// Returns the field of this name, in any case, full or compact.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let bytes = text.as_bytes();
        if let [letter] = bytes {
            let known = NAMES.iter().find(|(.., short)| *short == letter | 0x20);
            return known.map_or(Self::Other, |(name, ..)| *name);
        }
        let mut slot = slot(bytes);
        while let Some((name, full, _)) = PLACES.get(slot).and_then(|place| NAMES.get(usize::from(*place))) {
            if full.eq_ignore_ascii_case(text) {
                return *name;
            }
            slot = (slot + 1) % PLACES.len();
        }
        Self::Other
    }

    /// Returns the full name as the RFCs write it; `""` for [`Name::Other`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |(_, text, _)| text)
    }

    /// Whether a comma in it separates items (RFC 3261, 7.3.1; 20.7 and 20.44 for the exceptions).
    pub(super) fn is_list(self) -> bool {
        use Name::{
            Authorization, CallId, Date, From, ProxyAuthenticate, ProxyAuthorization, Server, To, UserAgent, WwwAuthenticate,
        };
        let whole =
            [Authorization, WwwAuthenticate, ProxyAuthenticate, ProxyAuthorization, Date, UserAgent, Server, CallId, From, To];
        !whole.contains(&self)
    }
}

/// The sequence number and method of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Increases within a dialog.
    pub number: u32,
    /// The method of the request.
    pub method: Method<'a>,
}

/// An address with its display name and the parameters of the field: From, To, Contact, Route, …
///
/// ```
/// use offhook_sip::NameAddr;
///
/// let from = NameAddr::parse("\"Alice, of \\\"sales\\\"\" <sip:alice@example.com;transport=tcp>;tag=88sja8x")?;
/// assert_eq!(from.display(), "Alice, of \"sales\"");
/// assert_eq!((from.uri_text, from.tag()), ("sip:alice@example.com;transport=tcp", Some("88sja8x")));
///
/// // Without angle brackets, parameters belong to the field and not to the URI.
/// let to = NameAddr::parse("sip:bob@example.com;tag=9")?;
/// assert_eq!((to.uri_text, to.tag()), ("sip:bob@example.com", Some("9")));
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as written; `""` where there is none.
    pub display_text: &'a str,
    /// The address.
    pub uri: Uri<'a>,
    /// The address as written.
    pub uri_text: &'a str,
    /// The parameters of the field, not those of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Parses `"Name" <uri>;params`, `Name <uri>;params` or `uri;params`. In the last form `?` and `,` are not allowed, and every
    /// parameter belongs to the field (RFC 3261, 20.10).
    ///
    /// # Errors
    ///
    /// [`ParseError::Uri`] in every case; the methods of [`Message`](crate::Message) name the field instead.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::read(trim(text)).ok_or(ParseError::Uri)
    }

    fn read(text: &'a str) -> Option<Self> {
        let (display, rest) = match after(text, b'"') {
            Some(_) => text.split_at_checked(close(text.as_bytes(), 0)?)?,
            None => split_before(text, AFTER_NAME),
        };
        let Some((uri_text, params)) = after(trim(rest), b'<').and_then(|rest| cut_at(rest, b'>')) else {
            // No angle brackets: what precedes the parameters is the address.
            let uri_text = trim(display);
            let uri = Uri::parse(uri_text).ok().filter(|uri| uri.headers.is_empty() && find(uri_text, b',').is_none())?;
            return Some(Self { display_text: "", uri, uri_text, params: Params::parse(rest)? });
        };
        let display = trim(display);
        // Tokens, or text that is not ASCII, which some user agents write without quotes.
        let fine = after(display, b'"').is_some() || display.bytes().all(|b| !b.is_ascii() || is(b, TOKEN | SPACE));
        let uri = Uri::parse(uri_text).ok().filter(|_| fine)?;
        Some(Self { display_text: display, uri, uri_text, params: Params::parse(params)? })
    }

    /// Returns the contact `*`.
    pub(super) fn star() -> Self {
        let uri = Uri { scheme: "*", user: None, host: "", port: None, params: Params::NONE, headers: "" };
        Self { display_text: "", uri, uri_text: "*", params: Params::NONE }
    }

    /// Returns the display name without its quotes and escapes; `""` where there is none.
    #[must_use]
    pub fn display(&self) -> Cow<'a, str> {
        unquote(self.display_text)
    }

    /// Returns the tag.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag")
    }
}

/// Parameters, `;name=value;flag`, which are well-formed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    pub(super) const NONE: Params<'static> = Params("");

    /// Parses parameters, each with a `;` before it, or an empty text. `None` where a name is missing or not a token, or a value is malformed.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = trim(text);
        let mut at = 0;
        while at < text.len() {
            at = param(text.as_bytes(), at)?[4];
        }
        Some(Self(text))
    }

    /// Returns the value of the first parameter of this name, in any case; `""` for a flag. A quoted value is returned without its
    /// quotes, unless it contains escapes: then as written, for [`unquote`].
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Iterates over names and values, these as [`Params::get`] returns them.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (text, mut at) = (self.0, 0);
        core::iter::from_fn(move || {
            let [from, name, value, end, next] = param(text.as_bytes(), at)?;
            at = next;
            Some((text.get(from..name)?, plain(text.get(value..end)?)))
        })
    }

    /// Returns the text of all parameters, with the first `;`.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// Returns the octets at which the name and the value of a parameter begin and end, and the one at which the next parameter begins, for the
/// parameter whose `;` is at `from`: `[name, end of name, value, end of value, next]`. `None` where no well-formed one begins there.
fn param(bytes: &[u8], from: usize) -> Option<[usize; 5]> {
    if bytes.get(from) != Some(&b';') {
        return None;
    }
    let from = skip(bytes, from + 1, SPACE);
    let name = skip(bytes, from, PARAM_NAME);
    let (mut value, mut end, mut next) = (name, name, skip(bytes, name, SPACE));
    if bytes.get(next) == Some(&b'=') {
        value = skip(bytes, next + 1, SPACE);
        end = if bytes.get(value) == Some(&b'"') { close(bytes, value)? } else { skip(bytes, value, VALUE) };
        next = skip(bytes, end, SPACE);
    }
    (name > from && matches!(bytes.get(next), None | Some(b';'))).then_some([from, name, value, end, next])
}

/// Iterates over the `name=value` pairs between separators, without white space around names and values.
pub(super) fn pairs(text: Option<&str>, separator: u8) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = text;
    core::iter::from_fn(move || {
        let (item, after) = cut(rest?, separator);
        rest = after;
        Some(match cut_at(item, b'=') {
            Some((name, value)) => (trim(name), Some(trim(value))),
            None => (trim(item), None),
        })
    })
}

/// Returns a quoted value without its quotes, unless it has escapes; any other unchanged.
fn plain(value: &str) -> &str {
    between(value, b'"', b'"').filter(|inner| find(inner, b'\\').is_none()).unwrap_or(value)
}

/// One Via: a hop that the request passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, `TLS`, `WS`, `WSS` or any other token.
    pub transport: &'a str,
    /// A name or an address; an IPv6 address keeps its brackets.
    pub host: &'a str,
    /// The port, if there is one.
    pub port: Option<u16>,
    /// branch, received, rport, …
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Parses `SIP/2.0/TRANSPORT host:port;params`.
    ///
    /// # Errors
    ///
    /// [`ParseError::Malformed`].
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::read(text).ok_or(ParseError::Malformed(Name::Via))
    }

    fn read(text: &'a str) -> Option<Self> {
        let (sent, params) = split_at(text, b';');
        let (name, rest) = cut_at(sent, b'/')?;
        let (version, rest) = cut_at(rest, b'/')?;
        let (transport, by) = split_before(trim(rest), SPACE);
        if !trim(name).eq_ignore_ascii_case("SIP") || trim(version) != "2.0" || !is_token(transport) {
            return None;
        }
        let (host, port) = sent_by(trim(by))?;
        Some(Self { transport, host, port, params: Params::parse(params)? })
    }

    /// Returns the branch: the transaction identifier.
    #[must_use]
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch")
    }
}

/// The branch of a Via, which identifies a transaction (RFC 3261, 8.1.1.7). Clones share their text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Branch(Arc<str>);

impl Branch {
    /// The magic cookie: a branch that begins with it is unique in space and time. A branch of RFC 2543 lacks it and identifies nothing.
    pub const COOKIE: &'static str = "z9hG4bK";

    /// Returns a new branch. `token` must be globally unique: 64 random bits or more.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(format!("{}{token}", Self::COOKIE).into())
    }

    /// Returns the text of the branch, including the cookie.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Branch {
    /// Returns the branch with this text.
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Borrow<str> for Branch {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses host and port; the colon may have white space around it (RFC 3261, 25.1: COLON).
fn sent_by(text: &str) -> Option<(&str, Option<u16>)> {
    let Some((host, port)) = cut_last(text, b':').filter(|_| !split_before(text, SPACE).1.is_empty()) else {
        return host_port_of(text);
    };
    let (host, none) = host_port_of(trim(host))?;
    let port = u16::try_from(number(trim(port))?).ok()?;
    none.is_none().then_some((host, Some(port)))
}

/// Returns the text of a quoted-string without quotes and escapes; any other text unchanged.
#[must_use]
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = between(text, b'"', b'"') else { return Cow::Borrowed(text) };
    if find(inner, b'\\').is_none() {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    Cow::Owned(text)
}

/// Returns the end of the quoted-string that begins at this octet. `None` where it is not closed.
fn close(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Cuts at the first separator that is neither in quotes nor between angle brackets.
pub(super) fn cut(text: &str, separator: u8) -> (&str, Option<&str>) {
    // Fast path: most text has no separator.
    if find(text, separator).is_none() {
        return (text, None);
    }
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    let at = text.bytes().position(|b| {
        if escaped {
            escaped = false;
            return false;
        }
        match b {
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            _ => return b == separator && !quoted && !bracketed,
        }
        false
    });
    match at.and_then(|at| text.split_at_checked(at)) {
        Some((item, rest)) => (item, rest.get(1..)),
        None => (text, None),
    }
}

/// Cuts before the first octet of a class; that octet belongs to the second part.
pub(super) fn split_before(text: &str, stops: Class) -> (&str, &str) {
    let at = text.bytes().position(|b| is(b, stops)).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// Cuts before the first `stop`, an ASCII character; it belongs to the second part.
pub(super) fn split_at(text: &str, stop: u8) -> (&str, &str) {
    text.split_at_checked(find(text, stop).unwrap_or(text.len())).unwrap_or((text, ""))
}

/// Returns the text without its first character, if that is `first`, an ASCII character.
pub(super) fn after(text: &str, first: u8) -> Option<&str> {
    if text.as_bytes().first() == Some(&first) { text.get(1..) } else { None }
}

/// Returns the text without its last character, if that is `last`, an ASCII character.
pub(super) fn before(text: &str, last: u8) -> Option<&str> {
    if text.as_bytes().last() == Some(&last) { text.get(..text.len() - 1) } else { None }
}

/// Returns the text between `first` and `last`, if it begins and ends with them.
pub(super) fn between(text: &str, first: u8, last: u8) -> Option<&str> {
    before(after(text, first)?, last)
}

/// Whether an octet is linear white space: a blank, a tab or a line end of folding.
pub(super) const fn is_lws(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// Returns the text without the white space around it.
pub(super) fn trim(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut from, mut to) = (0, bytes.len());
    while bytes.get(from).is_some_and(|b| is_lws(*b)) {
        from += 1;
    }
    while to > from && bytes.get(to - 1).is_some_and(|b| is_lws(*b)) {
        to -= 1;
    }
    text.get(from..to).unwrap_or("")
}

/// Whether the text is a token (RFC 3261, 25.1).
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && all(text, TOKEN)
}

/// A set of character classes, one bit each.
type Class = u8;

/// Characters of a token.
const TOKEN: Class = 1;
/// Characters of the name of a parameter: those of a token, and further ones that URI parameters may have.
const PARAM_NAME: Class = 2;
/// Characters of the unquoted value of a parameter: all but quotes, blanks and control characters.
const VALUE: Class = 4;
/// Characters of a URI: ASCII without blanks, control characters, `<`, `>` and `"`.
pub(super) const URI: Class = 8;
/// Characters of a host name.
pub(super) const HOST: Class = 16;
/// Linear white space.
pub(super) const SPACE: Class = 32;
/// Characters that the user part of a SIP URI may have unescaped.
pub(super) const USER: Class = 64;
/// Characters that end an unquoted display name, or a URI without angle brackets.
const AFTER_NAME: Class = 128;

static CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [VALUE; 256];
    let mut b = 0;
    while b < 128 {
        let byte = b as u8;
        let token =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        let name = token || matches!(byte, b'[' | b']' | b'/' | b':' | b'&' | b'$' | b'(' | b')');
        let uri = byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>');
        let host = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let (token, name) = (token as u8 * TOKEN, name as u8 * PARAM_NAME);
        let (value, uri) = ((uri && byte != b';') as u8 * VALUE, uri as u8 * URI);
        let user = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
            || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/');
        let (host, space, user) = (host as u8 * HOST, is_lws(byte) as u8 * SPACE, user as u8 * USER);
        let end = matches!(byte, b'<' | b'"' | b';') as u8 * AFTER_NAME;
        classes[b] = token | name | value | uri | host | space | user | end;
        b += 1;
    }
    classes
}

pub(super) fn is(byte: u8, class: Class) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Returns the index of the first octet from `at` on that is not of the class.
pub(super) fn skip(bytes: &[u8], mut at: usize, class: Class) -> usize {
    while bytes.get(at).is_some_and(|b| is(*b, class)) {
        at += 1;
    }
    at
}

/// Whether all octets of the text are of the class.
pub(super) fn all(text: &str, class: Class) -> bool {
    skip(text.as_bytes(), 0, class) == text.len()
}
