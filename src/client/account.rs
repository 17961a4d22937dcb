//! The account: signing in, receiving calls or not, and the registration after a lost connection.
//!
//! ```text
//!        start                200 to REGISTER
//! Idle ─────────▶ Starting ───────────────────▶ Ready ── terminate ──▶ Over
//!   ▲                │ rejected, no server reachable
//!   └────────────────┘
//! ```
//!
//! A ticket or token may expire. The app is told before, and may give another one, which replaces it once the server has accepted it:
//!
//! ```text
//! Fresh ── a while before its end ──▶ Warned ── its end, or a 401 ──▶ REGISTER ── rejected ──▶ Expired
//!   ▲                                   │                                                          │
//!   └── 200 to REGISTER with another ───┴──────────────────────────────────────────────────────────┘
//! ```

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use offhook_sip::text::{cut_at, number};
use offhook_sip::{Class, Message, Name, NameAddr, StatusCode, Uri};
use offhook_ua::TIMEOUT;
use offhook_ua::authentication::{Authenticator, Credentials, Lasting};
use offhook_ua::registration::{Ask, Registration};
use offhook_ua::time::Instant;

use super::context::{Context, Owner};
use super::io::{Event, IceServer, Login, Session};
use super::timers::Timer;
use crate::client::call::{Error, ErrorResponse};

/// The account and its registration.
pub struct Account {
    pub phase: Phase,
    registration: Registration,
    /// Whether calls are to be received.
    wanted: bool,
    /// Whether the app is to be told that they are, or no longer are.
    asked: bool,
    /// The expiration interval that REGISTER asks for, s; a registrar may demand more (RFC 3261, 10.2.8).
    expires: u32,
    /// When our ticket or token expires, where that is known.
    ends: Option<Instant>,
    /// Whether the server has rejected it.
    expired: bool,
    /// The credentials that are to replace it, until the server has accepted them.
    update: Option<Update>,
}

/// New credentials, which are sent to the server in place of those that it has accepted.
struct Update {
    /// The accepted ones: they are used again where the server rejects the new ones.
    before: Option<Authenticator>,
    /// When the new ones expire, where that is known.
    ends: Option<Instant>,
}

/// How often the server is asked whether it accepts a ticket or token that has expired: its clock may differ from ours.
const EXPIRED_RETRY: Duration = Duration::from_secs(30);
/// For how long it is asked.
const EXPIRED_RETRY_FOR: Duration = Duration::from_secs(120);

/// Where the account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not started.
    Idle,
    /// Signing in for the first time.
    Starting,
    /// Signed in; a lost connection does not change that.
    Ready,
    /// Terminated.
    Over,
}

/// What the response to a REGISTER means for the rest of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Signed in; calls may go on.
    SignedIn,
    /// Nothing changes, or another REGISTER was sent.
    Unchanged,
    /// `start` failed, and the app was told.
    StartFailed,
    /// The server does not serve now.
    Unavailable,
}

impl Account {
    pub fn new(context: &mut Context) -> Self {
        let registration = Registration::new(context.random.uuid(), context.random.token());
        let (wanted, expires) = (context.config.active && context.config.activate, context.config.register_expires);
        Self { phase: Phase::Idle, registration, wanted, asked: false, expires, ends: None, expired: false, update: None }
    }

    /// Takes the login to sign in with.
    pub fn start(&mut self, context: &mut Context, login: Login) -> Result<(), Error> {
        let (user, credentials, lasts) = parse_login(login)?;
        (self.update, self.expired) = (None, false);
        context.user = user;
        context.authenticator = Some(Authenticator::new(credentials));
        self.ends = lasts.map(|lasts| context.now + lasts);
        self.phase = Phase::Starting;
        Ok(())
    }

    /// Takes other credentials of the same user. The response to the next REGISTER tells whether the server accepts them.
    pub fn update(&mut self, context: &mut Context, login: Login) -> Result<(), Error> {
        if self.phase != Phase::Ready {
            return Err(Error::Misuse("The client is not started"));
        }
        let (user, credentials, lasts) = parse_login(login)?;
        if user != context.user {
            return Err(Error::argument("The login object is another user's"));
        }
        let shown = context.authenticator.replace(Authenticator::new(credentials));
        // Of two that the server has not accepted yet, the later counts.
        let earlier = self.update.take();
        if earlier.is_none() {
            context.timers.set(Timer::TokenUpdate, context.now + TIMEOUT);
        }
        let before = earlier.map_or(shown, |update| update.before);
        self.update = Some(Update { before, ends: lasts.map(|lasts| context.now + lasts) });
        Ok(())
    }

