//! Bodies: the session description in one, and whether it has a part that cannot be read. A body may have several parts, one within another
//! (RFC 2046, 5.1; RFC 5621): border controllers add the signalling of other networks, or where the caller is.

use core::str;

use super::header::{Field, Name, Params, split_at, unquote};
use super::message::{Message, bare, fields};

/// The media type of session descriptions.
const SDP: &str = "application/sdp";
/// How deep multiparts may lie in each other.
const DEPTH: u8 = 4;
/// The most parts of one multipart that are read.
const PARTS: usize = 32;
/// The longest boundary (RFC 2046, 5.1.1).
const BOUNDARY: usize = 70;

/// A body, or a part of one.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// Content-Type.
    kind: &'a str,
    /// Content-Disposition.
    disposition: &'a str,
    /// Whether its octets are encoded.
    encoded: bool,
    octets: &'a [u8],
}

/// What reading a body, or a part of one, comes to. The parts of a multipart come to the greatest of theirs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It is not read, and its sender says that it need not be.
    Skipped,
    /// It cannot be read.
    Unread,
    /// It is read.
    Read,
    /// It cannot be read, and its sender says that it has to be.
    Missed,
}

impl<'a> Message<'a> {
    /// Returns the session description in the body: the body itself, or the first part of a multipart that is one. One of an early session
    /// (RFC 3959) is none.
    ///
    /// ```
    /// use offhook_sip::parse;
    ///
    /// let invite = parse(
    ///     b"INVITE sip:a@b SIP/2.0\r\nContent-Type: multipart/mixed;boundary=x\r\n\r\n--x\r\nContent-Type: application/ISUP\r\n\
    ///       Content-Disposition: signal;handling=optional\r\n\r\n\x01\xff\r\n--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--\r\n",
    /// )?;
    /// assert_eq!(invite.description(), Some("v=0\r\n"));
    /// assert!(invite.can_be_read_as(&["application/sdp"]) && !invite.can_be_read_as(&["text/plain"]));
    /// # Ok::<(), offhook_sip::ParseError>(())
    /// ```
    #[must_use]
    pub fn description(&self) -> Option<&'a str> {
        self.whole().description(DEPTH)
    }

    /// Whether the body is understood by one who reads these media types (RFC 3261, 8.2.3; RFC 5621): of several parts one can be read, and none
    /// is left out that has to be read (`handling=required`). A body that need not be read (`handling=optional`) is always understood.
    #[must_use]
    pub fn can_be_read_as(&self, kinds: &[&str]) -> bool {
        self.body.is_empty() || matches!(self.whole().outcome(kinds, DEPTH), Outcome::Read | Outcome::Skipped)
    }

    fn whole(&self) -> Part<'a> {
        Part::of(self.fields(), "", self.body)
    }
}

impl<'a> Part<'a> {
    /// `kind` is the media type where the fields name none.
    fn of(fields: &[Field<'a>], kind: &'a str, octets: &'a [u8]) -> Self {
        let value = |name| fields.iter().find(|field| field.name == name).map(|field| field.value);
        let encodes = |field: &Field<'_>| match field.raw_name {
            name if name.eq_ignore_ascii_case("Content-Encoding") || name.eq_ignore_ascii_case("e") => {
                is(field.value, &["identity"])
            }
            name if name.eq_ignore_ascii_case("Content-Transfer-Encoding") => is(field.value, &["7bit", "8bit", "binary"]),
            _ => true,
        };
        Self {
            kind: value(Name::ContentType).unwrap_or(kind),
            disposition: value(Name::ContentDisposition).unwrap_or_default(),
            encoded: !fields.iter().all(encodes),
            octets,
        }
    }

    /// Reads a part: its fields, a blank line, its octets. `None` where it is malformed.
    fn read(octets: &'a [u8]) -> Option<Self> {
        let valid =
            str::from_utf8(octets).or_else(|error| str::from_utf8(octets.get(..error.valid_up_to()).unwrap_or(&[]))).ok()?;
        let mut fault = None;
        let (fields, rest) = fields(valid, valid.len() == octets.len(), &mut fault).ok()?;
        let content = octets.get(valid.len() - rest.len()..)?;
        fault.is_none().then(|| Self::of(&fields, "text/plain", unbroken(content)))
    }

