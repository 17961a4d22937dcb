//! How a session is kept alive on one of its sides (RFC 4028).

use std::time::Duration;

use offhook_sip::text::digits;
use offhook_sip::{Message, Name, Writer};

/// The interval that we ask for, in seconds.
const INTERVAL: u32 = 1_800;
/// The shortest that we take (RFC 4028, 5).
pub(super) const LEAST: u32 = 90;

/// The agreement with one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refresh {
    /// Seconds.
    interval: u32,
    /// Whether it is for us to refresh.
    pub(super) ours: bool,
}

impl Refresh {
    /// What we ask for; `least` is what somebody on the way has asked for (RFC 4028, 7.3).
    pub(super) fn wish(least: u32) -> Self {
        Self { interval: INTERVAL.max(least), ours: true }
    }

    /// What a request asks for (RFC 4028, 9): its sender refreshes where it can and names nobody else.
    pub(super) fn asked(request: &Message<'_>) -> Option<Self> {
        let (interval, refresher) = read(request)?;
        let theirs = request.has_token(Name::Supported, "timer") && refresher != Some("uas");
        (interval >= LEAST).then_some(Self { interval, ours: !theirs })
    }

    /// Whether a request asks for less than anybody takes.
    pub(super) fn is_too_brief(request: &Message<'_>) -> bool {
        read(request).is_some_and(|(interval, _)| interval < LEAST)
    }

    /// What an answer to a request of ours grants.
    pub(super) fn granted(answer: &Message<'_>) -> Option<Self> {
        let (interval, refresher) = read(answer)?;
        Some(Self { interval: interval.max(LEAST), ours: refresher != Some("uas") })
    }

    /// As a request asks for it; the first names no refresher, for the other side to choose.
    pub(super) fn ask(self, request: Writer, first: bool) -> Writer {
        let value = if first { digits(self.interval) } else { self.value(if self.ours { "uac" } else { "uas" }) };
        request.field("Session-Expires", &value).number("Min-SE", LEAST)
    }

    /// As an answer grants it.
    pub(super) fn grant(self, answer: Writer) -> Writer {
        let answer = answer.field("Session-Expires", &self.value(if self.ours { "uas" } else { "uac" }));
        if self.ours { answer } else { answer.field("Require", "timer") }
    }

    /// When to refresh and when it is over, counted from the last refresh (RFC 4028, 10).
    pub(super) fn times(self) -> (Duration, Duration) {
        let interval = Duration::from_secs(self.interval.into());
        (interval / 2, interval - (interval / 3).min(Duration::from_secs(32)))
    }

    fn value(self, refresher: &str) -> String {
        [&*digits(self.interval), ";refresher=", refresher].concat()
    }
}

fn read<'a>(message: &Message<'a>) -> Option<(u32, Option<&'a str>)> {
    let value = message.get(Name::SessionExpires)?;
    let (interval, params) = value.split_once(';').unwrap_or((value, ""));
    let refresher = params.split(';').find_map(|param| param.trim().strip_prefix("refresher="));
    Some((interval.trim().parse().ok()?, refresher))
}