    /// Tells the app that its ticket or token expires soon.
    pub fn warn_of_expiry(&self, context: &mut Context) {
        if let Some(ends) = self.ends {
            context
                .event(Event::TokenWillExpire(u32::try_from((ends - context.now).as_millis().div_ceil(1000)).unwrap_or(u32::MAX)));
        }
    }

    /// Asks the server whether it still accepts a ticket or token that has expired.
    pub fn token_expired(&mut self, context: &mut Context, open: bool) {
        if self.ends.is_some_and(|ends| context.now - ends < EXPIRED_RETRY_FOR) {
            context.timers.set(Timer::TokenExpiry, context.now + EXPIRED_RETRY);
        }
        if open {
            self.register(context);
        }
    }

    /// Asks the server whether it accepts our credentials, after a request with them was challenged again.
    pub fn check_credentials(&mut self, context: &mut Context) {
        if self.phase == Phase::Ready && !self.expired {
            self.register(context);
        }
    }

    /// Has calls received, or no longer. `Ok(true)`: an event will tell the app.
    pub fn set_receiving(&mut self, context: &mut Context, wanted: bool, open: bool) -> Result<bool, Error> {
        if !context.config.active {
            return Err(Error::Misuse("supportActiveConnection is not set"));
        }
        let changed = self.wanted != wanted;
        self.wanted = wanted;
        if self.phase != Phase::Ready {
            return Ok(false);
        }
        if !std::mem::replace(&mut self.asked, true) {
            context.timers.set(Timer::Activation, context.now + TIMEOUT);
        }
        if !changed && self.registration.is_bound() == wanted {
            self.report_receiving(context);
        } else if open {
            self.register(context);
        }
        Ok(true)
    }

    /// Sends a REGISTER that binds our Contact, or removes it, or has none, as is wanted.
    pub fn register(&mut self, context: &mut Context) {
        let (uri, aor, binding) = (format!("sip:{}", context.config.domain), context.aor(), context.binding());
        let ask = match (self.wanted && self.phase != Phase::Over, self.registration.is_bound()) {
            (true, _) => Ask::Bind(&binding, self.expires),
            (false, true) => Ask::Unbind(&binding),
            (false, false) => Ask::Nothing,
        };
        let request = self.registration.request(&uri, &aor, ask).field("Supported", "path, outbound, gruu");
        context.send_request(request, Owner::Account, None);
    }

    /// Takes the response to a REGISTER.
    pub fn handle_response(&mut self, context: &mut Context, answer: &Message<'_>) -> Verdict {
        match answer.code() {
            Some(code) if code.is_success() => {
                self.accepted(context, answer);
                Verdict::SignedIn
            }
            Some(StatusCode::INTERVAL_TOO_BRIEF) => match answer.number(Name::MinExpires).filter(|least| *least > self.expires) {
                Some(least) => {
                    // At least twice as long: one that demands a little more each time is not asked for ever.
                    self.expires = least.max(self.expires.saturating_mul(2));
                    self.register(context);
                    Verdict::Unchanged
                }
                None => self.rejected(context, answer.code(), Error::Refused(error_response(answer))),
            },
            Some(code)
                if self.phase == Phase::Ready && (code == StatusCode::REQUEST_TIMEOUT || code.class() == Class::ServerError) =>
            {
                self.registration.lost();
                Verdict::Unavailable
            }
            _ => self.rejected(context, answer.code(), Error::Refused(error_response(answer))),
        }
    }

    /// Takes note of the CSeq number of a REGISTER that was sent again after a challenge.
    pub const fn retried(&mut self, number: u32) {
        self.registration.sent(number);
    }

    /// No server can be reached, or the server does not answer.
    pub fn unreachable(&mut self, context: &mut Context, why: Cow<'static, str>) -> Verdict {
        self.registration.lost();
        if self.phase != Phase::Starting {
            return Verdict::Unavailable;
        }
        self.rejected(context, None, Error::Unreachable(why))
    }

    /// The connection is lost, and the registration with it.
    pub fn disconnected(&mut self, context: &mut Context) {
        context.timers.stop(Timer::Register);
        self.registration.lost();
    }

    /// Whether calls are to be received.
    pub const fn is_receiving(&self) -> bool {
        self.wanted
    }

