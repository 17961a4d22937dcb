//! Why a call fails or is ended, as its parties are told: the SIP status or Reason, and for the page `X-Error` where the reason is ours.

use offhook_sip::{ApiCode, Class, Message, Name, Start, StatusCode, quote};

use offhook_ledger::Refused;
use offhook_media::{Leg, MediaError};
use offhook_sip::reasons;
use offhook_ua::uas::Refusal;

use super::party::abilities;

/// Failures of our own INVITE to the SIP side, which the page could not mend.
const OURS: [StatusCode; 4] = [
    StatusCode::BAD_EXTENSION,
    StatusCode::EXTENSION_REQUIRED,
    StatusCode::SESSION_INTERVAL_TOO_SMALL,
    StatusCode::INTERVAL_TOO_BRIEF,
];

/// The failure response to an INVITE, and the reason in BYE and CANCEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: StatusCode,
    phrase: String,
    fields: Vec<(String, String)>,
}

impl Failure {
    /// Returns one of ours, with the five-digit code of the calling API in `X-Error`.
    pub(super) fn new(code: StatusCode, error: ApiCode, why: &str) -> Self {
        let fields = vec![("X-Error".to_owned(), error.x_error(why))];
        Self { code, phrase: code.reason().to_owned(), fields }
    }

    /// Returns a bare status.
    pub(super) fn plain(code: StatusCode) -> Self {
        Self { code, phrase: code.reason().to_owned(), fields: Vec::new() }
    }

    /// Returns the end by a party, for these reasons (RFC 3326), if any.
    pub(super) fn hung_up(code: StatusCode, reasons: Vec<String>) -> Self {
        let fields = reasons.into_iter().map(|value| ("Reason".to_owned(), value)).collect();
        Self { fields, ..Self::plain(code) }
    }

    /// Returns the rejection of a session interval that is too short (RFC 4028, 6).
    pub(super) fn too_brief() -> Self {
        Self::plain(StatusCode::SESSION_INTERVAL_TOO_SMALL)
    }

    /// Returns the rejection of a session description that is larger than the media take.
    pub(super) fn too_large() -> Self {
        Self::new(StatusCode::REQUEST_ENTITY_TOO_LARGE, ApiCode::Malformed, "The session description is too large")
    }

    /// Returns the failure of the SIP side, with its phrase, its Reason, Warning, Error-Info, Retry-After and `X-` fields. What concerns only it and us is not passed on
    /// (RFC 3261, 16.7): challenges, redirections, and extensions and intervals of our own INVITE become 502, time-outs become 480.
    pub(super) fn passed(answer: &Message<'_>) -> Self {
        let (code, phrase) = match answer.start {
            Start::Response { code, reason } => (code, reason),
            Start::Request { .. } => (StatusCode::SERVER_INTERNAL_ERROR, ""),
        };
        let code = match code {
            StatusCode::REQUEST_TIMEOUT | StatusCode::REQUEST_TERMINATED => StatusCode::TEMPORARILY_UNAVAILABLE,
            code if code.is_challenge() || code.class() == Class::Redirection || OURS.contains(&code) => {
                return Self::new(StatusCode::BAD_GATEWAY, ApiCode::Unavailable, "The trunk does not take the call");
            }
            code => code,
        };
        let mut fields = super::outgoing::headers(answer);
        fields.extend(reasons(answer).into_iter().map(|value| ("Reason".to_owned(), value)));
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        fields.extend(answer.all(Name::Warning).take(4).map(|value| own("Warning", value)));
        fields.extend(answer.get_other("Error-Info").map(|value| own("Error-Info", value)));
        // No list: its comment may have commas.
        fields.extend(answer.get(Name::RetryAfter).map(|value| own("Retry-After", value)));
        Self { code, phrase: phrase.to_owned(), fields }
    }

