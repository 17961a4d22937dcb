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
    /// Its value with no blanks around it. Folds (RFC 3261, 7.3.1) are left inside; a [`super::Writer`] makes blanks of them.
    pub value: &'a str,
}

impl<'a> Field<'a> {
    /// Reads `name: value` at an octet of `text`, up to another. `None` where there is no colon, the name is no token, or a CR stands alone,
    /// which it can only in a line that is not `plain`.
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
        let alone = !plain && value.bytes().enumerate().any(|(at, b)| b == b'\r' && next(at) != Some(&b'\n'));
        (!alone).then(|| Self { name: Name::parse(raw_name), raw_name, value: trim(value) })
    }
}

macro_rules! names {
    ($($name:ident $text:literal $compact:literal,)*) => {
        /// The fields that something here reads; compact forms are the same field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Name {
            $(#[doc = $text] $name,)*
            /// Any other: see [`Field::raw_name`].
            Other,
        }

        /// In the order of the enum: each name and its compact form, a blank where it has none.
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

/// Where a name is in [`NAMES`]: in the slot that its text asks for or one of the next; what is in none ends at an empty one.
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

/// Length, first and last letter in any case tell all names apart.
const fn slot(name: &[u8]) -> usize {
    match name {
        [first, .., last] => (name.len() + (*first | 0x20) as usize * 33 + (*last | 0x20) as usize) % 128,
        _ => 0,
    }
}

impl Name {
    /// The field of that name, in any case, full or compact.
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

    /// The full name as the RFCs write it; `""` for [`Name::Other`].
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
    /// Grows within a dialog.
    pub number: u32,
    /// That of the request.
    pub method: Method<'a>,
}

/// An address with its display name and the parameters of the field: From, To, Contact, Route, …
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
    /// Reads `"Name" <uri>;params`, `Name <uri>;params` or `uri;params`: in the last form, which `?` and `,` are not allowed
    /// in, every parameter is one of the field (RFC 3261, 20.10).
    ///
    /// # Errors
    ///
    /// [`ParseError::Uri`] in every case: [`super::Message`] knows which field it was.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::read(trim(text)).ok_or(ParseError::Uri)
    }

    fn read(text: &'a str) -> Option<Self> {
        let (display, rest) = match after(text, b'"') {
            Some(_) => text.split_at_checked(close(text.as_bytes(), 0)?)?,
            None => split_before(text, AFTER_NAME),
        };
        let Some((uri_text, params)) = after(trim(rest), b'<').and_then(|rest| cut_at(rest, b'>')) else {
            // No brackets: what looked like a display name is the address.
            let uri_text = trim(display);
            let uri = Uri::parse(uri_text).ok().filter(|uri| uri.headers.is_empty() && find(uri_text, b',').is_none())?;
            return Some(Self { display_text: "", uri, uri_text, params: Params::parse(rest)? });
        };
        let display = trim(display);
        // Words: tokens, or text that is not ASCII, which some write.
        let fine = after(display, b'"').is_some() || display.bytes().all(|b| !b.is_ascii() || is(b, TOKEN | SPACE));
        let uri = Uri::parse(uri_text).ok().filter(|_| fine)?;
        Some(Self { display_text: display, uri, uri_text, params: Params::parse(params)? })
    }

    /// The contact `*`.
    pub(super) fn star() -> Self {
        let uri = Uri { scheme: "*", user: None, host: "", port: None, params: Params::NONE, headers: "" };
        Self { display_text: "", uri, uri_text: "*", params: Params::NONE }
    }

    /// The display name without its quotes and escapes; `""` where there is none.
    #[must_use]
    pub fn display(&self) -> Cow<'a, str> {
        unquote(self.display_text)
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag")
    }
}

/// `;name=value;flag`, checked when it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    pub(super) const NONE: Params<'static> = Params("");

    /// Nothing, or `;` before each parameter. `None` where a name is missing or no token, or a value is torn.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = trim(text);
        let mut at = 0;
        while at < text.len() {
            at = param(text.as_bytes(), at)?[4];
        }
        Some(Self(text))
    }

    /// The value of the first parameter of that name, in any case; `""` for a flag. A quoted value comes without its quotes,
    /// unless there are escapes in it: then as written, for [`unquote`].
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names and values, as [`Params::get`] gives them.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (text, mut at) = (self.0, 0);
        core::iter::from_fn(move || {
            let [from, name, value, end, next] = param(text.as_bytes(), at)?;
            at = next;
            Some((text.get(from..name)?, plain(text.get(value..end)?)))
        })
    }

    /// The text of all parameters, the first `;` included.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// The parameter that begins with the `;` at this octet: where its name begins and ends, where its value does, and where the next one, or
/// nothing, begins. `None` where there is none.
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

