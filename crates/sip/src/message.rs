//! SIP messages: start line, header fields in their order, body.

use core::str;

use thiserror::Error;

use super::check::Rejection;
use super::header::{CSeq, Field, Name, NameAddr, SPACE, Via, after, before, cut, is_lws, is_token, split_at, split_before, trim};
use super::method::Method;
use super::status::StatusCode;
use super::uri::Uri;
use crate::text::{cut_at, cut_last, number, seek};

/// The largest message in octets that [`parse`] takes.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The most header fields that [`parse`] takes.
pub const MAX_FIELDS: usize = 128;
/// The longest line in octets, folds included, that [`parse`] takes.
pub const MAX_LINE: usize = 8 * 1024;

/// A request or a response, borrowed from the octets that it was parsed from.
///
/// Header fields are parsed when they are asked for. Read from a message only after [`Message::check`] has accepted it.
///
/// ```
/// use offhook_sip::{Name, StatusCode, parse};
///
/// let response = parse(
///     b"SIP/2.0 183 Session Progress\r\nv: SIP/2.0/WS a.invalid;branch=z9hG4bK1, SIP/2.0/UDP p.example.com;branch=z9hG4bK0\r\n\
///       From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>;tag=2\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n\
///       Require: 100rel\r\nRSeq: 1\r\nX-Queue: 3\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
/// )?;
/// assert_eq!((response.code(), response.cseq()?.number), (Some(StatusCode::SESSION_PROGRESS), 7));
/// assert_eq!(response.all(Name::Via).count(), 2, "compact forms and comma-separated lists are taken apart");
/// assert_eq!((response.has_token(Name::Require, "100rel"), response.number(Name::RSeq)), (true, Some(1)));
/// assert_eq!(response.get_other("x-queue"), Some("3"));
/// assert!(response.content_is("application/sdp") && response.text() == "v=0\r\n");
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The first line.
    pub start: Start<'a>,
    /// The body: as many octets after the blank line as Content-Length says, or all of them without Content-Length.
    pub body: &'a [u8],
    fields: Vec<Field<'a>>,
    /// The whole message and its body as text; `""` where it is not UTF-8.
    source: &'a str,
    text: &'a str,
    /// A fault that [`parse`] found, for [`Message::check`] to report.
    pub(super) fault: Option<Rejection>,
}

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// `method uri SIP/2.0`
    Request {
        /// Case-sensitive.
        method: Method<'a>,
        /// The Request-URI as received, of any scheme.
        uri: &'a str,
    },
    /// `SIP/2.0 code reason`
    Response {
        /// The status code.
        code: StatusCode,
        /// The reason phrase: any UTF-8, may be empty.
        reason: &'a str,
    },
}

/// Why octets are not a message, or why a value breaks the grammar of its field. The sender is at fault in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Only line ends: a keep-alive (RFC 5626, 4.4.1), not a message.
    #[error("no message, only line ends")]
    Empty,
    /// Longer than [`MAX_MESSAGE`].
    #[error("message too long")]
    MessageTooLong,
    /// A line longer than [`MAX_LINE`].
    #[error("line too long")]
    LineTooLong,
    /// More than [`MAX_FIELDS`] fields.
    #[error("too many header fields")]
    TooManyFields,
    /// The header part is not UTF-8.
    #[error("header is not UTF-8")]
    NotUtf8,
    /// The first line is neither a request line nor a status line of SIP.
    #[error("first line is not SIP")]
    StartLine,
    /// The field is missing.
    #[error("missing {}", .0.as_str())]
    Missing(Name),
    /// The value of the field breaks its grammar.
    #[error("malformed {}", .0.as_str())]
    Malformed(Name),
    /// Not a URI.
    #[error("malformed URI")]
    Uri,
    /// Not a challenge or credentials of a supported authentication scheme and algorithm.
    #[error("authentication scheme or algorithm not known")]
    Authentication,
}

/// Parses the one message of a datagram or WebSocket message. Octets beyond Content-Length are ignored.
///
/// # Errors
///
/// Where no response is possible: not SIP, not UTF-8, beyond a limit. [`Message::check`] reports all other faults.
///
/// ```
/// use offhook_sip::{ParseError, parse};
///
/// assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n").unwrap_err(), ParseError::StartLine);
/// assert_eq!(parse(b"\r\n\r\n").unwrap_err(), ParseError::Empty, "a keep-alive");
///
/// let options = parse(b"OPTIONS sip:example.com SIP/2.0\r\nCall-ID: c\r\n\r\n").expect("a message, though an incomplete one");
/// assert_eq!(options.check().unwrap_err().reason, "Missing Via");
/// ```
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, ParseError> {
    // Only the header section has to be UTF-8, not the body.
    match str::from_utf8(bytes) {
        Ok(text) => parse_text(text),
        Err(error) => read(bytes.get(..error.valid_up_to()).and_then(|valid| str::from_utf8(valid).ok()).unwrap_or(""), bytes),
    }
}