    /// What a later client can sign in with.
    pub fn session(context: &Context) -> Option<Session> {
        let (kind, realm, secret) = match context.authenticator.as_ref()?.lasting()? {
            Lasting::Bearer(token) => ("bearer", "", token),
            Lasting::Hash { realm, sha256: true, ha1 } => ("digest:SHA-256:", realm, ha1),
            Lasting::Hash { realm, sha256: false, ha1 } => ("digest:MD5:", realm, ha1),
        };
        Some(Session { user_id: context.user.clone(), session_id: format!("{kind}{realm}"), session_secret: secret.to_owned() })
    }

    fn accepted(&mut self, context: &mut Context, answer: &Message<'_>) {
        let instance = context.config.instance.clone();
        self.registration.accepted(context.now, answer, &instance, self.expires);
        context.gruu = self.registration.gruu().map(str::to_owned);
        context.home = context.gruu.as_deref().and_then(|gruu| Some(Uri::parse(gruu).ok()?.host.to_owned()));
        context.named_ice = Rc::new(ice_servers(answer));
        match self.registration.refresh_at() {
            Some(at) => context.timers.set(Timer::Register, at),
            None => context.timers.stop(Timer::Register),
        }
        self.expired = false;
        if let Some(update) = self.update.take() {
            context.timers.stop(Timer::TokenUpdate);
            self.ends = update.ends;
            self.set_token_timers(context);
            context.event(Event::TokenUpdated(Ok(())));
        }
        if self.phase == Phase::Starting {
            self.phase = Phase::Ready;
            self.set_token_timers(context);
            let session = Self::session(context).unwrap_or(Session {
                user_id: context.user.clone(),
                session_id: String::new(),
                session_secret: String::new(),
            });
            context.event(Event::Started(session));
        }
        self.report_receiving(context);
    }

    /// Tells an app that is to be told whether calls are received.
    fn report_receiving(&mut self, context: &mut Context) {
        if !self.asked {
            return;
        }
        self.answer_app(context, Ok(()));
    }

    /// Tells an app that has asked for calls, or for none, what came of it.
    fn answer_app(&mut self, context: &mut Context, result: Result<(), Error>) {
        self.asked = false;
        context.timers.stop(Timer::Activation);
        context.event(if self.wanted { Event::Active(result) } else { Event::Inactive });
    }

    /// The server has not answered in time whether calls are received. It is asked again over the next connection.
    pub fn activation_timed_out(&mut self, context: &mut Context) {
        let why = "The server did not answer: calls are received as soon as it does";
        self.answer_app(context, Err(Error::TimedOut(why)));
    }

    /// The server has not answered in time whether it accepts the new credentials. They are sent again over the next connection.
    pub fn update_timed_out(&self, context: &mut Context) {
        let why = "The server did not answer: the new ticket or token is sent again as soon as it does";
        context.event(Event::TokenUpdated(Err(Error::TimedOut(why))));
    }

    /// Starts the timers for the expiry of the accepted ticket or token.
    fn set_token_timers(&self, context: &mut Context) {
        self.stop_token_timers(context);
        if let Some(ends) = self.ends {
            let early = context.config.token_refresh.min((ends - context.now) / 10);
            context.timers.set(Timer::TokenWarning, ends - early);
            context.timers.set(Timer::TokenExpiry, ends);
        }
    }

    /// Stops them.
    pub fn stop_token_timers(&self, context: &mut Context) {
        context.timers.stop(Timer::TokenWarning);
        context.timers.stop(Timer::TokenExpiry);
    }

    /// Stops all timers, as the client is terminated.
    pub fn stop_timers(&self, context: &mut Context) {
        self.stop_token_timers(context);
        context.timers.stop(Timer::TokenUpdate);
        context.timers.stop(Timer::Activation);
    }

    fn rejected(&mut self, context: &mut Context, code: Option<StatusCode>, error: Error) -> Verdict {
        if let Some(update) = self.update.take() {
            context.timers.stop(Timer::TokenUpdate);
            context.authenticator = update.before;
            context.event(Event::TokenUpdated(Err(error)));
            // The credentials before it are valid as long as the server says so.
            if !self.expired {
                self.register(context);
            }
            return Verdict::Unchanged;
        }
        self.registration.lost();
        context.timers.stop(Timer::Register);
        self.stop_token_timers(context);
        match self.phase {
            Phase::Starting => {
                self.phase = Phase::Idle;
                context.event(Event::StartFailed(error));
                Verdict::StartFailed
            }
            Phase::Ready => {
                self.asked = false;
                context.timers.stop(Timer::Activation);
                if code.is_some_and(StatusCode::is_challenge) && !std::mem::replace(&mut self.expired, true) {
                    context.event(Event::TokenExpired(error.clone()));
                }
                context.event(Event::Active(Err(error)));
                Verdict::Unchanged
            }
            Phase::Idle | Phase::Over => Verdict::Unchanged,
        }
    }
}

