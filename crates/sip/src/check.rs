//! Which messages are refused, and with what (RFC 3261, 8.2, 10.3, 16.3, 18.3; RFC 4475 has the cases).

use super::header::{Branch, Field, Name, NameAddr, split_at};
use super::message::{Message, ParseError, Start, bare};
use super::method::Method;
use super::status::StatusCode;
use super::uri::Uri;
use crate::text::cut_at;

/// Why a message is refused. A request is answered with it (an ACK is dropped), a response is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The code to answer.
    pub code: StatusCode,
    /// What is wrong, fit as a reason phrase.
    pub reason: &'static str,
}

impl Rejection {
    /// 400.
    pub(super) const fn bad(reason: &'static str) -> Self {
        Self { code: StatusCode::BAD_REQUEST, reason }
    }
}

/// What a user agent can do: what [`Message::check_uas`] judges by, and what refusals list.
#[derive(Clone, Copy, Debug)]
pub struct Abilities<'a> {
    /// Methods that it answers: what it writes to Allow.
    pub methods: &'a [Method<'a>],
    /// Option tags that a request may require.
    pub extensions: &'a [&'a str],
    /// Media types of bodies: what it writes to Accept. Bodies of INFO are judged by their package instead (RFC 6086).
    pub bodies: &'a [&'a str],
    /// Media types of bodies in INFO.
    pub info_bodies: &'a [&'a str],
    /// Packages of INFO: what it writes to Recv-Info.
    pub packages: &'a [&'a str],
}

impl Abilities<'_> {
    /// Nothing.
    pub const NONE: Self = Self { methods: &[], extensions: &[], bodies: &[], info_bodies: &[], packages: &[] };

    /// The status for a method that is none of those which are answered: 405 for one that an RFC defines, 501 for any other (RFC 3261,
    /// 21.4.6 and 21.5.2).
    #[must_use]
    pub fn unserved(method: Method<'_>) -> StatusCode {
        if method.registered().is_some() { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_IMPLEMENTED }
    }

    /// The value of Allow.
    #[must_use]
    pub fn allow(&self) -> String {
        self.methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Fields that come once (RFC 3261, 7.3.1). Content-Length is looked at when a message is parsed.
const SINGLE: u64 = set(&[Name::From, Name::To, Name::CallId, Name::CSeq, Name::MaxForwards, Name::ContentType, Name::Expires]);

const fn set(names: &[Name]) -> u64 {
    match names {
        [] => 0,
        [first, rest @ ..] => 1 << *first as u8 | set(rest),
    }
}

impl Message<'_> {
    /// What everybody who acts on a message relies on: whole framing; From, To, Call-ID, CSeq and the topmost Via, each once
    /// and readable; the CSeq of this method; a Request-URI and contacts that can be read.
    ///
    /// Passed, for RFC 2543's sake: no branch, no From tag, no Max-Forwards. What nobody here acts on, such as Date, is not
    /// looked at.
    ///
    /// # Errors
    ///
    /// The code to answer. A response that fails is dropped.
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
        let via = self.via().map_err(refusal)?;
        if matches!(via.branch(), Some("" | Branch::COOKIE)) {
            return Err(Rejection::bad("Empty Branch"));
        }
        for name in [Name::From, Name::To] {
            if self.read_tag(name).map_err(refusal)? == Some("") {
                return Err(Rejection::bad("Empty Tag"));
            }
        }
        self.call_id().map_err(refusal)?;
        let cseq = self.cseq().map_err(refusal)?;
        let mut starred = false;
        for contact in self.contacts() {
            starred |= contact.map_err(|_| Rejection::bad("Malformed Contact"))?.uri.scheme == "*";
        }
        match self.start {
            Start::Request { method, uri } => self.check_request(method, uri, cseq.method, starred),
            Start::Response { .. } => Ok(()),
        }
    }

    fn check_request(&self, method: Method<'_>, uri: &str, cseq_method: Method<'_>, starred: bool) -> Result<(), Rejection> {
        if cseq_method != method {
            // One that nobody has registered is answered 501 before anything else about it is looked at.
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

    /// [`Message::check`], then what a user agent server refuses, in the order of RFC 3261, 8.2: an unknown method (501), a
    /// scheme other than `sip:` and `sips:` (416), an extension it lacks (420), a body it cannot read (415), answers that
    /// the caller could not read (406).
    ///
    /// # Errors
    ///
    /// The code to answer.
    pub fn check_uas(&self, can: &Abilities<'_>) -> Result<(), Rejection> {
        self.check()?;
        let Start::Request { method, uri } = self.start else { return Ok(()) };
        if !can.methods.contains(&method) {
            return Err(not_implemented());
        }
        if !Uri::parse(uri).is_ok_and(|uri| uri.is_sip()) {
            return Err(Rejection { code: StatusCode::UNSUPPORTED_URI_SCHEME, reason: "Unsupported URI Scheme" });
        }
        // Require in a CANCEL and in an ACK to a failure is to be ignored (8.2.2.3).
        if !matches!(method, Method::Ack | Method::Cancel) && self.unsupported(can.extensions).next().is_some() {
            return Err(Rejection { code: StatusCode::BAD_EXTENSION, reason: "Bad Extension" });
        }
        if method != Method::Info && !self.body.is_empty() && !can.bodies.iter().any(|mime| self.content_is(mime)) {
            return Err(Rejection { code: StatusCode::UNSUPPORTED_MEDIA_TYPE, reason: "Unsupported Media Type" });
        }
        if method == Method::Invite && !self.accepts("application/sdp") {
            return Err(Rejection { code: StatusCode::NOT_ACCEPTABLE, reason: "Not Acceptable" });
        }
        Ok(())
    }

    /// The extensions that Require asks for and `supported` lacks: what a 420 lists in Unsupported.
    pub fn unsupported<'s>(&self, supported: &'s [&str]) -> impl Iterator<Item = &str> + use<'_, 's> {
        self.all(Name::Require).filter(move |tag| !supported.iter().any(|known| known.eq_ignore_ascii_case(tag)))
    }

    /// Whether the sender takes bodies of that type: one without Accept takes SDP (RFC 3261, 20.1).
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

    /// [`Message::check`], then what a registrar refuses (RFC 3261, 10.3): a To that is no SIP URI, contacts whose URI would
    /// smuggle header fields into later requests.
    ///
    /// # Errors
    ///
    /// The code to answer.
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

    /// [`Message::check`] of a response, then what only a user agent client refuses: more than one Via, so that it was meant
    /// for somebody else (RFC 3261, 8.1.3.3).
    ///
    /// # Errors
    ///
    /// The response is to be dropped.
    pub fn check_uac(&self) -> Result<(), Rejection> {
        self.check()?;
        if self.all(Name::Via).nth(1).is_some() { Err(Rejection::bad("Not for Us")) } else { Ok(()) }
    }
}

fn not_implemented() -> Rejection {
    Rejection { code: StatusCode::NOT_IMPLEMENTED, reason: "Not Implemented" }
}

/// RFC 3261, 21.4.1: the reason names the field.
fn refusal(error: ParseError) -> Rejection {
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
