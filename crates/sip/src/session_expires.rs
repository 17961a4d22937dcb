//! Session-Expires (RFC 4028, section 4).

use super::header::{Params, SPACE, split_at, split_before};
use super::message::Message;
use crate::Name;
use crate::text::number;

/// The value of Session-Expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// The session interval, s: it ends that long after the last refresh.
    pub interval: u32,
    /// Who refreshes; `None`: the UAS is to choose.
    pub refresher: Option<Refresher>,
}

/// Who refreshes a session, by the part in the transaction that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Who has sent the request.
    Uac,
    /// Who answers it.
    Uas,
}

impl SessionExpires {
    /// Reads a value; `None` where it has no number. A refresher that is neither `uac` nor `uas` is none.
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

    /// The value as it is written.
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
    /// Session-Expires; `None` where there is none that can be read.
    #[must_use]
    pub fn session_expires(&self) -> Option<SessionExpires> {
        SessionExpires::parse(self.get(Name::SessionExpires)?)
    }
}
