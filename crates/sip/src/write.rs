//! Writer of SIP messages. No value can add a line to the message.

use super::header::{Name, URI, is, is_token, split_at};
use super::message::Message;
use super::method::Method;
use super::status::StatusCode;
use super::uri::push_escape;
use crate::text::{cut_at, digits, push_digits};

/// The Request-URI of a request whose sender has none.
const NO_URI: &str = "sip:unknown.invalid";

/// A message being written: start line, fields, then [`Writer::body`] or [`Writer::end`], which add Content-Length.
///
/// CR, LF and NUL in a value become blanks, characters that a field name must not have become `_`, those that a URI must not have are
/// escaped: whatever the values are, the message has exactly the fields that were written.
///
/// ```
/// use offhook_sip::{Method, Writer, parse};
///
/// let subject = "hello\r\nX-Injected: yes";
/// let text = Writer::request(Method::Message, "sip:bob@example.com")
///     .field("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKk3")
///     .number("Max-Forwards", 70)
///     .field("From", "<sip:alice@example.org>;tag=1")
///     .field("To", "<sip:bob@example.com>")
///     .field("Call-ID", "c")
///     .cseq(1, Method::Message)
///     .field("Subject", subject)
///     .body("text/plain", "Lunch?");
///
/// let message = parse(text.as_bytes())?;
/// assert_eq!(message.check(), Ok(()));
/// assert_eq!((message.get_other("X-Injected"), message.get_other("Subject")), (None, Some("hello  X-Injected: yes")));
/// assert_eq!((message.content_is("text/plain"), message.text()), (true, "Lunch?"));
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Writer(String);

impl Writer {
    /// Starts a request with this method and Request-URI.
    ///
    /// A request line has a Request-URI in any case: where `uri` is empty, `sip:unknown.invalid` is written, which names no host (RFC 2606,
    /// section 2), so that the recipient rejects the request instead of failing to read it.
    #[must_use]
    pub fn request(method: Method<'_>, uri: &str) -> Self {
        let mut text = String::with_capacity(1024);
        push_token(&mut text, method.as_str());
        text.push(' ');
        push_uri(&mut text, if uri.is_empty() { NO_URI } else { uri });
        text.push_str(" SIP/2.0\r\n");
        Self(text)
    }

    /// Starts a response with this status and reason phrase.
    #[must_use]
    pub fn response(code: StatusCode, reason: &str) -> Self {
        let mut text = String::with_capacity(1024);
        text.push_str("SIP/2.0 ");
        push_digits(&mut text, code.into());
        text.push(' ');
        push_value(&mut text, reason);
        text.push_str("\r\n");
        Self(text)
    }

    /// Adds a field. Content-Length is added by [`Writer::body`] and [`Writer::end`].
    #[must_use]
    pub fn field(self, name: &str, value: &str) -> Self {
        self.joined(name, &[value])
    }

    /// Adds a field whose value is the concatenation of the parts.
    #[must_use]
    pub fn joined(mut self, name: &str, parts: &[&str]) -> Self {
        push_token(&mut self.0, name);
        self.0.push_str(": ");
        for part in parts {
            push_value(&mut self.0, part);
        }
        self.0.push_str("\r\n");
        self
    }

    /// Adds a field whose value is a number.
    #[must_use]
    pub fn number(mut self, name: &str, value: u32) -> Self {
        push_token(&mut self.0, name);
        self.0.push_str(": ");
        push_digits(&mut self.0, value);
        self.0.push_str("\r\n");
        self
    }

    /// Adds CSeq.
    #[must_use]
    pub fn cseq(self, number: u32, method: Method<'_>) -> Self {
        self.joined(Name::CSeq.as_str(), &[&digits(number), " ", method.as_str()])
    }

