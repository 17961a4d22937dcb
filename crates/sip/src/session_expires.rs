//! Session-Expires (RFC 4028, section 4).

use super::header::{Params, SPACE, split_at, split_before};
use super::message::Message;
use crate::Name;
use crate::text::number;

/// The value of Session-Expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// The session interval, s: the session ends this long after its last refresh.
    pub interval: u32,
    /// The refresher; `None`: the UAS chooses.
    pub refresher: Option<Refresher>,
}

/// The refresher of a session, by its role in the transaction that negotiates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// The sender of the request.
    Uac,
    /// The recipient of the request.
    Uas,
}

impl SessionExpires {
    /// Parses a value; `None` where it has no number. A refresher other than `uac` and `uas` is ignored.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (interval, params) = split_at(value, b';');
        let params = Params::parse(params).unwrap_or(Params::NONE);
        let refresher = params.get("refresher").and_then(|refresher| match refresher {
            _ if refresher.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            _ if refresher.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        });
        Some(Self { interval: number(split_before(interval, SPACE).0)?, refresher })
    }

    /// Returns the value of the header field.
    #[must_use]
    pub fn to_value(self) -> String {
        let refresher = match self.refresher {
            None => "",
            Some(Refresher::Uac) => ";refresher=uac",
            Some(Refresher::Uas) => ";refresher=uas",
        };
        format!("{}{refresher}", self.interval)
    }
}

impl Message<'_> {
    /// Returns Session-Expires; `None` where it is missing or malformed.
    #[must_use]
    pub fn session_expires(&self) -> Option<SessionExpires> {
        SessionExpires::parse(self.get(Name::SessionExpires)?)
    }
}
