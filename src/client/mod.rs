//! The whole client as one machine: connection, account and calls, without clock, socket or browser.
//!
//! Order of calls, the one invariant of whoever drives it: a command or `handle`, once; then `poll` until it gives `None`, doing what it
//! says; then `deadline` into the one timer; then the events to the app, with nothing borrowed while a listener runs. `examples/two_clients.rs`
//! drives two of them in virtual time.
//!
//! ```text
//! app ── commands ──▶ ┌────────────────────────────┐
//!                     │ account ── connection       │ ──▶ poll: send, connect, media tasks, events
//! world ── handle ──▶ │ sessions (one a call)       │ ──▶ deadline
//!                     │ core: transactions, timers  │
//!                     └────────────────────────────┘
//! ```

mod account;
pub mod call;
mod connection;
mod core;
mod io;
mod messages;
mod session;
mod timers;

pub use io::{
    Change, Config, Connection as ConnectionState, Event, Ice, IceServer, IceState, Input, Login, MediaError, Output, PeerId,
    Session, Task, TaskId, TaskKind, TaskResult,
};

/// What a trace of the signalling may show.
pub use offhook_sip::redacted;

use std::borrow::Cow;
use std::time::Duration;

use offhook_ua::time::Instant;

use self::account::{Account, Phase, Verdict};
use self::call::{CallId, CallInfo, Destination, Domain, EndCause, Error, State, check_headers};
use self::connection::Connection;
use self::core::{Asked, Core, Owner};
use self::session::Session as Call;
use self::timers::Timer;

/// How late a timer comes where the page, or the whole machine, has slept, ms.
const SLEPT: Duration = Duration::from_secs(3);
/// How long a page that went into the browser's cache waits with its connection: until then it sleeps.
const CACHED: Duration = Duration::from_secs(1);

/// The client.
///
/// ```
/// use offhook::client::call::{Destination, State};
/// use offhook::client::{Client, Config, Event, Input, Login, Output, TaskKind};
/// use offhook_sip::{StatusCode, parse, reply};
/// use offhook_ua::time::Instant;
///
/// let config = Config { servers: vec!["wss://a.test/sip".into()], domain: "a.test".into(), ..Config::default() };
/// let mut client = Client::new(config, [7; 32]); // A real seed comes from the operating system.
/// let now = Instant::from_millis(1_700_000_000_000);
/// client.start(now, Login::Password { user: "alice".into(), password: "wonderland".into() })?;
/// let outputs: Vec<Output> = std::iter::from_fn(|| client.poll()).collect();
/// assert!(outputs.iter().any(|output| matches!(output, Output::Connect { url } if url == "wss://a.test/sip")));
///
/// // The WebSocket is open, the client registers, and the server accepts that without a challenge.
/// client.handle(now, Input::Opened);
/// let register = std::iter::from_fn(|| client.poll())
///     .find_map(|output| if let Output::Send(text) = output { Some(text).filter(|text| text.starts_with("REGISTER ")) } else { None })
///     .expect("the REGISTER is to be sent");
/// let ok = reply(&parse(register.as_bytes()).unwrap(), StatusCode::OK, Some("1")).end();
/// client.handle(now, Input::Received(ok));
/// let outputs: Vec<Output> = std::iter::from_fn(|| client.poll()).collect();
/// assert!(outputs.iter().any(|output| matches!(output, Output::Event(Event::Started(_)))));
///
/// // A call begins with an offer of the browser.
/// let call = client.call(now, Destination::User("bob".into()), Vec::new())?;
/// assert_eq!((call.to_id.as_str(), call.state), ("bob", State::Initiating));
/// let outputs: Vec<Output> = std::iter::from_fn(|| client.poll()).collect();
/// assert!(outputs.iter().any(|output| matches!(output, Output::Task(task) if matches!(task.kind, TaskKind::Offer { .. }))));
/// assert!(client.deadline().is_some(), "a timer limits the wait for an answer");
///
/// let error = client.call(now, Destination::Phone("0701234567".into()), Vec::new()).unwrap_err();
/// assert_eq!((error.domain(), error.code()), (5, 6003), "numbers begin with a plus");
/// # Ok::<(), offhook::client::call::Error>(())
/// ```
pub struct Client {
    core: Core,
    connection: Connection,
    account: Account,
    calls: Vec<Call>,
    next_call: u32,
}