/// `name=value` pairs between separators, blanks taken off.
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

/// A quoted value without its quotes, unless it has escapes; any other as it is.
fn plain(value: &str) -> &str {
    inside(value, b'"', b'"').filter(|inner| find(inner, b'\\').is_none()).unwrap_or(value)
}

/// One Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, `TLS`, `WS`, `WSS` or any other token.
    pub transport: &'a str,
    /// A name or an address; an IPv6 address keeps its brackets.
    pub host: &'a str,
    /// The port, where it is written.
    pub port: Option<u16>,
    /// branch, received, rport, …
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads `SIP/2.0/TRANSPORT host:port;params`.
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

    /// The transaction identifier.
    #[must_use]
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch")
    }
}

/// The branch of a Via, which names a transaction (RFC 3261, 8.1.1.7). Clones share their text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Branch(Arc<str>);

impl Branch {
    /// The magic cookie: what begins with it is unique in space and time. A branch of RFC 2543 has none, and names nothing.
    pub const COOKIE: &'static str = "z9hG4bK";

    /// A branch of ours. `token` is one that nobody else uses, and only once: 64 random bits or more.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self([Self::COOKIE, token].concat().into())
    }

    /// As it is written, the cookie included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Branch {
    /// As it is written.
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

/// Host and port; blanks may stand around the colon (RFC 3261, 25.1: COLON).
fn sent_by(text: &str) -> Option<(&str, Option<u16>)> {
    let Some((host, port)) = cut_last(text, b':').filter(|_| !split_before(text, SPACE).1.is_empty()) else {
        return host_port_of(text);
    };
    let (host, none) = host_port_of(trim(host))?;
    let port = u16::try_from(number(trim(port))?).ok()?;
    none.is_none().then_some((host, Some(port)))
}

/// The text that a quoted-string stands for; any other text as it is.
#[must_use]
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = inside(text, b'"', b'"') else { return Cow::Borrowed(text) };
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

/// Where the quoted-string that begins at this octet has ended. `None` where it does not end.
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

/// Cuts at the first separator that stands neither in quotes nor between angle brackets.
pub(super) fn cut(text: &str, separator: u8) -> (&str, Option<&str>) {
    // Most text has none, and nothing needs to be known about its quotes.
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

/// Cuts before the first octet of a class of ASCII; it stays with the second part.
pub(super) fn split_before(text: &str, stops: Class) -> (&str, &str) {
    let at = text.bytes().position(|b| is(b, stops)).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// Cuts before the first `stop`, an ASCII character.
pub(super) fn split_at(text: &str, stop: u8) -> (&str, &str) {
    text.split_at_checked(find(text, stop).unwrap_or(text.len())).unwrap_or((text, ""))
}

/// What follows `first`, an ASCII character, in text that begins with it.
pub(super) fn after(text: &str, first: u8) -> Option<&str> {
    if text.as_bytes().first() == Some(&first) { text.get(1..) } else { None }
}

/// What precedes `last`, an ASCII character, in text that ends with it.
pub(super) fn before(text: &str, last: u8) -> Option<&str> {
    if text.as_bytes().last() == Some(&last) { text.get(..text.len() - 1) } else { None }
}

/// What stands between `first` and `last`.
pub(super) fn inside(text: &str, first: u8, last: u8) -> Option<&str> {
    before(after(text, first)?, last)
}

/// Linear white space: blanks, tabs and the line ends of folds.
pub(super) const fn is_lws(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without the white space around it.
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

/// Whether this is a token (RFC 3261, 25.1).
#[must_use]
#[inline(never)]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && all(text, TOKEN)
}

/// What an octet may be part of.
type Class = u8;

/// Of a token.
const TOKEN: Class = 1;
/// Of the name of a parameter: of a token, or what else those of URIs are named with.
const PARAM_NAME: Class = 2;
/// Of the value of a parameter without quotes: text with neither quotes nor blanks nor controls.
const VALUE: Class = 4;
/// Of a URI: ASCII with no blank, no control, neither `<`, `>` nor `"`.
pub(super) const URI: Class = 8;
/// Of a host name.
pub(super) const HOST: Class = 16;
/// Linear white space.
pub(super) const SPACE: Class = 32;
/// Of the user part of a SIP URI without an escape.
pub(super) const USER: Class = 64;
/// What ends a display name without quotes, or a URI without brackets.
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

/// The first octet from `at` on that is not of that class.
pub(super) fn skip(bytes: &[u8], mut at: usize, class: Class) -> usize {
    while bytes.get(at).is_some_and(|b| is(*b, class)) {
        at += 1;
    }
    at
}

/// Whether all of the text is of that class.
pub(super) fn all(text: &str, class: Class) -> bool {
    skip(text.as_bytes(), 0, class) == text.len()
}
