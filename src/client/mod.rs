//! The whole client as one state machine: connection, account and calls, without clock, socket or browser.
//!
//! Its driver calls in this order: a command or `handle`, once; then `poll` until it gives `None`, doing what it says; then `deadline`, for the
//! one timer; then it delivers the events to the app, with nothing borrowed while a listener runs.
//! `examples/two_clients.rs` drives two of them in virtual time.
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
mod calls;
mod connection;
mod context;
mod inquiry;
mod io;
mod messages;
mod session;
mod timers;

pub use io::{
    Change, Config, Connection as ConnectionState, Event, Finding, Ice, IceServer, IceState, Input, Login, MediaError, Output,
    Page, PeerId, Session, Task, TaskId, TaskKind, TaskResult, Unnamed,
};

/// What an error says of servers that were asked over HTTP.
pub use inquiry::{Failure, INSECURE, explanation, without_query};

/// What a trace of the signalling may show.
pub use offhook_sip::redacted;

use std::time::Duration;

use offhook_ua::time::Instant;

use self::account::{Account, Phase, Verdict};
use self::call::{CallId, CallInfo, Error, State};
use self::connection::Connection;
use self::context::{Context, Owner, Purpose};
use self::inquiry::Inquiry;
use self::session::Session as Call;
use self::timers::Timer;

/// How late a timer fires where the page, or the whole computer, has slept.
const SLEPT: Duration = Duration::from_secs(3);
const NOT_STARTED: Error = Error::Unexpected("The client is not started: call `start` first, and wait until it is done");
/// When a page in the browser's back/forward cache opens its connection again: time stands still while it is in there.
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
/// let call = client.call(now, Destination::User("bob".into()), Vec::new());
/// assert_eq!((call.to_id.as_str(), call.state), ("bob", State::Initiating));
/// let outputs: Vec<Output> = std::iter::from_fn(|| client.poll()).collect();
/// assert!(outputs.iter().any(|output| matches!(output, Output::Task(task) if matches!(task.kind, TaskKind::Offer { .. }))));
/// assert!(client.deadline().is_some(), "a timer limits the wait for an answer");
///
/// // One that cannot be placed ends with an error, at the next timeout, which is now.
/// client.call(now, Destination::Phone("0701234567".into()), Vec::new());
/// assert_eq!(client.deadline(), Some(now));
/// client.handle(now, Input::Timeout);
/// let Some(Output::Event(Event::Call { info, .. })) = client.poll() else { panic!("the call has ended") };
/// assert_eq!(info.error.as_ref().map(|error| (error.domain(), error.code())), Some((5, 6003)), "numbers begin with a plus");
/// # Ok::<(), offhook::client::call::Error>(())
/// ```
pub struct Client {
    context: Context,
    connection: Connection,
    account: Account,
    calls: Vec<Call>,
    next_call: u32,
    /// Servers that are being asked what they are.
    inquiry: Option<Inquiry>,
    /// The server that nobody has named, where it is no gateway.
    missed: Option<(String, Finding)>,
    /// Of each server that a `start` has not reached, why.
    failures: Vec<(String, Failure)>,
}

