//! The session timer of one dialog (RFC 4028): how long a session lasts without a refresh, and which end refreshes it.
//!
//! ```text
//! UAC   propose() ──▶ INVITE ── 2xx ──▶ granted() ──▶ deadlines(): refresh at half of the interval, end shortly before all of it
//!          ▲            └── 422 ──▶ too_brief()  │        │
//!          └─────────────────────────────────────┘        ▼
//! UAS   is_too_brief(): 422   answer() ──▶ 2xx       refresh() ──▶ UPDATE or re-INVITE ── response ──▶ refreshed()
//! ```

use std::time::Duration;

use offhook_sip::{Message, Method, Name, Refresher, SessionExpires, StatusCode, Writer};

use crate::glare;
use crate::random::Random;

/// The shortest session interval that we accept, and the one of a message without Min-SE: 90 s (RFC 4028, section 5).
pub const MIN_SE: u32 = 90;
/// When to try again after a refresh that could not be sent, or was rejected.
pub const AGAIN: Duration = Duration::from_millis(2_100);
/// How many 422 raise the interval of one request: each proxy of a chain may have its own minimum.
const RAISES: u8 = 3;

/// The session timer of one dialog, seen from one end.
///
/// ```
/// use std::time::Duration;
///
/// use offhook_sip::{Method, Writer, parse};
/// use offhook_ua::session_timer::SessionTimer;
///
/// let invite = || Writer::request(Method::Invite, "sip:bob@b.test");
/// let mut timer = SessionTimer::new();
/// assert!(timer.propose(invite(), 100).end().contains("Session-Expires: 100\r\nMin-SE: 90\r\n"));
///
/// // A proxy wants longer sessions, so the INVITE is sent once more.
/// let too_small = parse(b"SIP/2.0 422 Session Interval Too Small\r\nMin-SE: 1800\r\n\r\n")?;
/// assert!(timer.too_brief(&too_small));
/// assert!(timer.propose(invite(), 100).end().contains("Session-Expires: 1800\r\nMin-SE: 1800\r\n"));
///
/// timer.granted(&parse(b"SIP/2.0 200 OK\r\nSession-Expires: 1800;refresher=uac\r\n\r\n")?);
/// let deadlines = timer.deadlines().expect("the session has a timer");
/// assert_eq!(deadlines.refresh, Some(Duration::from_secs(900)), "this end refreshes");
/// assert_eq!(deadlines.end, Duration::from_secs(1_768), "or the session ends");
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// The largest Min-SE that was received in this session, s: it is in each later request of it (section 7.4).
    min_se: u32,
    /// How many 422 came since the last 2xx.
    raises: u8,
    agreement: Option<Agreement>,
}

/// The agreement of the last 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Agreement {
    /// s.
    interval: u32,
    /// Whether this end refreshes.
    ours: bool,
}

/// The timers, from the 2xx that was sent or received last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// When to refresh the session; `None` where the remote party does it.
    pub refresh: Option<Duration>,
    /// When it is over unless it was refreshed.
    pub end: Duration,
}

/// What follows from the final response to a refresh of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The session goes on: [`SessionTimer::deadlines`] count from now on.
    Granted,
    /// Send it again at once, with the longer interval that a 422 demands.
    Again,
    /// Refresh at once by re-INVITE: the remote party does not take UPDATE, whatever it said in Allow.
    ByInvite,
    /// Refresh again after this time: until the session expires, a refresh may still succeed.
    After(Duration),
    /// Nothing: the session has no timer, or the remote party refreshes it.
    Nothing,
}

impl Default for SessionTimer {
    fn default() -> Self {
        Self::new()
    }
}

