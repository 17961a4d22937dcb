//! The whole client as one machine: connection, account and calls, without clock, socket or browser.
//!
//! Order of calls, the one invariant of whoever drives it: a command or `handle`, once; then `poll` until it gives `None`, doing what it
//! says; then `deadline` into the one timer; then the events to the app, with nothing borrowed while a listener runs.
//!
//! ```text
//! app ── commands ──▶ ┌───────────────────────────────┐
//!                     │ account ── connection         │ ──▶ poll: send, connect, media tasks, events
//! world ── handle ──▶ │ sessions (one a call)         │ ──▶ deadline
//!                     │ context: transactions, timers │
//!                     └───────────────────────────────┘
//! ```

mod account;
pub mod call;
mod connection;
mod context;
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
use self::context::{Asked, Context, Owner};
use self::session::Session as Call;
use self::timers::Timer;

/// How late a timer comes where the page, or the whole machine, has slept, ms.
const SLEPT: Duration = Duration::from_secs(3);
/// How long a page that went into the browser's cache waits with its connection: until then it sleeps.
const CACHED: Duration = Duration::from_secs(1);

/// The client.
pub struct Client {
    context: Context,
    connection: Connection,
    account: Account,
    calls: Vec<Call>,
    next_call: u32,
}

impl Client {
    /// A client that is not started. `seed` must be unpredictable: tags, branches and Call-IDs come from it.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut context = Context::new(config, seed);
        let account = Account::new(&mut context);
        Self { context, connection: Connection::new(), account, calls: Vec::new(), next_call: 0 }
    }

    /// Signs in. [`Event::Started`] or [`Event::StartFailed`] tells what came of it.
    ///
    /// # Errors
    /// Where it was started before, the login is malformed, or no server is named.
    pub fn start(&mut self, now: Instant, login: Login) -> Result<(), Error> {
        self.context.now = now;
        match self.account.phase {
            Phase::Starting | Phase::Ready => return Err(Error::Unexpected("Sinch client already started")),
            Phase::Idle | Phase::Over => {}
        }
        if self.context.config.servers.is_empty() {
            return Err(Error::argument("No server is named"));
        }
        self.account.start(&mut self.context, login)?;
        self.context.event(Event::Connection(ConnectionState::Connecting));
        self.connection.open(&mut self.context);
        Ok(())
    }

    /// Shows another ticket, token or password of the same user to the server, over the connection that is there or is being made. Nothing
    /// else changes. [`Event::TokenUpdated`] tells what came of it.
    ///
    /// # Errors
    /// Where the client is not started, or the login is malformed or another user's.
    pub fn update_token(&mut self, now: Instant, login: Login) -> Result<(), Error> {
        self.context.now = now;
        self.account.update(&mut self.context, login)?;
        // What is under way shows the old one: its answer is none to this.
        self.forget(|owner| owner == Owner::Account);
        if self.connection.is_open() {
            self.account.register(&mut self.context);
        }
        self.settle();
        Ok(())
    }

    /// Ends all calls, takes the registration away and closes the connection.
    pub fn terminate(&mut self, now: Instant) {
        self.context.now = now;
        for call in &mut self.calls {
            call.hang_up(&mut self.context);
        }
        if matches!(self.account.phase, Phase::Idle | Phase::Over) {
            return;
        }
        self.account.phase = Phase::Over;
        if self.connection.is_open() && self.context.signed_in {
            self.account.register(&mut self.context);
        }
        self.settle();
        // Whoever starts again must not hear that nobody answered the last goodbye.
        self.forget(|owner| matches!(owner, Owner::Account | Owner::Connection));
        self.context.signed_in = false;
        self.account.forget_token(&mut self.context);
        self.account.disconnected(&mut self.context);
        self.connection.close(&mut self.context);
        self.context.push(Output::Disconnect);
        self.context.event(Event::Connection(ConnectionState::Closed));
    }

    /// The page goes away: ends what is up or was called. What rings here goes on ringing: at other devices, or here after a reload.
    /// With `cached` it may come back as it is, so the connection is closed, which keeps no page out of the browser's cache, and opened
    /// again as soon as time goes on.
    pub fn leave(&mut self, now: Instant, cached: bool) {
        self.context.now = now;
        for call in self.calls.iter_mut().filter(|call| !call.is_over()) {
            if call.info.outgoing || call.info.state == State::Established {
                call.hang_up(&mut self.context);
            }
        }
        self.settle();
        if cached && self.account.phase == Phase::Ready {
            self.context.push(Output::Disconnect);
            self.disconnected();
            self.connection.close(&mut self.context);
            self.context.timers.set(Timer::Reconnect, self.context.now + CACHED);
        }
    }

    /// Begins to receive calls. `Ok(true)`: [`Event::Active`] follows. `Ok(false)`: not started yet; `start` will do it.
    ///
    /// # Errors
    /// Where `Config::active` is not set.
    pub fn start_active_connection(&mut self, now: Instant) -> Result<bool, Error> {
        self.context.now = now;
        let open = self.connection.is_open();
        let answer = self.account.want(&mut self.context, true, open);
        self.settle();
        answer
    }

    /// No longer receives calls. `Ok(true)`: [`Event::Inactive`] follows.
    ///
    /// # Errors
    /// Where `Config::active` is not set.
    pub fn stop_active_connection(&mut self, now: Instant) -> Result<bool, Error> {
        self.context.now = now;
        let open = self.connection.is_open();
        let answer = self.account.want(&mut self.context, false, open);
        self.settle();
        answer
    }

    /// Calls somebody. Nothing leaves before `poll`, and no event comes before the app had time to listen.
    ///
    /// # Errors
    /// `MissingParameter` (5, 6003) for a destination or headers that cannot be sent.
    pub fn call(&mut self, now: Instant, to: Destination, headers: Vec<(String, String)>) -> Result<CallInfo, Error> {
        self.context.now = now;
        to.check()?;
        let wire = check_headers(&headers, to.domain())?;
        let uri = to.uri(&self.context.config.domain);
        let id = self.new_id();
        let info = CallInfo {
            id,
            call_id: self.context.random.uuid(),
            outgoing: true,
            domain: to.domain(),
            from_id: self.context.user.clone(),
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
            video: self.context.config.video && to.domain() == Domain::Data,
        };
        let call = Call::place(&mut self.context, info.clone(), uri, wire);
        if matches!(self.account.phase, Phase::Idle | Phase::Over) {
            self.context.timers.set(Timer::Refuse(id), self.context.now);
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
        self.context.now = now;
        let (call, context) = self.living(id)?;
        if call.info.outgoing {
            return Err(Error::Misuse("Only an incoming call can be answered"));
        }
        call.answer(context, granted);
        self.settle();
        Ok(())
    }

    /// Ends a call in whatever state it is.
    ///
    /// # Errors
    /// `InternalOther` (5, 6002) where it is over already.
    pub fn hangup(&mut self, now: Instant, id: CallId) -> Result<(), Error> {
        self.context.now = now;
        let (call, context) = self.living(id)?;
        call.hang_up(context);
        self.settle();
        Ok(())
    }

    /// Sends silence instead of sound, or sound again.
    ///
    /// # Errors
    /// `InternalOther` (5, 6002) where the call is over.
    pub fn mute(&mut self, id: CallId, on: bool) -> Result<(), Error> {
        let (call, context) = self.living(id)?;
        call.mute(context, on);
        Ok(())
    }

    /// Sends tones; before the call is up nothing happens.
    ///
    /// # Errors
    /// `MissingParameter` (5, 6003) for anything but `0-9 # * A-D`; `InternalOther` (5, 6002) where the call is over.
    pub fn send_dtmf(&mut self, now: Instant, id: CallId, keys: &str) -> Result<(), Error> {
        self.context.now = now;
        if keys.is_empty() || !keys.bytes().all(|b| matches!(b.to_ascii_uppercase(), b'0'..=b'9' | b'#' | b'*' | b'A'..=b'D')) {
            return Err(Error::argument("Tones are 0-9, #, * and A-D"));
        }
        let (call, context) = self.living(id)?;
        call.send_tones(context, keys);
        self.settle();
        Ok(())
    }

    /// Takes something in that happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.context.now = now;
        match input {
            Input::Opened => self.opened(),
            Input::Received(text) => self.received(text),
            Input::Closed { code, .. } => self.closed(code),
            Input::Timeout => self.timeout(),
            Input::Answered { task, result } => self.answered(task, result),
            Input::Candidate { peer, candidate } => {
                if let Some((call, context)) = self.on_peer(peer) {
                    call.candidate(context, candidate);
                }
            }
            Input::Gathered { peer } => {
                if let Some((call, context)) = self.on_peer(peer) {
                    call.gathered(context);
                }
            }
            Input::IceState { peer, state } => {
                if let Some((call, context)) = self.on_peer(peer) {
                    call.ice_changed(context, state);
                }
                // What one way to the world shows, holds for the other.
                if state == IceState::Disconnected || state == IceState::Connected && !self.connection.is_open() {
                    self.connection.nudge(&mut self.context);
                }
            }
            Input::PeerGone { peer } => {
                if let Some((call, context)) = self.on_peer(peer) {
                    call.peer_gone(context);
                }
            }
            Input::RemoteTrack { peer } => {
                if let Some((call, context)) = self.on_peer(peer).filter(|(call, _)| !call.is_over()) {
                    context.changed(Change::RemoteTrack, &call.info);
                }
            }
            Input::Online => {
                self.connection.nudge(&mut self.context);
                self.calls.iter().for_each(|call| call.doubt_path(&mut self.context));
            }
        }
        self.settle();
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.context.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match (self.context.timers.next(), self.context.transactions.deadline()) {
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
        &self.context.config
    }

    /// What a later client can sign in with.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        Account::session(&self.context)
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
            && self.context.tasks.is_empty()
            && self.context.pending.iter().all(|pending| !matches!(pending.owner, Owner::Call(..)))
    }

    const fn new_id(&mut self) -> CallId {
        self.next_call += 1;
        CallId(self.next_call)
    }

    fn living(&mut self, id: CallId) -> Result<(&mut Call, &mut Context), Error> {
        let call = self.calls.iter_mut().find(|call| call.info.id == id && !call.is_over());
        call.map(|call| (call, &mut self.context)).ok_or(Error::Misuse("The call has ended"))
    }

    fn on_peer(&mut self, peer: PeerId) -> Option<(&mut Call, &mut Context)> {
        let call = self.calls.iter_mut().find(|call| call.owns(peer))?;
        Some((call, &mut self.context))
    }

    fn on_call(&mut self, id: CallId) -> Option<(&mut Call, &mut Context)> {
        let call = self.calls.iter_mut().find(|call| call.info.id == id)?;
        Some((call, &mut self.context))
    }

    fn answered(&mut self, task: TaskId, result: TaskResult) {
        let Some(position) = self.context.tasks.iter().position(|(id, ..)| *id == task) else { return };
        let (_, id, awaited) = self.context.tasks.remove(position);
        if let Some((call, context)) = self.on_call(id) {
            call.answered(context, awaited, result);
        }
    }

    // The connection.

    fn opened(&mut self) {
        self.connection.opened(&mut self.context);
        self.account.register(&mut self.context);
    }

    fn closed(&mut self, code: u16) {
        if matches!(self.account.phase, Phase::Idle | Phase::Over) || self.connection.is_closed() {
            return;
        }
        self.lost(format!("The server cannot be reached ({code})").into());
    }

    fn disconnected(&mut self) {
        self.signed_out();
        self.account.disconnected(&mut self.context);
        // What only this connection could have answered is asked anew on the next one.
        self.forget(|owner| matches!(owner, Owner::Account | Owner::Connection));
    }

    fn lost(&mut self, why: Cow<'static, str>) {
        self.disconnected();
        let in_call = self.has_calls();
        self.connection.lost(&mut self.context, in_call, false);
        if self.connection.is_hopeless(&self.context) {
            let verdict = self.account.unreachable(&mut self.context, why);
            self.judge(verdict);
        }
    }

    /// Tells the app once, however often it is tried in vain.
    fn signed_out(&mut self) {
        if std::mem::take(&mut self.context.signed_in) {
            self.context.event(Event::Connection(ConnectionState::Reconnecting));
        }
    }

    fn judge(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::In if self.context.signed_in => {}
            Verdict::In => {
                self.context.signed_in = true;
                self.connection.serves(self.context.now);
                self.context.event(Event::Connection(ConnectionState::Connected));
                // What was under way when the connection was lost is said again: copies do no harm.
                self.context.transactions.resend(());
                self.context.forgive();
                for call in &mut self.calls {
                    call.reconnected(&mut self.context);
                }
            }
            Verdict::Wait => {}
            Verdict::Out => {
                self.connection.close(&mut self.context);
                self.context.push(Output::Disconnect);
                self.context.event(Event::Connection(ConnectionState::Closed));
                for call in &self.calls {
                    self.context.timers.set(Timer::Refuse(call.info.id), self.context.now);
                }
            }
            Verdict::Busy if self.connection.is_open() => {
                let in_call = self.has_calls();
                self.connection.give_up(&mut self.context, in_call);
                self.signed_out();
            }
            Verdict::Busy => {}
        }
    }

    // Time.

    fn timeout(&mut self) {
        let slept = self.context.timers.next().is_some_and(|due| self.context.now - due > SLEPT);
        self.context.transactions.handle_timeout(self.context.now);
        while let Some(timer) = self.context.timers.due(self.context.now) {
            match timer {
                Timer::Connect => {
                    self.context.push(Output::Disconnect);
                    self.lost("The server did not answer in time".into());
                }
                Timer::Reconnect => self.connection.open(&mut self.context),
                Timer::KeepAlive => self.connection.ask(&mut self.context, slept),
                Timer::Silence => {
                    self.context.push(Output::Disconnect);
                    self.lost("The server fell silent".into());
                }
                Timer::Refresh => self.account.register(&mut self.context),
                Timer::TokenWarning => self.account.warn(&mut self.context),
                Timer::TokenEnd => {
                    let open = self.connection.is_open();
                    self.account.token_ended(&mut self.context, open);
                }
                timer => {
                    if let Some((call, context)) = timer.call().and_then(|id| self.on_call(id)) {
                        call_timeout(call, context, timer);
                    }
                }
            }
        }
    }

    /// After everything: what the transactions say, and what is over.
    fn settle(&mut self) {
        for key in self.context.drain_transactions() {
            match self.context.owner(&key, true) {
                Some(Owner::Account) => {
                    let verdict = self.account.unreachable(&mut self.context, "The server did not answer".into());
                    self.judge(verdict);
                }
                Some(Owner::Call(id, asked)) => {
                    let Some((call, context)) = self.on_call(id) else { continue };
                    if asked == Asked::Invite {
                        call.invite_timed_out(context);
                    } else {
                        call.request_answered(context, asked, &key, None);
                    }
                }
                Some(Owner::Connection) | None => {}
            }
        }
        for call in &mut self.calls {
            call.release(&mut self.context);
        }
        let over: Vec<CallId> = self.calls.iter().filter(|call| call.done).map(|call| call.info.id).collect();
        self.calls.retain(|call| !call.done);
        for call in over {
            self.context.timers.stop_call(call);
            self.forget(|owner| matches!(owner, Owner::Call(id, asked) if id == call && asked != Asked::Goodbye));
            self.context.drop_tasks(call, |_| true);
        }
        self.context.drain_transactions();
    }

    /// Gives up waiting for the answers of some requests.
    fn forget(&mut self, which: impl Fn(Owner) -> bool) {
        for forgotten in self.context.pending.extract_if(.., |request| which(request.owner)) {
            self.context.transactions.abandon(&forgotten.key);
        }
    }
}

fn call_timeout(call: &mut Call, context: &mut Context, timer: Timer) {
    match timer {
        Timer::Refuse(_) => call.refuse(context),
        Timer::Progress(_) => call.no_progress(context),
        Timer::Answer(_) => call.no_answer(context),
        Timer::Again(_) => call.invite_anew(context),
        Timer::Retransmit(_) => call.retransmit(context),
        Timer::SessionRefresh(_) => call.refresh_session(context),
        Timer::SessionEnd(_) => call.session_over(context),
        Timer::Path(_) => call.mend_path(context),
        Timer::Glare(_) => call.offer_again(context),
        Timer::PathLost(_) => call.path_lost(context),
        Timer::Forget(_) => call.done = true,
        Timer::Connect | Timer::Reconnect | Timer::KeepAlive | Timer::Silence | Timer::Refresh => {}
        Timer::TokenWarning | Timer::TokenEnd => {}
    }
}