/// Like [`parse`], for a message that is known to be UTF-8, such as a text message of a WebSocket.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_text(text: &str) -> Result<Message<'_>, ParseError> {
    read(text, text.as_bytes())
}

/// Parses a message; `valid` is the part of it before the first octet that is not UTF-8.
fn read<'a>(valid: &'a str, bytes: &'a [u8]) -> Result<Message<'a>, ParseError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(ParseError::MessageTooLong);
    }
    let utf8 = valid.len() == bytes.len();
    let mut text = valid;
    while let Some(rest) = after(text, b'\r').or_else(|| after(text, b'\n')) {
        text = rest;
    }
    if text.is_empty() && utf8 {
        return Err(ParseError::Empty);
    }
    let (line, rest) = cut_at(text, b'\n').unwrap_or((text, ""));
    if line.len() > MAX_LINE {
        return Err(ParseError::LineTooLong);
    }
    let mut fault = None;
    let start = start_line(before(line, b'\r').unwrap_or(line), &mut fault)?;
    let (fields, rest) = fields(rest, utf8, &mut fault)?;
    let from = valid.len() - rest.len();
    let body = body(bytes.get(from..).unwrap_or(&[]), &fields, &mut fault);
    let text = valid.get(from..from + body.len()).unwrap_or("");
    Ok(Message { start, body, fields, source: if utf8 { valid } else { "" }, text, fault })
}

fn start_line<'a>(line: &'a str, fault: &mut Option<Rejection>) -> Result<Start<'a>, ParseError> {
    let (first, rest) = cut_at(line, b' ').ok_or(ParseError::StartLine)?;
    if first.eq_ignore_ascii_case("SIP/2.0") {
        // A second blank occurs even in RFC 3665 (3.9, F6), and does no harm.
        let mut rest = rest;
        while let Some(less) = after(rest, b' ') {
            rest = less;
        }
        let (code, reason) = cut_at(rest, b' ').unwrap_or((rest, ""));
        let code = number(code).and_then(|code| StatusCode::new(code.try_into().ok()?)).ok_or(ParseError::StartLine)?;
        return Ok(Start::Response { code, reason });
    }
    let mut trimmed = rest;
    while let Some(shorter) = before(trimmed, b' ') {
        trimmed = shorter;
    }
    let (uri, version) = cut_last(trimmed, b' ').ok_or(ParseError::StartLine)?;
    if !is_token(first) || !version.get(..4).is_some_and(|sip| sip.eq_ignore_ascii_case("SIP/")) {
        return Err(ParseError::StartLine);
    }
    let clean = trim(uri);
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        *fault = Some(Rejection { code: StatusCode::VERSION_NOT_SUPPORTED, reason: "Version Not Supported" });
    } else if trimmed.len() < rest.len() || uri.bytes().any(is_lws) {
        *fault = Some(Rejection::bad("Malformed Request-Line"));
    }
    Ok(Start::Request { method: Method::from(first), uri: clean })
}

/// Parses the header fields up to the blank line, and returns them with the text that follows it.
pub(super) fn fields<'a>(
    text: &'a str,
    utf8: bool,
    fault: &mut Option<Rejection>,
) -> Result<(Vec<Field<'a>>, &'a str), ParseError> {
    let bytes = text.as_bytes();
    let (mut fields, mut at) = (Vec::with_capacity(24), 0);
    loop {
        let blank = match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'\n'), _) => 1,
            (Some(b'\r'), Some(b'\n')) => 2,
            (Some(_), _) => 0,
            (None, _) if !utf8 => return Err(ParseError::NotUtf8),
            (None, _) => {
                fault.get_or_insert(Rejection::bad("Missing Blank Line"));
                return Ok((fields, ""));
            }
        };
        if blank > 0 {
            return Ok((fields, text.get(at + blank..).unwrap_or("")));
        }
        let (end, next, plain) = folded_line(bytes, at);
        if end - at > MAX_LINE {
            return Err(ParseError::LineTooLong);
        }
        if fields.len() == MAX_FIELDS {
            return Err(ParseError::TooManyFields);
        }
        match Field::parse(text, at, end, plain) {
            Some(field) => fields.push(field),
            None => {
                fault.get_or_insert(Rejection::bad("Malformed Header Field"));
            }
        }
        at = next;
    }
}