impl SessionTimer {
    /// Returns the timer of a session that does not exist yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { min_se: MIN_SE, raises: 0, agreement: None }
    }

    /// Asks for a session interval, s, in the INVITE of the session, and leaves it to the UAS who refreshes (section 7.1).
    #[must_use]
    pub fn propose(&self, invite: Writer, interval: u32) -> Writer {
        self.write(invite, SessionExpires { interval, refresher: None })
    }

    /// Asks in an in-dialog request for the interval and refresher that were agreed (section 7.4). Without an agreement the request stays as it is.
    #[must_use]
    pub fn refresh(&self, request: Writer) -> Writer {
        let Some(Agreement { interval, ours }) = self.agreement else { return request };
        let refresher = Some(if ours { Refresher::Uac } else { Refresher::Uas });
        self.write(request, SessionExpires { interval, refresher })
    }

    fn write(&self, request: Writer, wanted: SessionExpires) -> Writer {
        let value = SessionExpires { interval: wanted.interval.max(self.min_se), ..wanted }.to_value();
        request.field(Name::SessionExpires.as_str(), &value).number(Name::MinSe.as_str(), self.min_se)
    }

    /// Takes a 422 to a request of ours (section 7.3). Returns whether to send the request again, with the interval that is demanded.
    pub fn too_brief(&mut self, refusal: &Message<'_>) -> bool {
        let Some(min_se) = refusal.number(Name::MinSe) else { return false };
        let again = min_se > self.min_se && self.raises < RAISES;
        self.min_se = self.min_se.max(min_se);
        self.raises += u8::from(again);
        again
    }

    /// Takes a 2xx to a request of ours (section 7.2). Without Session-Expires the session has no timer; where the 2xx leaves open who
    /// refreshes, this end does.
    pub fn granted(&mut self, answer: &Message<'_>) {
        self.raises = 0;
        self.agreement = answer
            .session_expires()
            .map(|granted| Agreement { interval: granted.interval.max(MIN_SE), ours: granted.refresher != Some(Refresher::Uas) });
    }

    /// Whether a request is to be rejected with 422 and [`MIN_SE`] (section 9). A UAC without session timers could do nothing with that: the
    /// interval is then one of a proxy, and is ignored.
    #[must_use]
    pub fn is_too_brief(request: &Message<'_>) -> bool {
        knows_timers(request) && request.session_expires().is_some_and(|asked| asked.interval < MIN_SE)
    }

    /// Agrees to the interval of a request, and adds it to the 2xx (section 9). A request without one leaves the agreement as it was.
    ///
    /// ```text
    /// UAC knows timers   refresher asked for   refresher   Require: timer
    ///        no            none, uac, uas         uas           no
    ///        yes             none, uac            uac           yes
    ///        yes                uas               uas           yes
    /// ```
    #[must_use]
    pub fn answer(&mut self, request: &Message<'_>, answer: Writer) -> Writer {
        let before = self.agreement.map(|Agreement { interval, ours }| {
            let refresher = Some(if ours { Refresher::Uas } else { Refresher::Uac });
            SessionExpires { interval, refresher }
        });
        let Some(asked) = request.session_expires().filter(|asked| asked.interval >= MIN_SE).or(before) else { return answer };
        // The minimum of proxies holds for later requests of this end, too.
        self.min_se = self.min_se.max(request.number(Name::MinSe).unwrap_or(MIN_SE));
        let known = knows_timers(request);
        let ours = !known || asked.refresher == Some(Refresher::Uas);
        self.agreement = Some(Agreement { interval: asked.interval, ours });
        let refresher = Some(if ours { Refresher::Uas } else { Refresher::Uac });
        let value = SessionExpires { refresher, ..asked }.to_value();
        let answer = answer.field(Name::SessionExpires.as_str(), &value);
        if known { answer.field(Name::Require.as_str(), "timer") } else { answer }
    }

    /// Takes the final response to a refresh of ours (sections 7.2, 7.3 and 10), an UPDATE or INVITE, or the status that stands for none.
    /// That it ends the dialog has to be ruled out before ([`crate::dialog::ends`]). `made_call_id`: as for [`glare::wait`].
    pub fn refreshed(
        &mut self,
        method: Method<'_>,
        (code, answer): (StatusCode, Option<&Message<'_>>),
        made_call_id: bool,
        random: &mut Random,
    ) -> Refreshed {
        match (code, answer) {
            (code, Some(answer)) if code.is_success() => {
                self.granted(answer);
                Refreshed::Granted
            }
            (StatusCode::SESSION_INTERVAL_TOO_SMALL, Some(answer)) if self.too_brief(answer) => Refreshed::Again,
            (StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, _) if method == Method::Update => Refreshed::ByInvite,
            _ if !self.is_ours() => Refreshed::Nothing,
            (StatusCode::REQUEST_PENDING, _) => Refreshed::After(glare::wait(made_call_id, random)),
            _ => Refreshed::After(AGAIN),
        }
    }

    /// Whether this end refreshes the session.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.agreement.is_some_and(|agreement| agreement.ours)
    }

    /// Returns the timers (section 10); `None`: the session has none.
    #[must_use]
    pub fn deadlines(&self) -> Option<Deadlines> {
        let Agreement { interval, ours } = self.agreement?;
        let interval = Duration::from_secs(interval.into());
        Some(Deadlines { refresh: ours.then_some(interval / 2), end: interval - (interval / 3).min(Duration::from_secs(32)) })
    }
}

