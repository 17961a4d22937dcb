//! Why a call comes to nothing, as its caller is told: the SIP status, and `X-Error` where the reason is ours.

use offhook_sip::text::digits;
use offhook_sip::{Message, Name, Start, Writer, parse, quote, reason, reply};

use offhook_ledger::Refused;
use offhook_media::{Leg, MediaError};
use offhook_sip::reasons;

/// The final answer to an INVITE that does not become a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: u16,
    phrase: String,
    fields: Vec<(String, String)>,
}

impl Failure {
    /// Ours: with the five-digit code of the calling API.
    pub(super) fn new(code: u16, error: u32, why: &str) -> Self {
        let fields = vec![("X-Error".to_owned(), [&*digits(error), " ", why].concat())];
        Self { code, phrase: reason(code).to_owned(), fields }
    }

    /// A bare status.
    pub(super) fn plain(code: u16) -> Self {
        Self { code, phrase: reason(code).to_owned(), fields: Vec::new() }
    }

    /// Somebody has ended it, for these reasons, if any.
    pub(super) fn hung_up(code: u16, reasons: Vec<String>) -> Self {
        let fields = reasons.into_iter().map(|value| ("Reason".to_owned(), value)).collect();
        Self { fields, ..Self::plain(code) }
    }

    /// The session would have to be refreshed too often (RFC 4028, 6).
    pub(super) fn too_brief() -> Self {
        let fields = vec![("Min-SE".to_owned(), digits(super::refresh::LEAST))];
        Self { fields, ..Self::plain(422) }
    }

    /// The description is larger than is kept.
    pub(super) fn too_large() -> Self {
        Self::new(413, 40003, "The session description is too large")
    }

    /// The SIP side's, with its phrase, its Reason and its `X-` fields. What is between it and us is no business of the caller's
    /// (RFC 3261, 16.7): credentials and other places to try become 502, silence becomes 480.
    pub(super) fn passed(answer: &Message<'_>) -> Self {
        let (code, phrase) = match answer.start {
            Start::Response { code, reason } => (code, reason),
            Start::Request { .. } => (500, ""),
        };
        let code = match code {
            300..=399 | 401 | 407 => return Self::new(502, 50300, "The trunk does not take the call"),
            408 | 487 => 480,
            code => code,
        };
        let mut fields = super::outgoing::headers(answer);
        fields.extend(reasons(answer).into_iter().map(|value| ("Reason".to_owned(), value)));
        Self { code, phrase: phrase.to_owned(), fields }
    }

    /// Nothing was heard, or there was no way.
    pub(super) fn unheard(code: u16) -> Self {
        let why = if code == 408 { "The trunk does not answer" } else { "The trunk cannot be reached" };
        Self::new(503, 50300, why)
    }

    /// As the ledger refuses.
    pub(super) fn refused(why: Refused) -> Self {
        Self::new(why.status(), why.code(), why.message())
    }

    /// As the media fail.
    pub(super) fn media(error: MediaError) -> Self {
        match error {
            MediaError::Malformed => Self::new(400, 40003, "No usable session description"),
            MediaError::NotAcceptable => Self::new(488, 40003, "No codec or transport in common"),
            MediaError::Fingerprint => Self::new(488, 40003, "The fingerprint is missing or wrong"),
            MediaError::Busy => Self::new(503, 50300, "No media port is free"),
            MediaError::Broken | MediaError::Unknown => Self::new(500, 50000, "The media failed"),
        }
    }

    /// The answer to `invite`.
    pub(super) fn answer(&self, invite: &Message<'_>, tag: &str) -> String {
        let usual = reply(invite, self.code, Some(tag)).end();
        let mut text = Writer::response(self.code, &self.phrase);
        // The phrase is the other side's: `reply` knows only the usual ones.
        for field in parse(usual.as_bytes()).iter().flat_map(Message::fields).filter(|field| field.name != Name::ContentLength) {
            text = text.field(field.raw_name, field.value);
        }
        self.fields.iter().fold(text, |text, (name, value)| text.field(name, value)).end()
    }

    /// Why, for a CANCEL or BYE (RFC 3326): as the other side has said it, or in our words. That somebody has no credit is no business of
    /// the SIP side.
    pub(super) fn reason(&self, leg: Leg) -> Option<String> {
        let field = |wanted| self.fields.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let said = field("Reason").collect::<Vec<_>>().join(", ");
        let silent = matches!(self.code, 200 | 487) || (leg == Leg::Peer && self.code == 402);
        if !said.is_empty() || silent {
            return Some(said).filter(|said| !said.is_empty());
        }
        Some(["SIP;cause=", &*digits(self.code.into()), ";text=", &quote(self.ours().unwrap_or(&self.phrase))].concat())
    }

    /// Why, in words for the log: ours, else those of the status. Not the other side's, which may name numbers and people.
    pub(super) fn told(&self) -> &str {
        self.ours().unwrap_or(reason(self.code))
    }

    fn ours(&self) -> Option<&str> {
        let ours = self.fields.iter().filter(|(name, _)| name == "X-Error");
        ours.filter_map(|(_, value)| Some(value.split_once(' ')?.1)).next()
    }

    /// Whether the next trunk may do better: this one is broken, not the callee (never after busy, declined or unknown).
    pub(super) const fn is_trunks(&self) -> bool {
        matches!(self.code, 500 | 502..=504)
    }

    /// In a word, for log and ledger.
    pub(super) const fn cause(&self) -> &'static str {
        match self.code {
            402 => "no credit",
            603 => "declined",
            486 | 600 => "busy",
            408 | 480 => "unanswered",
            404 | 604 => "unknown",
            487 => "cancelled",
            _ => "failed",
        }
    }
}
