//! Reason (RFC 3326): why a request was sent.

use std::borrow::Cow;

use super::header::{Name, Params, split_at, unquote};
use super::message::Message;
use crate::text::number;

/// One value of Reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// Whose cause it is: `SIP`, `Q.850`, or any other token.
    pub protocol: &'a str,
    /// The cause: a status code of SIP, or a cause of Q.850.
    pub cause: Option<u32>,
    /// What it says to people.
    pub text: Option<Cow<'a, str>>,
}

impl<'a> Reason<'a> {
    /// Parses one value; `None` where its parameters are malformed.
    #[must_use]
    pub fn parse(value: &'a str) -> Option<Self> {
        let (protocol, params) = split_at(value, b';');
        let params = Params::parse(params)?;
        Some(Self { protocol: protocol.trim(), cause: params.get("cause").and_then(number), text: params.get("text").map(unquote) })
    }
}

impl<'a> Message<'a> {
    /// Returns the reason of this protocol, in any case, of which a message has at most one.
    #[must_use]
    pub fn reason(&self, protocol: &str) -> Option<Reason<'a>> {
        self.all(Name::Reason).filter_map(Reason::parse).find(|reason| reason.protocol.eq_ignore_ascii_case(protocol))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_text;

    #[test]
    fn a_reason_has_protocol_cause_and_text() {
        let text = "CANCEL sip:a@b SIP/2.0\r\nReason: Q.850;cause=16, sip ; text=\"a, b;cause=1\" ;cause=200\r\nReason: x;cause=2001\r\n\r\n";
        let cancel = parse_text(text).expect("a request");
        let of = |protocol| cancel.reason(protocol).map(|reason| (reason.cause, reason.text.map(Cow::into_owned)));
        assert_eq!(of("SIP"), Some((Some(200), Some("a, b;cause=1".to_owned()))));
        assert_eq!(of("q.850"), Some((Some(16), None)));
        assert_eq!(of("X"), Some((Some(2_001), None)));
        assert_eq!(of("SIPS"), None);
        assert_eq!(Reason::parse("SIP;=1"), None);
        assert_eq!(Reason::parse("SIP;cause=x").and_then(|reason| reason.cause), None);
    }
}