fn knows_timers(request: &Message<'_>) -> bool {
    request.has_token(Name::Supported, "timer") || request.has_token(Name::Require, "timer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_sip::{Method, parse_text};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const INVITE: &str = "INVITE sip:b@c SIP/2.0\r\n";
    const OK: &str = "SIP/2.0 200 OK\r\n";
    const BRIEF: &str = "SIP/2.0 422 Session Interval Too Small\r\n";

    fn with<T>(start: &str, fields: &str, then: impl FnOnce(&Message<'_>) -> T) -> T {
        let text = format!("{start}{fields}\r\n");
        then(&parse_text(&text).expect("a message"))
    }

    /// The fields of a request or answer that speak of session timers.
    fn fields(text: &str) -> String {
        let of_timer = |line: &&str| ["Session-Expires", "Min-SE", "Require"].iter().any(|name| line.starts_with(name));
        text.lines().filter(of_timer).collect::<Vec<_>>().join(", ")
    }

    fn answered(timer: &mut SessionTimer, request: &str) -> String {
        with(INVITE, request, |request| fields(&timer.answer(request, Writer::response(StatusCode::OK, "OK")).end()))
    }

    fn refreshed(timer: &SessionTimer) -> String {
        fields(&timer.refresh(Writer::request(Method::Update, "sip:b@c")).end())
    }

    #[test]
    fn the_uas_decides_by_the_table_of_section_9() {
        let of = |supported: bool, refresher: &str| {
            let supported = if supported { "Supported: timer\r\n" } else { "" };
            let mut timer = SessionTimer::new();
            let answer = answered(&mut timer, &format!("Session-Expires: 600{refresher}\r\n{supported}"));
            (answer, timer.deadlines().is_some_and(|deadlines| deadlines.refresh.is_some()))
        };
        for refresher in ["", ";refresher=uac", ";refresher=uas"] {
            assert_eq!(of(false, refresher), ("Session-Expires: 600;refresher=uas".into(), true), "a proxy has asked{refresher}");
        }
        for refresher in ["", ";refresher=uac", "; Refresher = UAC ;x=1"] {
            assert_eq!(of(true, refresher), ("Session-Expires: 600;refresher=uac, Require: timer".into(), false));
        }
        assert_eq!(of(true, ";refresher=uas"), ("Session-Expires: 600;refresher=uas, Require: timer".into(), true));
    }

    #[test]
    fn a_request_that_asks_for_nothing_changes_nothing() {
        let mut timer = SessionTimer::new();
        assert_eq!(answered(&mut timer, "Supported: timer\r\n"), "");
        assert_eq!(timer.deadlines(), None);
        answered(&mut timer, "Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n");
        let agreed = timer;
        assert_eq!(answered(&mut timer, "Supported: timer\r\n"), "Session-Expires: 600;refresher=uas, Require: timer");
        assert_eq!(timer, agreed);
        answered(&mut timer, "Supported: timer\r\nSession-Expires: 600\r\n");
        assert_eq!(answered(&mut timer, ""), "Session-Expires: 600;refresher=uas", "whoever knows no timers refreshes none");
    }

    #[test]
    fn too_short_an_interval_is_refused_only_to_whom_can_ask_for_another() {
        let is = |request: &str| with(INVITE, request, SessionTimer::is_too_brief);
        assert!(is("Session-Expires: 89\r\nSupported: timer\r\n"));
        assert!(!is("Session-Expires: 90\r\nSupported: timer\r\n"));
        assert!(!is("Session-Expires: 89\r\n"));
        let mut timer = SessionTimer::new();
        assert_eq!(answered(&mut timer, "Session-Expires: 89\r\n"), "");
        assert_eq!(timer.deadlines(), None);
    }

    #[test]
    fn the_minimum_of_a_422_stands_in_all_later_requests() {
        let mut timer = SessionTimer::new();
        let first = |timer: &SessionTimer| fields(&timer.propose(Writer::request(Method::Invite, "sip:b@c"), 1_800).end());
        assert_eq!(first(&timer), "Session-Expires: 1800, Min-SE: 90");
        assert!(with(BRIEF, "Min-SE: 3600\r\n", |refusal| timer.too_brief(refusal)));
        assert_eq!(first(&timer), "Session-Expires: 3600, Min-SE: 3600");
        assert!(!with(BRIEF, "Min-SE: 3600\r\n", |refusal| timer.too_brief(refusal)), "it was asked for that already");
        assert!(!with(BRIEF, "", |refusal| timer.too_brief(refusal)));
        with(OK, "Session-Expires: 1800;refresher=uac\r\n", |answer| timer.granted(answer));
        assert_eq!(refreshed(&timer), "Session-Expires: 3600;refresher=uac, Min-SE: 3600");
        answered(&mut timer, "Session-Expires: 1800;refresher=uac\r\nSupported: timer\r\nMin-SE: 7200\r\n");
        assert_eq!(refreshed(&timer), "Session-Expires: 7200;refresher=uas, Min-SE: 7200", "of their requests, too");
    }

    #[test]
    fn whoever_always_wants_more_is_not_asked_for_ever() {
        let mut timer = SessionTimer::new();
        let raise = |timer: &mut SessionTimer, min| with(BRIEF, &format!("Min-SE: {min}\r\n"), |refusal| timer.too_brief(refusal));
        assert_eq!((1..=5).map(|n| raise(&mut timer, n * 1_000)).collect::<Vec<_>>(), [true, true, true, false, false]);
        with(OK, "Session-Expires: 5000\r\n", |answer| timer.granted(answer));
        assert!(raise(&mut timer, 6_000));
    }

    #[test]
    fn a_refresh_is_tried_until_the_session_expires() {
        let mut random = Random::new([1; 32]);
        let mut timer = SessionTimer::new();
        let mut of = |timer: &mut SessionTimer, method, code, fields: &str| {
            let code = StatusCode::new(code).expect("a status");
            with(&format!("SIP/2.0 {code} {}\r\n", code.reason()), fields, |answer| {
                timer.refreshed(method, (code, Some(answer)), true, &mut random)
            })
        };
        assert_eq!(of(&mut timer, Method::Update, 503, ""), Refreshed::Nothing, "there is no timer");
        let granted = "Session-Expires: 1800;refresher=uac\r\n";
        assert_eq!(of(&mut timer, Method::Update, 200, granted), Refreshed::Granted);
        assert_eq!(of(&mut timer, Method::Update, 405, ""), Refreshed::ByInvite);
        assert_eq!(of(&mut timer, Method::Update, 501, ""), Refreshed::ByInvite);
        for code in [405, 408, 422, 488, 500, 503, 603] {
            assert_eq!(of(&mut timer, Method::Invite, code, ""), Refreshed::After(AGAIN), "{code}");
        }
        assert!(matches!(of(&mut timer, Method::Invite, 491, ""), Refreshed::After(wait) if wait >= AGAIN));
        assert_eq!(of(&mut timer, Method::Invite, 422, "Min-SE: 3600\r\n"), Refreshed::Again);
        let granted = "Session-Expires: 3600;refresher=uas\r\n";
        assert_eq!(of(&mut timer, Method::Invite, 200, granted), Refreshed::Granted);
        assert_eq!(of(&mut timer, Method::Update, 503, ""), Refreshed::Nothing, "the remote party refreshes");
    }

    #[test]
    fn the_refresher_is_early_and_both_ends_give_up_before_the_interval_does() {
        let of = |granted: &str| {
            let mut timer = SessionTimer::new();
            with(OK, granted, |answer| timer.granted(answer));
            let millis = |duration: Duration| u64::try_from(duration.as_millis()).expect("it fits");
            timer.deadlines().map(|deadlines| (deadlines.refresh.map(millis), millis(deadlines.end)))
        };
        assert_eq!(of(""), None);
        assert_eq!(of("Session-Expires: 1800;refresher=uac\r\n"), Some((Some(900_000), 1_768_000)), "32 s");
        assert_eq!(of("x: 90;refresher=uas\r\n"), Some((None, 60_000)), "a third");
        assert_eq!(of("Session-Expires: 90\r\n"), Some((Some(45_000), 60_000)));
        assert_eq!(of("Session-Expires: 1\r\n"), Some((Some(45_000), 60_000)), "not less than anybody takes");
        assert_eq!(of("Session-Expires: soon\r\n"), None);
        assert_eq!(of("Session-Expires: 4294967295\r\n"), Some((Some(2_147_483_647_500), 4_294_967_263_000)));
    }
}