impl Client {
    /// A client that is not started. `seed` must be unpredictable: tags, branches and Call-IDs come from it.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut core = Core::new(config, seed);
        let account = Account::new(&mut core);
        Self { core, connection: Connection::new(), account, calls: Vec::new(), next_call: 0 }
    }

    /// Signs in. [`Event::Started`] or [`Event::StartFailed`] tells what came of it.
    ///
    /// # Errors
    /// Where it was started before, the login is malformed, or no server is named.
    pub fn start(&mut self, now: Instant, login: Login) -> Result<(), Error> {
        match self.account.phase {
            Phase::Starting | Phase::Ready => return Err(Error::Unexpected("Sinch client already started")),
            Phase::Idle | Phase::Over => {}
        }
        if self.core.config.servers.is_empty() {
            return Err(Error::argument("No server is named"));
        }
        self.account.start(&mut self.core, now, login)?;
        self.core.event(Event::Connection(ConnectionState::Connecting));
        self.connection.open(&mut self.core, now);
        Ok(())
    }

    /// Shows another ticket, token or password of the same user to the server, over the connection that is there or is being made. Nothing
    /// else changes. [`Event::TokenUpdated`] tells what came of it.
    ///
    /// # Errors
    /// Where the client is not started, or the login is malformed or another user's.
    pub fn update_token(&mut self, now: Instant, login: Login) -> Result<(), Error> {
        self.account.update(&mut self.core, now, login)?;
        // What is under way shows the old one: its answer is none to this.
        self.forget(&|owner| owner == Owner::Account);
        if self.connection.is_open() {
            self.account.register(&mut self.core, now);
        }
        self.settle(now);
        Ok(())
    }

    /// Ends all calls, takes the registration away and closes the connection.
    pub fn terminate(&mut self, now: Instant) {
        for call in &mut self.calls {
            call.hang_up(&mut self.core, now);
        }
        if matches!(self.account.phase, Phase::Idle | Phase::Over) {
            return;
        }
        self.account.phase = Phase::Over;
        if self.connection.is_open() && self.core.signed_in {
            self.account.register(&mut self.core, now);
        }
        self.settle(now);
        // Whoever starts again must not hear that nobody answered the last goodbye.
        self.forget(&|owner| matches!(owner, Owner::Account | Owner::Connection));
        self.core.signed_in = false;
        self.account.forget_token(&mut self.core);
        self.account.disconnected(&mut self.core);
        self.connection.close(&mut self.core);
        self.core.push(Output::Disconnect);
        self.core.event(Event::Connection(ConnectionState::Closed));
    }

    /// The page goes away: ends what is up or was called. What rings here goes on ringing: at other devices, or here after a reload.
    /// With `cached` it may come back as it is, so the connection is closed, which keeps no page out of the browser's cache, and opened
    /// again as soon as time goes on.
    pub fn leave(&mut self, now: Instant, cached: bool) {
        for call in self.calls.iter_mut().filter(|call| !call.is_over()) {
            if call.info.outgoing || call.info.state == State::Established {
                call.hang_up(&mut self.core, now);
            }
        }
        self.settle(now);
        if cached && self.account.phase == Phase::Ready {
            self.core.push(Output::Disconnect);
            self.disconnected();
            self.connection.close(&mut self.core);
            self.core.timers.set(Timer::Reconnect, now + CACHED);
        }
    }

    /// Begins to receive calls. `Ok(true)`: [`Event::Active`] follows. `Ok(false)`: not started yet; `start` will do it.
    ///
    /// # Errors
    /// Where `Config::active` is not set.
    pub fn start_active_connection(&mut self, now: Instant) -> Result<bool, Error> {
        let open = self.connection.is_open();
        let answer = self.account.want(&mut self.core, now, true, open);
        self.settle(now);
        answer
    }

    /// No longer receives calls. `Ok(true)`: [`Event::Inactive`] follows.
    ///
    /// # Errors
    /// Where `Config::active` is not set.
    pub fn stop_active_connection(&mut self, now: Instant) -> Result<bool, Error> {
        let open = self.connection.is_open();
        let answer = self.account.want(&mut self.core, now, false, open);
        self.settle(now);
        answer
    }

    /// Calls somebody. Nothing leaves before `poll`, and no event comes before the app had time to listen.
    ///
    /// # Errors
    /// `MissingParameter` (5, 6003) for a destination or headers that cannot be sent.
    pub fn call(&mut self, now: Instant, to: Destination, headers: Vec<(String, String)>) -> Result<CallInfo, Error> {
        to.check()?;
        let wire = check_headers(&headers, to.domain())?;
        let uri = to.uri(&self.core.config.domain);
        let id = self.new_id();
        let info = CallInfo {
            id,
            call_id: self.core.random.uuid(),
            outgoing: true,
            domain: to.domain(),
            from_id: self.core.user.clone(),
            to_id: to.id().to_owned(),
            display_name: String::new(),
            headers,
            state: State::Initiating,
            end_cause: EndCause::None,
            progressing: None,
            established: None,
            ended: None,
            error: None,
            muted: false,
            video: self.core.config.video && to.domain() == Domain::Data,
        };
        let call = Call::place(&mut self.core, now, info.clone(), uri, wire);
        if matches!(self.account.phase, Phase::Idle | Phase::Over) {
            self.core.timers.set(Timer::Refuse(id), now);
        }
        self.calls.push(call);
        Ok(info)
    }

    /// Answers a call that rings here; a second answer changes nothing. `granted`: the microphone will open without a question to the user, so
    /// the caller hears of the answer at once. Otherwise the microphone comes first, and where there is none the call is declined.
    ///
    /// # Errors
    /// `InternalOther` (5, 6002) where the call is our own or over.
    pub fn answer(&mut self, now: Instant, id: CallId, granted: bool) -> Result<(), Error> {
        let (call, core) = self.living(id)?;
        if call.info.outgoing {
            return Err(Error::Misuse("Only an incoming call can be answered"));
        }
        call.answer(core, now, granted);
        self.settle(now);
        Ok(())
    }

    /// Ends a call in whatever state it is.
    ///
    /// # Errors
    /// `InternalOther` (5, 6002) where it is over already.
    pub fn hangup(&mut self, now: Instant, id: CallId) -> Result<(), Error> {
        let (call, core) = self.living(id)?;
        call.hang_up(core, now);
        self.settle(now);
        Ok(())
    }

    /// Sends silence instead of sound, or sound again.
    ///
    /// # Errors
    /// `InternalOther` (5, 6002) where the call is over.
    pub fn mute(&mut self, id: CallId, on: bool) -> Result<(), Error> {
        let (call, core) = self.living(id)?;
        call.mute(core, on);
        Ok(())
    }

    /// Sends tones; before the call is up nothing happens.
    ///
    /// # Errors
    /// `MissingParameter` (5, 6003) for anything but `0-9 # * A-D`; `InternalOther` (5, 6002) where the call is over.
    pub fn send_dtmf(&mut self, now: Instant, id: CallId, keys: &str) -> Result<(), Error> {
        if keys.is_empty() || !keys.bytes().all(|b| matches!(b.to_ascii_uppercase(), b'0'..=b'9' | b'#' | b'*' | b'A'..=b'D')) {
            return Err(Error::argument("Tones are 0-9, #, * and A-D"));
        }
        let (call, core) = self.living(id)?;
        call.send_tones(core, now, keys);
        self.settle(now);
        Ok(())
    }

    /// Takes something in that happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Opened => self.opened(now),
            Input::Received(text) => self.received(now, &text),
            Input::Closed { code, .. } => self.closed(now, code),
            Input::Timeout => self.timeout(now),
            Input::Answered { task, result } => self.answered(now, task, result),
            Input::Candidate { peer, candidate } => {
                if let Some((call, core)) = self.on_peer(peer) {
                    call.candidate(core, now, candidate);
                }
            }
            Input::Gathered { peer } => {
                if let Some((call, core)) = self.on_peer(peer) {
                    call.gathered(core, now);
                }
            }
            Input::IceState { peer, state } => {
                if let Some((call, core)) = self.on_peer(peer) {
                    call.ice_changed(core, now, state);
                }
                // What one way to the world shows, holds for the other.
                if state == IceState::Disconnected || state == IceState::Connected && !self.connection.is_open() {
                    self.connection.nudge(&mut self.core, now);
                }
            }
            Input::PeerGone { peer } => {
                if let Some((call, core)) = self.on_peer(peer) {
                    call.peer_gone(core, now);
                }
            }
            Input::RemoteTrack { peer } => {
                if let Some((call, core)) = self.on_peer(peer).filter(|(call, _)| !call.is_over()) {
                    core.changed(Change::RemoteTrack, &call.info);
                }
            }
            Input::Online => {
                self.connection.nudge(&mut self.core, now);
                self.calls.iter().for_each(|call| call.doubt_path(&mut self.core));
            }
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        if self.core.outputs.is_empty() { None } else { Some(self.core.outputs.remove(0)) }
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match (self.core.timers.next(), self.core.transactions.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// A call as it is now; `None` once it is over and its end was told.
    #[must_use]
    pub fn call_info(&self, id: CallId) -> Option<&CallInfo> {
        self.calls.iter().find(|call| call.info.id == id).map(|call| &call.info)
    }

    /// How it was set up.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.core.config
    }

    /// What a later client can sign in with.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        Account::session(&self.core)
    }

    /// Whether a call goes on.
    #[must_use]
    pub fn has_calls(&self) -> bool {
        self.calls.iter().any(|call| !call.is_over())
    }

    /// Whether nothing at all is left of any call: for tests of leaks.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.calls.is_empty()
            && self.core.tasks.is_empty()
            && self.core.pending.iter().all(|pending| !matches!(pending.owner, Owner::Call(..)))
    }

    const fn new_id(&mut self) -> CallId {
        self.next_call += 1;
        CallId(self.next_call)
    }

    fn living(&mut self, id: CallId) -> Result<(&mut Call, &mut Core), Error> {
        let call = self.calls.iter_mut().find(|call| call.info.id == id && !call.is_over());
        call.map(|call| (call, &mut self.core)).ok_or(Error::Misuse("The call has ended"))
    }

    fn on_peer(&mut self, peer: PeerId) -> Option<(&mut Call, &mut Core)> {
        let call = self.calls.iter_mut().find(|call| call.owns(peer))?;
        Some((call, &mut self.core))
    }

    fn on_call(&mut self, id: CallId) -> Option<(&mut Call, &mut Core)> {
        let call = self.calls.iter_mut().find(|call| call.info.id == id)?;
        Some((call, &mut self.core))
    }

    fn answered(&mut self, now: Instant, task: TaskId, result: TaskResult) {
        let Some(position) = self.core.tasks.iter().position(|(id, ..)| *id == task) else { return };
        let (_, id, awaited) = self.core.tasks.remove(position);
        if let Some((call, core)) = self.on_call(id) {
            call.answered(core, now, awaited, result);
        }
    }

    // The connection.

    fn opened(&mut self, now: Instant) {
        self.connection.opened(&mut self.core, now);
        self.account.register(&mut self.core, now);
    }

    fn closed(&mut self, now: Instant, code: u16) {
        if matches!(self.account.phase, Phase::Idle | Phase::Over) || self.connection.is_closed() {
            return;
        }
        self.lost(now, format!("The server cannot be reached ({code})").into());
    }

    fn disconnected(&mut self) {
        self.signed_out();
        self.account.disconnected(&mut self.core);
        // What only this connection could have answered is asked anew on the next one.
        self.forget(&|owner| matches!(owner, Owner::Account | Owner::Connection));
    }

    fn lost(&mut self, now: Instant, why: Cow<'static, str>) {
        self.disconnected();
        let in_call = self.has_calls();
        self.connection.lost(&mut self.core, now, in_call, false);
        if self.connection.is_hopeless(&self.core) {
            let verdict = self.account.unreachable(&mut self.core, now, why);
            self.judge(now, verdict);
        }
    }

    /// Tells the app once, however often it is tried in vain.
    fn signed_out(&mut self) {
        if ::core::mem::take(&mut self.core.signed_in) {
            self.core.event(Event::Connection(ConnectionState::Reconnecting));
        }
    }

    fn judge(&mut self, now: Instant, verdict: Verdict) {
        match verdict {
            Verdict::In if self.core.signed_in => {}
            Verdict::In => {
                self.core.signed_in = true;
                self.connection.serves(now);
                self.core.event(Event::Connection(ConnectionState::Connected));
                // What was under way when the connection was lost is said again: copies do no harm.
                self.core.transactions.resend(());
                self.core.forgive();
                for call in &mut self.calls {
                    call.reconnected(&mut self.core, now);
                }
            }
            Verdict::Wait => {}
            Verdict::Out => {
                self.connection.close(&mut self.core);
                self.core.push(Output::Disconnect);
                self.core.event(Event::Connection(ConnectionState::Closed));
                for call in &self.calls {
                    self.core.timers.set(Timer::Refuse(call.info.id), now);
                }
            }
            Verdict::Busy if self.connection.is_open() => {
                let in_call = self.has_calls();
                self.connection.give_up(&mut self.core, now, in_call);
                self.signed_out();
            }
            Verdict::Busy => {}
        }
    }

    // Time.

    fn timeout(&mut self, now: Instant) {
        let slept = self.core.timers.next().is_some_and(|due| now - due > SLEPT);
        self.core.transactions.handle_timeout(now);
        while let Some(timer) = self.core.timers.due(now) {
            match timer {
                Timer::Connect => {
                    self.core.push(Output::Disconnect);
                    self.lost(now, "The server did not answer in time".into());
                }
                Timer::Reconnect => self.connection.open(&mut self.core, now),
                Timer::KeepAlive => self.connection.ask(&mut self.core, now, slept),
                Timer::Silence => {
                    self.core.push(Output::Disconnect);
                    self.lost(now, "The server fell silent".into());
                }
                Timer::Refresh => self.account.register(&mut self.core, now),
                Timer::TokenWarning => self.account.warn(&mut self.core, now),
                Timer::TokenEnd => {
                    let open = self.connection.is_open();
                    self.account.token_ended(&mut self.core, now, open);
                }
                timer => {
                    if let Some((call, core)) = timer.call().and_then(|id| self.on_call(id)) {
                        call_timeout(call, core, now, timer);
                    }
                }
            }
        }
    }

    /// After everything: what the transactions say, and what is over.
    fn settle(&mut self, now: Instant) {
        for key in self.core.drain_transactions() {
            match self.core.owner(&key, true) {
                Some(Owner::Account) => {
                    let verdict = self.account.unreachable(&mut self.core, now, "The server did not answer".into());
                    self.judge(now, verdict);
                }
                Some(Owner::Call(id, asked)) => {
                    let Some((call, core)) = self.on_call(id) else { continue };
                    if asked == Asked::Invite {
                        call.invite_timed_out(core, now);
                    } else {
                        call.request_answered(core, now, asked, &key, None);
                    }
                }
                Some(Owner::Connection) | None => {}
            }
        }
        for call in &mut self.calls {
            call.release(&mut self.core);
        }
        while let Some(position) = self.calls.iter().position(|call| call.done) {
            let over = self.calls.remove(position).info.id;
            self.core.timers.stop_call(over);
            self.forget(&|owner| matches!(owner, Owner::Call(id, asked) if id == over && asked != Asked::Goodbye));
            self.core.drop_tasks(over, &|_| true);
        }
        self.core.drain_transactions();
    }

    /// Gives up waiting for the answers of some requests.
    fn forget(&mut self, which: &dyn Fn(Owner) -> bool) {
        while let Some(position) = self.core.pending.iter().position(|request| which(request.owner)) {
            let forgotten = self.core.pending.remove(position);
            self.core.transactions.abandon(&forgotten.key);
        }
    }
}

fn call_timeout(call: &mut Call, core: &mut Core, now: Instant, timer: Timer) {
    match timer {
        Timer::Refuse(_) => call.refuse(core, now),
        Timer::Progress(_) => call.no_progress(core, now),
        Timer::Answer(_) => call.no_answer(core, now),
        Timer::Again(_) => call.invite_anew(core, now),
        Timer::Repeat(_) => call.repeat(core, now),
        Timer::SessionRefresh(_) => call.refresh_session(core, now),
        Timer::SessionEnd(_) => call.session_over(core, now),
        Timer::Path(_) => call.mend_path(core, now),
        Timer::Glare(_) => call.offer_again(core),
        Timer::PathLost(_) => call.path_lost(core, now),
        Timer::Forget(_) => call.done = true,
        Timer::Connect | Timer::Reconnect | Timer::KeepAlive | Timer::Silence | Timer::Refresh => {}
        Timer::TokenWarning | Timer::TokenEnd => {}
    }
}