    /// Returns the failure of a trunk that does not respond, or cannot be reached.
    pub(super) fn no_response(code: StatusCode) -> Self {
        let why = if code == StatusCode::REQUEST_TIMEOUT { "The trunk does not answer" } else { "The trunk cannot be reached" };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, why)
    }

    /// Returns the refusal of the ledger.
    pub(super) fn refused(why: Refused) -> Self {
        Self::new(why.status(), why.code(), why.message())
    }

    /// Returns the failure of the media.
    pub(super) fn media(error: MediaError) -> Self {
        match error {
            MediaError::Malformed => Self::new(StatusCode::BAD_REQUEST, ApiCode::Malformed, "No usable session description"),
            MediaError::NotAcceptable => {
                Self::new(StatusCode::NOT_ACCEPTABLE_HERE, ApiCode::Malformed, "No codec or transport in common")
            }
            MediaError::Fingerprint => {
                Self::new(StatusCode::NOT_ACCEPTABLE_HERE, ApiCode::Malformed, "The fingerprint is missing or wrong")
            }
            MediaError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "No media port is free"),
            MediaError::Broken | MediaError::Unknown => {
                Self::new(StatusCode::SERVER_INTERNAL_ERROR, ApiCode::Internal, "The media failed")
            }
        }
    }

    /// Returns the response to the INVITE of a leg.
    pub(super) fn answer(&self, invite: &Message<'_>, leg: Leg, tag: &str) -> String {
        let answer = Refusal::Status(self.code).answer_as(invite, &self.phrase, tag, &abilities(leg));
        self.fields.iter().fold(answer, |answer, (name, value)| answer.field(name, value)).end()
    }

    /// Returns the Reason of a CANCEL or BYE on a leg (RFC 3326): as the other leg has said it, or in our words. That a user has no credit
    /// is not said to the SIP side.
    pub(super) fn reason(&self, leg: Leg) -> Option<String> {
        let said = self.field("Reason").collect::<Vec<_>>().join(", ");
        let silent = matches!(self.code, StatusCode::OK | StatusCode::REQUEST_TERMINATED)
            || (leg == Leg::Peer && self.code == StatusCode::PAYMENT_REQUIRED);
        if !said.is_empty() || silent {
            return Some(said).filter(|said| !said.is_empty());
        }
        Some(format!("SIP;cause={};text={}", self.code.as_u16(), quote(self.ours().unwrap_or(&self.phrase))))
    }

    /// Returns `X-Error` for the BYE of a leg: like a failure response, the page gets the five-digit code.
    pub(super) fn x_error(&self, leg: Leg) -> Option<&str> {
        self.field("X-Error").next().filter(|_| leg == Leg::Page)
    }

    /// Returns the reason for the log: our words, else those of the status. Not those of others, which may name numbers and people.
    pub(super) fn log_reason(&self) -> &str {
        self.ours().unwrap_or_else(|| self.code.reason())
    }

    /// Returns our words in `X-Error`.
    fn ours(&self) -> Option<&str> {
        self.field("X-Error").find_map(|value| Some(value.split_once(' ')?.1))
    }

    fn field(&self, wanted: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// Whether the trunk has failed and not the callee (busy, declined, unknown): then the next trunk is tried.
    pub(super) const fn is_of_trunk(&self) -> bool {
        matches!(
            self.code,
            StatusCode::SERVER_INTERNAL_ERROR
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::SERVER_TIMEOUT
        )
    }

    /// Returns the cause of the call's end for log and ledger.
    pub(super) const fn cause(&self) -> &'static str {
        match self.code {
            StatusCode::PAYMENT_REQUIRED => "no credit",
            StatusCode::DECLINE => "declined",
            StatusCode::BUSY_HERE | StatusCode::BUSY_EVERYWHERE => "busy",
            StatusCode::REQUEST_TIMEOUT | StatusCode::TEMPORARILY_UNAVAILABLE => "unanswered",
            StatusCode::NOT_FOUND | StatusCode::DOES_NOT_EXIST_ANYWHERE => "unknown",
            StatusCode::REQUEST_TERMINATED => "cancelled",
            _ => "failed",
        }
    }
}