impl Client {
    /// Returns a client that is not started. `seed` must be unpredictable: tags, branches and Call-IDs come from it.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut context = Context::new(config, seed);
        let account = Account::new(&mut context);
        let connection = Connection::new();
        Self { context, connection, account, calls: Vec::new(), next_call: 0, inquiry: None, missed: None, failures: Vec::new() }
    }

    /// Signs in. [`Event::Started`] or [`Event::StartFailed`] follows.
    ///
    /// # Errors
    /// Where it was started before, the login is malformed, or no server is named.
    pub fn start(&mut self, now: Instant, login: Login) -> Result<(), Error> {
        self.context.now = now;
        match self.account.phase {
            Phase::Starting | Phase::Ready => return Err(Error::Unexpected("Sinch client already started")),
            Phase::Idle | Phase::Over => {}
        }
        if self.context.config.servers.is_empty() && self.context.config.unnamed.is_none() {
            return Err(Error::argument("No server is named"));
        }
        self.account.start(&mut self.context, login)?;
        self.context.event(Event::Connection(ConnectionState::Connecting));
        self.choose_server();
        Ok(())
    }

    /// Sends another ticket, token or password of the same user to the server, over the connection that is open or being opened. Nothing else
    /// changes. [`Event::TokenUpdated`] follows.
    ///
    /// # Errors
    /// Where the client is not started, or the login is malformed or another user's.
    pub fn update_token(&mut self, now: Instant, login: Login) -> Result<(), Error> {
        self.context.now = now;
        self.account.update(&mut self.context, login)?;
        // A REGISTER under way has the old one: its response is not about the new one.
        self.forget_requests(|owner| owner == Owner::Account);
        if self.connection.is_open() {
            self.account.register(&mut self.context);
        }
        self.settle();
        Ok(())
    }

    /// Ends all calls, removes the registration and closes the connection.
    pub fn terminate(&mut self, now: Instant) {
        self.context.now = now;
        for call in self.calls.iter_mut().filter(|call| !call.is_over()) {
            call.hang_up(&mut self.context);
        }
        if matches!(self.account.phase, Phase::Idle | Phase::Over) {
            return self.settle();
        }
        self.account.phase = Phase::Over;
        self.drop_inquiry();
        if self.connection.is_open() && self.context.signed_in {
            self.account.register(&mut self.context);
        }
        self.settle();
        // After another start nothing may follow from the responses to these requests.
        self.forget_requests(|owner| matches!(owner, Owner::Account | Owner::Connection));
        self.context.signed_in = false;
        self.account.stop_timers(&mut self.context);
        self.account.disconnected(&mut self.context);
        self.connection.close(&mut self.context);
        self.context.push(Output::Disconnect);
        self.context.event(Event::Connection(ConnectionState::Closed));
    }

    /// The page goes away: ends calls that were answered or placed. Incoming calls go on ringing, at other devices or here after a reload.
    /// With `cached` the page may come back as it is: the connection, which would keep it out of the browser's back/forward cache, is closed, and
    /// opened again as soon as time goes on.
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

    /// Begins to receive calls. `Ok(true)`: [`Event::Active`] follows. `Ok(false)`: the client is not started; calls are received once it is.
    ///
    /// # Errors
    /// Where `Config::active` is not set.
    pub fn start_active_connection(&mut self, now: Instant) -> Result<bool, Error> {
        self.context.now = now;
        let open = self.connection.is_open();
        let answer = self.account.set_receiving(&mut self.context, true, open);
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
        let answer = self.account.set_receiving(&mut self.context, false, open);
        self.settle();
        answer
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.context.now = now;
        match input {
            Input::Opened => self.handle_opened(),
            Input::Received(text) => self.handle_received(text),
            Input::Closed { code, .. } => self.handle_closed(code),
            Input::Timeout => self.handle_timeout(),
            Input::Answered { task, result } => self.handle_task_result(task, result),
            Input::Candidate { peer, candidate } => {
                if let Some((call, context)) = self.call_of_peer(peer) {
                    call.local_candidate(context, candidate);
                }
            }
            Input::Gathered { peer } => {
                if let Some((call, context)) = self.call_of_peer(peer) {
                    call.candidates_gathered(context);
                }
            }
            Input::IceState { peer, state } => {
                if let Some((call, context)) = self.call_of_peer(peer) {
                    call.ice_state_changed(context, state);
                }
                // The network may have changed for the connection, too.
                if state == IceState::Disconnected || state == IceState::Connected && !self.connection.is_open() {
                    self.connection.check(&mut self.context);
                }
            }
            Input::PeerClosed { peer } => {
                if let Some((call, context)) = self.call_of_peer(peer) {
                    call.peer_closed(context);
                }
            }
            Input::RemoteTrack { peer } => {
                if let Some((call, context)) = self.call_of_peer(peer).filter(|(call, _)| !call.is_over()) {
                    context.call_changed(Change::RemoteTrack, &call.info);
                }
            }
            Input::Asked { url, finding } => self.handle_finding(&url, finding),
            Input::LocalTrackEnded { call, video } => {
                if let Ok((call, context)) = self.active_call(call) {
                    call.local_track_ended(context, video);
                }
            }
            Input::LocalStreamReplaced { call, audio, video } => {
                if let Ok((call, context)) = self.active_call(call) {
                    call.local_stream_replaced(context, audio, video);
                }
            }
            Input::DevicesChanged => self.calls.iter_mut().for_each(|call| call.devices_changed(&mut self.context)),
            Input::Online => {
                self.connection.check(&mut self.context);
                self.calls.iter().for_each(|call| call.check_media(&mut self.context));
            }
        }
        self.settle();
    }

    /// Returns the next output.
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

    /// Returns a call as it is now; `None` once it has ended and its last event was delivered.
    #[must_use]
    pub fn call_info(&self, id: CallId) -> Option<&CallInfo> {
        self.calls.iter().find(|call| call.info.id == id).map(|call| &call.info)
    }

    /// Returns its configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.context.config
    }

    /// Returns what a later client can sign in with.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        Account::session(&self.context)
    }

    /// Whether there is a call that has not ended.
    #[must_use]
    pub fn has_calls(&self) -> bool {
        self.calls.iter().any(|call| !call.is_over())
    }

    /// Whether nothing is left of any call: for tests of leaks.
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

    fn active_call(&mut self, id: CallId) -> Result<(&mut Call, &mut Context), Error> {
        let call = self.calls.iter_mut().find(|call| call.info.id == id && !call.is_over());
        call.map(|call| (call, &mut self.context)).ok_or(Error::Misuse("The call has ended"))
    }

    fn call_of_peer(&mut self, peer: PeerId) -> Option<(&mut Call, &mut Context)> {
        let call = self.calls.iter_mut().find(|call| call.owns(peer))?;
        Some((call, &mut self.context))
    }

    fn call_by_id(&mut self, id: CallId) -> Option<(&mut Call, &mut Context)> {
        let call = self.calls.iter_mut().find(|call| call.info.id == id)?;
        Some((call, &mut self.context))
    }

    fn handle_task_result(&mut self, task: TaskId, result: TaskResult) {
        let Some(position) = self.context.tasks.iter().position(|(id, ..)| *id == task) else { return };
        let (_, id, purpose) = self.context.tasks.remove(position);
        if let Some((call, context)) = self.call_by_id(id) {
            call.handle_task_result(context, purpose, result);
        }
    }

    // The connection.

    fn handle_opened(&mut self) {
        self.connection.opened(&mut self.context);
        self.account.register(&mut self.context);
    }

    fn handle_closed(&mut self, code: u16) {
        if matches!(self.account.phase, Phase::Idle | Phase::Over) || self.connection.is_closed() {
            return;
        }
        self.lost(if self.connection.is_open() {
            Failure::Closed(format!("The server closed the connection ({code})").into())
        } else {
            Failure::Unreached(format!("The server cannot be reached ({code})").into())
        });
    }

    fn disconnected(&mut self) {
        self.report_disconnected();
        self.account.disconnected(&mut self.context);
        // These requests are made anew over the next connection.
        self.forget_requests(|owner| matches!(owner, Owner::Account | Owner::Connection));
    }

    fn lost(&mut self, why: Failure) {
        let starting = self.account.phase == Phase::Starting;
        if let Some(server) = self.connection.server(&self.context).filter(|_| starting) {
            self.failures.push((server.clone(), why.clone()));
        }
        self.disconnected();
        let in_call = self.has_calls();
        self.connection.lost(&mut self.context, in_call, false);
        if !self.connection.is_hopeless(&self.context) {
            return;
        }
        if starting {
            self.explain();
        } else {
            let verdict = self.account.unreachable(&mut self.context, why.into_text());
            self.apply(verdict);
        }
    }

    /// Tells the app that the connection is lost, once, however many tries fail.
    fn report_disconnected(&mut self) {
        if std::mem::take(&mut self.context.signed_in) {
            self.context.event(Event::Connection(ConnectionState::Reconnecting));
        }
    }

    fn apply(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::SignedIn if self.context.signed_in => {}
            Verdict::SignedIn => {
                self.context.signed_in = true;
                self.connection.signed_in(self.context.now);
                self.context.event(Event::Connection(ConnectionState::Connected));
                // Retransmits what was under way when the connection was lost.
                self.context.transactions.resend(());
                self.context.allow_retries();
                for call in &mut self.calls {
                    call.reconnected(&mut self.context);
                }
            }
            Verdict::Unchanged => {}
            Verdict::StartFailed => {
                self.connection.close(&mut self.context);
                self.context.push(Output::Disconnect);
                self.context.event(Event::Connection(ConnectionState::Closed));
                for call in self.calls.iter_mut().filter(|call| !call.is_over()) {
                    call.fail_later(&mut self.context, NOT_STARTED);
                }
            }
            Verdict::Unavailable if self.connection.is_open() => {
                let in_call = self.has_calls();
                self.connection.skip_server(&mut self.context, in_call);
                self.report_disconnected();
            }
            Verdict::Unavailable => {}
        }
    }

    // Time.

    fn handle_timeout(&mut self) {
        let slept = self.context.timers.next().is_some_and(|due| self.context.now - due > SLEPT);
        self.context.transactions.handle_timeout(self.context.now);
        while let Some(timer) = self.context.timers.due(self.context.now) {
            match timer {
                Timer::Connect => {
                    self.context.push(Output::Disconnect);
                    self.lost(Failure::Unreached("The server did not answer in time".into()));
                }
                Timer::Reconnect => self.connection.open(&mut self.context),
                Timer::Inquiry => self.end_inquiry(),
                Timer::KeepAlive => self.connection.probe(&mut self.context, slept),
                Timer::KeepAliveTimeout => {
                    self.context.push(Output::Disconnect);
                    self.lost(Failure::Closed("The server fell silent".into()));
                }
                Timer::Register => self.account.register(&mut self.context),
                Timer::TokenWarning => self.account.warn_of_expiry(&mut self.context),
                Timer::TokenExpiry => {
                    let open = self.connection.is_open();
                    self.account.token_expired(&mut self.context, open);
                }
                Timer::TokenUpdate => self.account.update_timed_out(&mut self.context),
                Timer::Activation => self.account.activation_timed_out(&mut self.context),
                timer => {
                    if let Some((call, context)) = timer.call().and_then(|id| self.call_by_id(id)) {
                        call_timeout(call, context, timer);
                    }
                }
            }
        }
    }

    /// At the end of each command and input: takes the effects of the transactions, and drops calls that are over.
    fn settle(&mut self) {
        for key in self.context.drain_transactions() {
            match self.context.owner(&key, true) {
                Some(Owner::Account) => {
                    let verdict = self.account.unreachable(&mut self.context, "The server did not answer".into());
                    self.apply(verdict);
                }
                Some(Owner::Call(id, purpose)) => {
                    let Some((call, context)) = self.call_by_id(id) else { continue };
                    if purpose == Purpose::Invite {
                        call.invite_timed_out(context);
                    } else {
                        call.handle_response(context, purpose, &key, None);
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
            self.forget_requests(|owner| matches!(owner, Owner::Call(id, purpose) if id == call && purpose != Purpose::Bye));
            self.context.drop_tasks(call, |_| true);
        }
        self.context.drain_transactions();
    }

    /// Stops waiting for the responses to some requests.
    fn forget_requests(&mut self, which: impl Fn(Owner) -> bool) {
        for forgotten in self.context.pending.extract_if(.., |request| which(request.owner)) {
            self.context.transactions.abandon(&forgotten.key);
        }
    }
}

fn call_timeout(call: &mut Call, context: &mut Context, timer: Timer) {
    match timer {
        Timer::Fault(_) => call.fail(context),
        Timer::ProgressTimeout(_) => call.progress_timed_out(context),
        Timer::AnswerTimeout(_) => call.answer_timed_out(context),
        Timer::NewTransaction(_) => call.invite_in_new_transaction(context),
        Timer::Retransmit(_) => call.retransmit(context),
        Timer::SessionRefresh(_) => call.refresh_session(context),
        Timer::SessionExpiry(_) => call.session_expired(context),
        Timer::Path(_) => call.try_new_path(context),
        Timer::Glare(_) => call.retry_offer(context),
        Timer::Interruption(_) => call.path_is_still_lost(context),
        Timer::MediaTimeout(_) => call.media_timed_out(context),
        Timer::Forget(_) => call.done = true,
        Timer::Connect | Timer::Reconnect | Timer::Inquiry | Timer::KeepAlive | Timer::KeepAliveTimeout | Timer::Register => {}
        Timer::TokenWarning | Timer::TokenExpiry | Timer::TokenUpdate | Timer::Activation => {}
    }
}