    /// Returns the method of a request: the first word of the start line.
    #[must_use]
    pub fn method(&self) -> Method<'_> {
        Method::from(split_at(&self.0, b' ').0)
    }

    /// Returns method and Request-URI of a request, as they are written.
    #[must_use]
    pub fn request_line(&self) -> Option<(Method<'_>, &str)> {
        let (method, rest) = cut_at(&self.0, b' ')?;
        Some((Method::from(method), cut_at(rest, b' ')?.0))
    }

    /// Returns the message with this body, and with Content-Type unless the body is empty.
    #[must_use]
    pub fn body(self, content_type: &str, body: &str) -> String {
        let typed = if body.is_empty() { self } else { self.field(Name::ContentType.as_str(), content_type) };
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut text = typed.number(Name::ContentLength.as_str(), length).0;
        text.push_str("\r\n");
        text.push_str(body);
        text
    }

    /// Returns the message without a body.
    #[must_use]
    pub fn end(self) -> String {
        self.body("", "")
    }
}

/// Starts the response to `request`: with its Via, From, To, Call-ID and CSeq (RFC 3261, 8.2.6), and with its Record-Route if the
/// response may create a dialog (12.1.1). `to_tag` is added unless To has a tag, or is malformed.
///
/// ```
/// use offhook_sip::{StatusCode, parse, reply};
///
/// let options = parse(
///     b"OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@example.org>;tag=1\r\n\
///       To: <sip:example.com>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n",
/// )?;
/// let answer = reply(&options, StatusCode::OK, Some("2")).field("Allow", "INVITE, ACK, BYE, CANCEL").end();
/// assert_eq!(
///     answer,
///     "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@example.org>;tag=1\r\n\
///      To: <sip:example.com>;tag=2\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nAllow: INVITE, ACK, BYE, CANCEL\r\nContent-Length: 0\r\n\r\n"
/// );
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
#[must_use]
pub fn reply(request: &Message<'_>, code: StatusCode, to_tag: Option<&str>) -> Writer {
    reply_as(request, (code, code.reason()), to_tag)
}

/// Like [`reply`], with another reason phrase than the default one.
#[must_use]
pub fn reply_as(request: &Message<'_>, (code, phrase): (StatusCode, &str), to_tag: Option<&str>) -> Writer {
    let mut writer = Writer::response(code, phrase);
    let dialog = code.creates_dialog();
    for field in request.fields() {
        // Fields that may occur only once are written once: the request may have been rejected because one was repeated.
        let again = request.get(field.name).is_some_and(|first| !core::ptr::eq(first, field.value));
        match field.name {
            Name::From | Name::To | Name::CallId | Name::CSeq if again => {}
            Name::RecordRoute if !dialog => {}
            Name::Via | Name::From | Name::CallId | Name::CSeq | Name::RecordRoute => {
                writer = writer.field(field.name.as_str(), field.value);
            }
            Name::To => {
                let tag = to_tag.filter(|_| request.to().is_ok_and(|to| to.tag().is_none()));
                let mark = if tag.is_some() { ";tag=" } else { "" };
                writer = writer.joined(field.name.as_str(), &[field.value, mark, tag.unwrap_or("")]);
            }
            _ => {}
        }
    }
    writer
}

/// Returns the text as a quoted-string.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(inline(c));
    }
    quoted.push('"');
    quoted
}

/// Returns the character, or a blank for one that would end the line.
fn inline(c: char) -> char {
    if matches!(c, '\r' | '\n' | '\0') { ' ' } else { c }
}

fn push_value(text: &mut String, value: &str) {
    if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        for c in value.chars() {
            text.push(inline(c));
        }
    } else {
        text.push_str(value);
    }
}

fn push_token(text: &mut String, token: &str) {
    if is_token(token) {
        text.push_str(token);
    } else if token.is_empty() {
        text.push('_');
    } else {
        for c in token.chars() {
            text.push(if is_token(c.encode_utf8(&mut [0; 4])) { c } else { '_' });
        }
    }
}

fn push_uri(text: &mut String, uri: &str) {
    for byte in uri.bytes() {
        if is(byte, URI) {
            text.push(char::from(byte));
        } else {
            push_escape(text, byte);
        }
    }
}