/// Returns the end of the line that begins at `from`, including its continuation lines (RFC 3261, 7.3.1), the beginning of the next line, and
/// whether it is a single line without CR in it.
fn folded_line(bytes: &[u8], from: usize) -> (usize, usize, bool) {
    let (mut at, mut plain) = (from, true);
    loop {
        // Skips to the next control character; of these only line ends matter.
        at = seek(bytes, at, 0, b'\r' + 1);
        let next = bytes.get(at + 1);
        match bytes.get(at) {
            Some(b'\n') if !matches!(next, Some(b' ' | b'\t')) => break,
            Some(b'\r') if next == Some(&b'\n') => {}
            Some(_) => plain = false,
            None => break,
        }
        at += 1;
    }
    let end = if at > from && bytes.get(at - 1) == Some(&b'\r') { at - 1 } else { at };
    (end, bytes.len().min(at + 1), plain)
}

/// Returns the part of `tail` that is the body by Content-Length. Where that is wrong, all of `tail`, and a fault (RFC 3261, 18.3).
fn body<'a>(tail: &'a [u8], fields: &[Field<'_>], fault: &mut Option<Rejection>) -> &'a [u8] {
    let mut lengths = fields.iter().filter(|field| field.name == Name::ContentLength);
    let Some(length) = lengths.next() else { return tail };
    let body = number(length.value).and_then(|length| tail.get(..length as usize));
    if body.is_none() || lengths.next().is_some() {
        fault.get_or_insert(Rejection::bad("Bad Content-Length"));
    }
    body.unwrap_or(tail)
}

impl<'a> Message<'a> {
    /// Whether this is a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// Returns the method of a request.
    #[must_use]
    pub fn method(&self) -> Option<Method<'a>> {
        if let Start::Request { method, .. } = self.start { Some(method) } else { None }
    }

    /// Returns the Request-URI of a request.
    #[must_use]
    pub fn uri(&self) -> Option<&'a str> {
        if let Start::Request { uri, .. } = self.start { Some(uri) } else { None }
    }

    /// Returns the status code of a response.
    #[must_use]
    pub fn code(&self) -> Option<StatusCode> {
        if let Start::Response { code, .. } = self.start { Some(code) } else { None }
    }

    /// Returns all fields in the order of the message.
    #[must_use]
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// Returns the value of the first field of this name.
    #[must_use]
    pub fn get(&self, name: Name) -> Option<&'a str> {
        self.values(name).next()
    }

    /// Returns the value of the first field of this name, in any case; for names that are not in [`Name`].
    #[must_use]
    pub fn get_other(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|field| field.raw_name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Iterates over the values of all fields of this name.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a str> {
        Values { fields: &self.fields, name }
    }

    /// Iterates over the items of the comma-separated lists in all fields of this name, without empty items. In fields where a comma
    /// belongs to the value (authentication, dates, free text), each value is one item.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &'a str> {
        Items { values: Values { fields: &self.fields, name }, rest: None }
    }

    /// Returns the topmost Via.
    ///
    /// # Errors
    ///
    /// Where there is none, or it is malformed.
    pub fn via(&self) -> Result<Via<'a>, ParseError> {
        Via::parse(self.all(Name::Via).next().ok_or(ParseError::Missing(Name::Via))?)
    }

    /// Returns the address in From.
    ///
    /// # Errors
    ///
    /// Where there is none, or it is malformed.
    pub fn from(&self) -> Result<NameAddr<'a>, ParseError> {
        self.address(Name::From)
    }

    /// Returns the address in To.
    ///
    /// # Errors
    ///
    /// Where there is none, or it is malformed.
    pub fn to(&self) -> Result<NameAddr<'a>, ParseError> {
        self.address(Name::To)
    }

    /// Returns the tag in From; `None` where there is none, or the field is malformed.
    #[must_use]
    pub fn from_tag(&self) -> Option<&'a str> {
        self.tag(Name::From)
    }

    /// Returns the tag in To; `None` where there is none, or the field is malformed.
    #[must_use]
    pub fn to_tag(&self) -> Option<&'a str> {
        self.tag(Name::To)
    }

    fn tag(&self, name: Name) -> Option<&'a str> {
        self.read_tag(name).ok()?
    }

    pub(super) fn read_tag(&self, name: Name) -> Result<Option<&'a str>, ParseError> {
        Ok(self.address(name)?.tag())
    }

    fn address(&self, name: Name) -> Result<NameAddr<'a>, ParseError> {
        NameAddr::parse(self.required(name)?).map_err(|_| ParseError::Malformed(name))
    }

    fn required(&self, name: Name) -> Result<&'a str, ParseError> {
        self.get(name).ok_or(ParseError::Missing(name))
    }

    /// Returns the Call-ID.
    ///
    /// # Errors
    ///
    /// Where there is none, or it is empty or contains blanks or control characters.
    pub fn call_id(&self) -> Result<&'a str, ParseError> {
        let value = self.required(Name::CallId)?;
        if value.is_empty() || value.bytes().any(|b| b <= b' ') { Err(ParseError::Malformed(Name::CallId)) } else { Ok(value) }
    }

    /// Returns the CSeq.
    ///
    /// # Errors
    ///
    /// Where there is none, or it is malformed, or its number does not fit in 32 bits.
    pub fn cseq(&self) -> Result<CSeq<'a>, ParseError> {
        let (digits, method) = split_before(self.required(Name::CSeq)?, SPACE);
        let method = trim(method);
        let number = number(digits).filter(|_| is_token(method)).ok_or(ParseError::Malformed(Name::CSeq))?;
        Ok(CSeq { number, method: Method::from(method) })
    }

    /// Iterates over the contacts. `*` is an address whose scheme is `*`.
    pub fn contacts(&self) -> impl Iterator<Item = Result<NameAddr<'a>, ParseError>> {
        self.all(Name::Contact).map(|item| if item == "*" { Ok(NameAddr::star()) } else { NameAddr::parse(item) })
    }

    /// Whether there is exactly one contact and it is `*`: all bindings (RFC 3261, 10.2.2).
    #[must_use]
    pub fn contact_is_star(&self) -> bool {
        let mut contacts = self.all(Name::Contact);
        contacts.next() == Some("*") && contacts.next().is_none()
    }

    /// Whether the lists of this name (Supported, Require, Allow, …) contain `token`, in any case, with any parameters.
    #[must_use]
    pub fn has_token(&self, name: Name, token: &str) -> bool {
        self.all(name).any(|item| bare(item).eq_ignore_ascii_case(token))
    }

    /// Returns the number that the first field of this name begins with; parameters and comments may follow. `None` where there is
    /// none, or it does not fit in 32 bits.
    #[must_use]
    pub fn number(&self, name: Name) -> Option<u32> {
        let value = self.get(name)?;
        number(split_before(split_at(bare(value), b'(').0, SPACE).0)
    }

    /// Whether Content-Type has this media type, with any parameters. False without Content-Type.
    #[must_use]
    pub fn content_is(&self, mime: &str) -> bool {
        self.get(Name::ContentType).is_some_and(|value| bare(value).eq_ignore_ascii_case(mime))
    }

    /// Parses the Request-URI. `None` for a response.
    #[must_use]
    pub fn target(&self) -> Option<Result<Uri<'a>, ParseError>> {
        self.uri().map(Uri::parse)
    }

    /// Returns the whole message as received, so that it can be stored and parsed again; `""` where it is not UTF-8.
    #[must_use]
    pub const fn source(&self) -> &'a str {
        self.source
    }

    /// Returns the body as text; `""` where it is not UTF-8.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }
}