    fn description(self, depth: u8) -> Option<&'a str> {
        match self.parts(depth) {
            Some(parts) => parts.iter().find_map(|part| part.and_then(|part| part.description(depth - 1))),
            None if self.can_be(SDP) => str::from_utf8(self.octets).ok(),
            None => None,
        }
    }

    fn outcome(self, kinds: &[&str], depth: u8) -> Outcome {
        let read = match self.parts(depth) {
            Some(parts) => {
                let outcomes = || parts.iter().map(|part| part.map_or(Outcome::Unread, |part| part.outcome(kinds, depth - 1)));
                // Of alternatives one is enough (RFC 2046, 5.1.4).
                let one = is(self.kind, &["multipart/alternative"]) && outcomes().any(|outcome| outcome == Outcome::Read);
                if one { Outcome::Read } else { outcomes().max().unwrap_or(Outcome::Unread) }
            }
            None if kinds.iter().any(|kind| self.can_be(kind)) && str::from_utf8(self.octets).is_ok() => Outcome::Read,
            None => Outcome::Unread,
        };
        match Params::parse(split_at(self.disposition, b';').1).and_then(|params| params.get("handling")) {
            _ if read == Outcome::Read => read,
            Some(handling) if is(handling, &["optional"]) => Outcome::Skipped,
            Some(handling) if is(handling, &["required"]) => Outcome::Missed,
            _ => read,
        }
    }

    fn can_be(self, kind: &str) -> bool {
        is(self.kind, &[kind]) && !self.encoded && !is(self.disposition, &["early-session"])
    }

    /// Returns the parts of a multipart, `None` for each malformed one. `None`: it is no multipart that can be read.
    fn parts(self, depth: u8) -> Option<Vec<Option<Self>>> {
        let multipart = self.kind.get(.."multipart/".len())?.eq_ignore_ascii_case("multipart/");
        let params = Params::parse(split_at(self.kind, b';').1).filter(|_| multipart && depth > 0 && !self.encoded)?;
        let boundary = params.get("boundary")?;
        // One with escapes comes with its quotes.
        let boundary = unquote(boundary);
        let fits = !boundary.is_empty() && boundary.len() <= BOUNDARY;
        fits.then(|| split(self.octets, &boundary).into_iter().map(Self::read).collect())
    }
}

/// Whether the value without its parameters is one of these, in any case.
fn is(value: &str, known: &[&str]) -> bool {
    known.iter().any(|known| bare(value).eq_ignore_ascii_case(known))
}

/// Returns what stands between the lines with the boundary, line ends included. What stands before the first and after the last one is no part, and
/// neither is one without its end.
fn split<'a>(octets: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let (mut parts, mut from, mut at) = (Vec::new(), None, 0);
    for line in octets.split_inclusive(|b| *b == b'\n') {
        let end = at + line.len();
        if let Some(last) = delimiter(line, boundary) {
            parts.extend(from.and_then(|from| octets.get(from..at)));
            from = Some(end);
            if last || parts.len() == PARTS {
                break;
            }
        }
        at = end;
    }
    parts
}

/// Whether this is the line after the last part; `None`: it is no line with the boundary.
fn delimiter(line: &[u8], boundary: &str) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
    match (rest.strip_prefix(b"--"), rest) {
        (Some(rest), _) if rest.trim_ascii().is_empty() => Some(true),
        (None, rest) if rest.trim_ascii().is_empty() => Some(false),
        _ => None,
    }
}

/// Returns the octets without their last line end, which belongs to the line with the boundary (RFC 2046, 5.1.1): unless it is also that of the
/// last line of the text.
fn unbroken(octets: &[u8]) -> &[u8] {
    let without = octets.strip_suffix(b"\n").map_or(octets, |less| less.strip_suffix(b"\r").unwrap_or(less));
    if without.is_empty() || without.ends_with(b"\n") { without } else { octets }
}
