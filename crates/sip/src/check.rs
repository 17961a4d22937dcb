//! Validation of messages: which ones are rejected, and with which status (RFC 3261, 8.2, 10.3, 16.3, 18.3; RFC 4475 has test messages).

use super::header::{Branch, Field, Name, NameAddr, split_at};
use super::message::{Message, ParseError, Start, bare};
use super::method::Method;
use super::status::StatusCode;
use super::uri::Uri;
use crate::text::cut_at;

/// Why a message is rejected. A request is answered with this status and reason; an ACK and a response are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The status of the response.
    pub code: StatusCode,
    /// The reason phrase of the response: what is wrong.
    pub reason: &'static str,
}

impl Rejection {
    /// Returns a rejection with 400.
    pub(super) const fn bad(reason: &'static str) -> Self {
        Self { code: StatusCode::BAD_REQUEST, reason }
    }
}

/// The capabilities of a user agent: [`Message::check_uas`] checks requests against them, and rejections list them.
#[derive(Clone, Copy, Debug)]
pub struct Abilities<'a> {
    /// Methods that it handles: the value of Allow.
    pub methods: &'a [Method<'a>],
    /// Option tags that a request may require: the value of Supported.
    pub extensions: &'a [&'a str],
    /// Media types of bodies: the value of Accept. The body of an INFO depends on its package instead (RFC 6086).
    pub bodies: &'a [&'a str],
    /// Media types of bodies in INFO.
    pub info_bodies: &'a [&'a str],
    /// Packages of INFO: the value of Recv-Info.
    pub packages: &'a [&'a str],
}