/// Returns what the app is told of a final response that is a failure.
pub fn error_response(answer: &Message<'_>) -> Box<ErrorResponse> {
    let code = answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
    let reason = match answer.start {
        offhook_sip::Start::Response { reason, .. } => reason,
        offhook_sip::Start::Request { .. } => "",
    };
    let (error_code, reason) = own_words(answer).unwrap_or((u32::from(code), reason));
    told(answer, error_code, reason)
}

/// Returns what the app is told of a BYE that does not just hang up: the server's own words, or a cause of SIP or Q.850 that is a failure
/// (RFC 3326).
pub fn error_in_bye(bye: &Message<'_>) -> Option<Box<ErrorResponse>> {
    if let Some((code, reason)) = own_words(bye) {
        return Some(told(bye, code, reason));
    }
    let sip = bye.reason("SIP").and_then(|reason| Some((reason.cause.filter(|cause| *cause >= 300)?, reason)));
    let of_q850 =
        || bye.reason("Q.850").and_then(|reason| Some((reason.cause.filter(|cause| !NORMAL_CLEARING.contains(cause))?, reason)));
    let (code, reason) = sip.or_else(of_q850)?;
    let phrase = || StatusCode::new(u16::try_from(code).ok()?).map(StatusCode::reason);
    let text = reason.text.as_deref().or_else(phrase).unwrap_or("The call was ended by the network");
    Some(told(bye, code, text))
}

/// The causes of Q.850 by which a call ends that somebody hangs up: 0 says nothing, 16 is normal call clearing, 31 another normal end,
/// 127 comes from networks that give no cause.
const NORMAL_CLEARING: [u32; 4] = [0, 16, 31, 127];

/// Returns the five-digit code of our gateway, and its words.
fn own_words<'a>(message: &Message<'a>) -> Option<(u32, &'a str)> {
    let (code, text) = cut_at(message.get_other("X-Error")?, b' ')?;
    Some((number(code)?, text))
}

/// Returns what the app is told of a message: of its header fields each name once, and known ones in full and as RFC 3261 writes them.
fn told(message: &Message<'_>, error_code: u32, reason: &str) -> Box<ErrorResponse> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for field in message.fields() {
        let name = if field.name == Name::Other { field.raw_name } else { field.name.as_str() };
        match headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            // As a list: RFC 3261, 7.3.1.
            Some((_, values)) => *values = format!("{values}, {}", field.value),
            None => headers.push((name.to_owned(), field.value.to_owned())),
        }
    }
    Box::new(ErrorResponse { error_code, reason: reason.to_owned(), headers })
}

fn parse_login(login: Login) -> Result<(String, Credentials, Option<Duration>), Error> {
    let mut life = None;
    let (user, credentials) = match login {
        Login::Token { user, token, lasts } => {
            life = lasts;
            (user, Credentials::Bearer(token))
        }
        Login::Password { user, password } => (user.clone(), Credentials::Password { user, password }),
        Login::Session(session) => {
            let secret = session.session_secret;
            let user = session.user_id;
            let id = session.session_id;
            let (sha256, md5) = (id.strip_prefix("digest:SHA-256:"), id.strip_prefix("digest:MD5:"));
            let credentials = match sha256.or(md5) {
                Some(realm) => {
                    let (user, realm) = (user.clone(), realm.to_owned());
                    Credentials::Hash { user, realm, sha256: sha256.is_some(), ha1: secret }
                }
                None if id == "bearer" => Credentials::Bearer(secret),
                None => return Err(Error::argument("sessionId is none that getSession() gave")),
            };
            (user, credentials)
        }
    };
    if user.is_empty() || user.len() > 255 || user.chars().any(char::is_control) {
        return Err(Error::argument("A user id has 1 to 255 bytes and no control characters"));
    }
    Ok((user, credentials, life))
}

fn ice_servers(answer: &Message<'_>) -> Vec<IceServer> {
    let mut named = Vec::new();
    for field in answer.fields() {
        if field.raw_name.eq_ignore_ascii_case("X-ICE-Server")
            && let Ok(server) = NameAddr::parse(field.value)
        {
            let param = |name| server.params.get(name).unwrap_or_default().to_owned();
            let urls = vec![server.uri_text.to_owned()];
            named.push(IceServer { urls, username: param("username"), credential: param("credential") });
        }
    }
    named
}