/// Returns the values of Reason (RFC 3326), at most four.
#[must_use]
pub fn reasons(message: &Message<'_>) -> Vec<String> {
    message.values(Name::Reason).take(4).map(str::to_owned).collect()
}

/// Returns the item without its parameters.
pub(super) fn bare(item: &str) -> &str {
    trim(split_at(item, b';').0)
}

/// An iterator over the values of all fields of one name; not made of iterator adapters, whose code is larger.
struct Values<'m, 'a> {
    fields: &'m [Field<'a>],
    name: Name,
}

impl<'a> Iterator for Values<'_, 'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let (field, fields) = self.fields.split_first()?;
            self.fields = fields;
            if field.name == self.name {
                return Some(field.value);
            }
        }
    }
}

/// An iterator over the items of all fields of one name.
struct Items<'m, 'a> {
    values: Values<'m, 'a>,
    rest: Option<&'a str>,
}

impl<'a> Iterator for Items<'_, 'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let (item, rest) = match self.rest {
                Some(rest) => cut(rest, b','),
                None => {
                    let value = self.values.next()?;
                    if self.values.name.is_list() { cut(value, b',') } else { (value, None) }
                }
            };
            self.rest = rest;
            let item = trim(item);
            if !item.is_empty() {
                return Some(item);
            }
        }
    }
}