impl Abilities<'_> {
    /// No capabilities.
    pub const NONE: Self = Self { methods: &[], extensions: &[], bodies: &[], info_bodies: &[], packages: &[] };

    /// Returns the status for a method that is not handled: 405 for a registered method, 501 for any other (RFC 3261, 21.4.6 and 21.5.2).
    #[must_use]
    pub fn unserved(method: Method<'_>) -> StatusCode {
        if method.registered().is_some() { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_IMPLEMENTED }
    }

    /// Returns the value of Supported.
    #[must_use]
    pub fn supported(&self) -> String {
        self.extensions.join(", ")
    }

    /// Returns the value of Allow.
    #[must_use]
    pub fn allow(&self) -> String {
        self.methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Fields that may occur only once (RFC 3261, 7.3.1). Content-Length is checked when a message is parsed.
const SINGLE: u64 = set(&[Name::From, Name::To, Name::CallId, Name::CSeq, Name::MaxForwards, Name::ContentType, Name::Expires]);

const fn set(names: &[Name]) -> u64 {
    match names {
        [] => 0,
        [first, rest @ ..] => 1 << *first as u8 | set(rest),
    }
}

impl Message<'_> {
    /// Checks what every recipient of a message relies on: complete framing; From, To, Call-ID, CSeq and the topmost Via, each
    /// well-formed and present once; in a request also a CSeq with its method, and a well-formed Request-URI and contacts. Malformed contacts
    /// of a response, as those that a registrar lists of other devices, are for its reader to skip.
    ///
    /// Accepted for compatibility with RFC 2543: no branch, no From tag, no Max-Forwards. Fields that are not used, such as Date,
    /// are not checked.
    ///
    /// # Errors
    ///
    /// The status of the response. A response that fails is dropped.
    pub fn check(&self) -> Result<(), Rejection> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut seen = 0_u64;
        let repeated = |field: &Field<'_>| {
            let bit = 1 << field.name as u8;
            let again = seen & bit != 0;
            seen |= bit & SINGLE;
            again
        };
        if self.fields().iter().any(repeated) {
            return Err(Rejection::bad("Repeated Header Field"));
        }
        let via = self.via().map_err(rejection)?;
        if matches!(via.branch(), Some("" | Branch::COOKIE)) {
            return Err(Rejection::bad("Empty Branch"));
        }
        for name in [Name::From, Name::To] {
            if self.read_tag(name).map_err(rejection)? == Some("") {
                return Err(Rejection::bad("Empty Tag"));
            }
        }
        self.call_id().map_err(rejection)?;
        let cseq = self.cseq().map_err(rejection)?;
        match self.start {
            Start::Request { method, uri } => self.check_request(method, uri, cseq.method),
            Start::Response { .. } => Ok(()),
        }
    }

    fn check_request(&self, method: Method<'_>, uri: &str, cseq_method: Method<'_>) -> Result<(), Rejection> {
        let mut starred = false;
        for contact in self.contacts() {
            starred |= contact.map_err(|_| Rejection::bad("Malformed Contact"))?.uri.scheme == "*";
        }
        if cseq_method != method {
            // A method that is not registered is rejected with 501 before anything else is checked.
            return Err(if method.registered().is_some() { Rejection::bad("CSeq of Another Method") } else { not_implemented() });
        }
        // Escaped headers in a Request-URI must never become fields (RFC 3261, 19.1.5).
        if Uri::parse(uri).map_or(true, |uri| !uri.headers.is_empty()) {
            return Err(Rejection::bad("Malformed Request-URI"));
        }
        if self.get(Name::MaxForwards).is_some() && self.number(Name::MaxForwards).is_none() {
            return Err(Rejection::bad("Malformed Max-Forwards"));
        }
        if starred && (method != Method::Register || !self.contact_is_star()) {
            return Err(Rejection::bad("Malformed Contact"));
        }
        Ok(())
    }

    /// Checks a message as [`Message::check`] does, then what a user agent server rejects, in the order of RFC 3261, 8.2: an
    /// unknown method (501), a scheme other than `sip:`, `sips:` and `tel:` (416), an unsupported extension (420), an unsupported media
    /// type (415), a UAC that does not accept SDP in the response (406).
    ///
    /// # Errors
    ///
    /// The status of the response.
    pub fn check_uas(&self, can: &Abilities<'_>) -> Result<(), Rejection> {
        self.check()?;
        let Start::Request { method, uri } = self.start else { return Ok(()) };
        if !can.methods.contains(&method) {
            return Err(not_implemented());
        }
        if !Uri::parse(uri).is_ok_and(|uri| uri.is_sip() || uri.is_tel()) {
            return Err(Rejection { code: StatusCode::UNSUPPORTED_URI_SCHEME, reason: "Unsupported URI Scheme" });
        }
        // Require in a CANCEL and in an ACK to a failure is to be ignored (8.2.2.3).
        if !matches!(method, Method::Ack | Method::Cancel) && self.unsupported(can.extensions).next().is_some() {
            return Err(Rejection { code: StatusCode::BAD_EXTENSION, reason: "Bad Extension" });
        }
        if method != Method::Info && !self.can_be_read_as(can.bodies) {
            return Err(Rejection { code: StatusCode::UNSUPPORTED_MEDIA_TYPE, reason: "Unsupported Media Type" });
        }
        if method == Method::Invite && !self.accepts("application/sdp") {
            return Err(Rejection { code: StatusCode::NOT_ACCEPTABLE, reason: "Not Acceptable" });
        }
        Ok(())
    }

    /// Returns the option tags in Require that are not in `supported`: what a 420 lists in Unsupported.
    pub fn unsupported<'s>(&self, supported: &'s [&str]) -> impl Iterator<Item = &str> + use<'_, 's> {
        self.all(Name::Require).filter(move |tag| !supported.iter().any(|known| known.eq_ignore_ascii_case(tag)))
    }

    /// Whether the sender accepts bodies of this media type; without Accept it accepts SDP (RFC 3261, 20.1).
    #[must_use]
    pub fn accepts(&self, mime: &str) -> bool {
        let kind = split_at(mime, b'/').0;
        let matches = |range: &str| match cut_at(range, b'/') {
            Some(("*", "*")) => true,
            Some((range_kind, "*")) => range_kind.eq_ignore_ascii_case(kind),
            _ => range.eq_ignore_ascii_case(mime),
        };
        self.get(Name::Accept).is_none() && mime == "application/sdp" || self.all(Name::Accept).any(|item| matches(bare(item)))
    }

    /// Checks a message as [`Message::check`] does, then what a registrar rejects (RFC 3261, 10.3): a To that is not a SIP URI,
    /// and contacts whose URI has header fields, which would get into later requests.
    ///
    /// # Errors
    ///
    /// The status of the response.
    pub fn check_registrar(&self) -> Result<(), Rejection> {
        self.check()?;
        if !self.to().is_ok_and(|to| to.uri.is_sip()) {
            return Err(Rejection::bad("To Is Not a SIP URI"));
        }
        let fine = |contact: NameAddr<'_>| contact.uri.headers.is_empty();
        if !self.contacts().all(|contact| contact.is_ok_and(fine)) {
            return Err(Rejection::bad("Header Fields in Contact"));
        }
        Ok(())
    }

    /// Checks a response as [`Message::check`] does, then what only a user agent client rejects: more than one Via, which means
    /// that the response was misrouted (RFC 3261, 8.1.3.3).
    ///
    /// # Errors
    ///
    /// The response has to be dropped.
    pub fn check_uac(&self) -> Result<(), Rejection> {
        self.check()?;
        if self.all(Name::Via).nth(1).is_some() { Err(Rejection::bad("Not for Us")) } else { Ok(()) }
    }
}

fn not_implemented() -> Rejection {
    Rejection { code: StatusCode::NOT_IMPLEMENTED, reason: "Not Implemented" }
}

/// Returns the rejection for a field that is missing or malformed; its reason names the field (RFC 3261, 21.4.1).
fn rejection(error: ParseError) -> Rejection {
    Rejection::bad(match error {
        ParseError::Missing(Name::Via) => "Missing Via",
        ParseError::Missing(Name::From) => "Missing From",
        ParseError::Missing(Name::To) => "Missing To",
        ParseError::Missing(Name::CallId) => "Missing Call-ID",
        ParseError::Missing(_) => "Missing CSeq",
        ParseError::Malformed(Name::Via) => "Malformed Via",
        ParseError::Malformed(Name::From) => "Malformed From",
        ParseError::Malformed(Name::To) => "Malformed To",
        ParseError::Malformed(Name::CallId) => "Malformed Call-ID",
        _ => "Malformed CSeq",
    })
}
