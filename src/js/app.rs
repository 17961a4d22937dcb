//! The state that the objects of one client share, and the delivery of notices to the page's listeners.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::{Rc, Weak};
use std::task::Poll;

use js_sys::{Array, Object, WeakRef};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::console;

use super::call::{Call, CallInner};
use super::call_client::CallClient;
use super::error::{misuse, object, sinch_error};
use super::fault;
use super::listeners::Listeners;
use super::message_client::MessageClient;
use super::options::Options;
use super::promise::Deferred;
use crate::client::call::{CallId, CallInfo, Error};
use crate::client::{Change, Config, ConnectionState, Event, Page};
use crate::web::{Driver, Media, Notice};

thread_local! {
    /// The clients that are started. They live although the page has dropped them, as they are to be told of calls.
    static STARTED: RefCell<Vec<Rc<App>>> = const { RefCell::new(Vec::new()) };
}

/// One client of the page.
pub struct App {
    driver: RefCell<Rc<Driver>>,
    config: Config,
    pub options: Options,
    /// Listeners of the call client.
    pub listeners: Listeners,
    /// Listeners of the client.
    pub client_listeners: Listeners,
    /// Listeners of the message client.
    pub message_listeners: Listeners,
    /// The page's logger, and that of the signalling.
    loggers: [Listeners; 2],
    started: Cell<bool>,
    /// What `terminate` does to a `start` that comes later.
    life: Cell<Life>,
    /// The user that is signed in.
    pub user: RefCell<Option<String>>,
    /// The `start` under way.
    pub starting: RefCell<Option<Deferred>>,
    /// The token updates under way.
    pub updating: RefCell<Vec<Deferred>>,
    /// The changes of the active connection under way: whether it is to be on.
    pub activating: RefCell<Vec<(bool, Deferred)>>,
    /// The other promises of which the page waits for the result, while it does.
    awaited: RefCell<Vec<Weak<RefCell<Option<Deferred>>>>>,
    pub connection: Cell<ConnectionState>,
    /// The objects of the calls that have not ended, one for each.
    calls: RefCell<Vec<(CallId, Rc<CallInner>, JsValue)>>,
    /// The call client, as long as the page has it: it holds the client.
    call_client: RefCell<Option<WeakRef>>,
    message_client: RefCell<Option<WeakRef>>,
    this: Weak<Self>,
}

impl App {
    /// Returns a client that is not started.
    pub fn new(mut options: Options, config: Config) -> Rc<Self> {
        let loggers = [options.on_log_message.take(), options.on_log_mxp_message.take()].map(|logger| {
            let list = Listeners::new("onLogMessage");
            if let Some(logger) = logger {
                // A function, and no object with handlers.
                list.list().push(logger.unchecked_ref());
            }
            list
        });
        let app = Rc::new_cyclic(|this: &Weak<Self>| Self {
            driver: RefCell::new(drive(this, &options, config.clone(), !loggers[1].is_empty())),
            config,
            this: this.clone(),
            options,
            listeners: Listeners::new("onIncomingCall"),
            client_listeners: Listeners::new("onError"),
            message_listeners: Listeners::new("onIncomingMessage"),
            loggers,
            started: Cell::new(false),
            life: Cell::new(Life::New),
            user: RefCell::default(),
            starting: RefCell::default(),
            updating: RefCell::default(),
            activating: RefCell::default(),
            awaited: RefCell::default(),
            connection: Cell::new(ConnectionState::Closed),
            calls: RefCell::default(),
            call_client: RefCell::default(),
            message_client: RefCell::default(),
        });
        fault::watch(&app);
        app
    }

    /// Returns the driver of the client.
    pub fn driver(&self) -> Rc<Driver> {
        self.driver.borrow().clone()
    }

    /// Returns what errors say of the page.
    pub const fn page(&self) -> &Page {
        &self.config.page
    }

    /// Returns the one call client object.
    pub fn call_client(self: &Rc<Self>) -> JsValue {
        known_or(&self.call_client, || CallClient::new(self.clone()).into())
    }

    /// Returns the one message client object.
    pub fn message_client(self: &Rc<Self>) -> JsValue {
        known_or(&self.message_client, || MessageClient::new(self.clone()).into())
    }

    /// Returns the object of a new call. `headers` is what the page gave.
    pub fn add_call(self: &Rc<Self>, info: Rc<CallInfo>, media: Rc<Media>, headers: JsValue) -> JsValue {
        let id = info.id;
        let inner = Rc::new(CallInner::new(self.clone(), info, media, headers));
        let object = JsValue::from(Call::new(inner.clone()));
        self.calls.borrow_mut().push((id, inner, object.clone()));
        object
    }

    /// Whether `start` was called and did not fail.
    pub fn is_started(&self) -> bool {
        self.started.get()
    }

    /// Takes note that it is started, or no longer.
    pub fn set_started(&self, on: bool) {
        if self.started.replace(on) == on {
            return;
        }
        let Some(this) = self.this.upgrade() else { return };
        if on || self.connection.get() == ConnectionState::Closed {
            self.listeners_held(on);
        }
        STARTED.with_borrow_mut(|started| {
            if on {
                started.push(this);
            } else {
                started.retain(|one| !Rc::ptr_eq(one, &this));
            }
        });
    }

    /// Begins a `start`. Returns whether it may go on: not where `terminate` has taken it back before, as a page whose ticket comes late has left
    /// the client by then.
    pub fn begin(&self) -> bool {
        let life = if self.life.get() == Life::Revoked { Life::New } else { Life::Known };
        self.life.replace(life) != Life::Revoked
    }

    /// The page prepares a `start`: it is not taken back.
    pub fn prepare(&self) {
        if self.life.get() != Life::Known {
            self.life.set(Life::New);
        }
    }

    /// A `start` has failed: it is as if it had not been called.
    pub fn not_begun(&self) {
        self.set_started(false);
        self.life.set(Life::New);
    }

    /// Ends calls, signs out, and rejects the open promises.
    pub fn terminate(self: &Rc<Self>) {
        if self.life.get() != Life::Known {
            self.life.set(Life::Revoking);
            let app = self.clone();
            spawn_local(async move {
                if app.life.get() == Life::Revoking {
                    app.life.set(Life::Revoked);
                }
            });
        }
        self.driver().terminate();
        self.set_started(false);
        self.settle_all(&misuse("The client was terminated"));
    }

    /// Returns the lists of listeners. They live as long as somebody holds them: the app while it is started, and the client's own object in the page.
    /// If the app always did, and a listener knew the client, the browser could collect neither.
    pub fn lists(&self) -> Array {
        self.all_listeners().iter().map(|listeners| listeners.list()).collect()
    }

    fn all_listeners(&self) -> [&Listeners; 5] {
        let [log, trace] = &self.loggers;
        [&self.listeners, &self.client_listeners, &self.message_listeners, log, trace]
    }

    /// Holds the listeners, or no longer.
    fn listeners_held(&self, on: bool) {
        for listeners in self.all_listeners() {
            if on { listeners.hold() } else { listeners.release() }
        }
    }

    /// Does `work` and settles the promise of `deferred` with its result. Where the client is terminated meanwhile, `work` goes no further.
    pub fn settle_with(&self, deferred: Deferred, work: impl Future<Output = Result<JsValue, JsValue>> + 'static) {
        let waiting = Rc::new(RefCell::new(Some(deferred)));
        let mut awaited = self.awaited.borrow_mut();
        awaited.retain(|one| one.strong_count() > 0);
        awaited.push(Rc::downgrade(&waiting));
        let mut work = Box::pin(work);
        spawn_local(poll_fn(move |context| {
            if waiting.borrow().is_none() {
                return Poll::Ready(());
            }
            work.as_mut().poll(context).map(|result| {
                let deferred = waiting.take();
                deferred.inspect(|deferred| deferred.settle(result));
            })
        }));
    }

    /// Rejects the open promises. Nothing is written to the console: the page itself has ended them, or a panic was written there.
    fn settle_all(&self, fault: &JsValue) {
        let start = self.starting.take();
        let changes = self.activating.take().into_iter().map(|(_, deferred)| deferred);
        let others = self.awaited.take();
        let others = others.iter().filter_map(Weak::upgrade).filter_map(|waiting| waiting.take());
        for deferred in start.into_iter().chain(self.updating.take()).chain(changes).chain(others) {
            deferred.reject(fault);
        }
    }

    /// Ends everything after a panic, which may have left the driver in any state, and tells the page, which may start again. Of a client that was
    /// not started nothing is told.
    pub fn fail(&self, error: &Error) {
        let driver = drive(&self.this, &self.options, self.config.clone(), !self.loggers[1].is_empty());
        self.driver.replace(driver).abandon();
        if !self.is_started() {
            return;
        }
        self.set_started(false);
        let fault = sinch_error(error);
        self.log_error(&fault);
        for (_, call, object) in self.calls.take() {
            call.fail(error);
            call.listeners.tell("onCallEnded", &Array::of1(&object));
            call.listeners.end();
        }
        self.settle_all(&fault);
        self.event(&Event::Connection(ConnectionState::Closed));
        self.client_listeners.tell("onError", &Array::of1(&fault));
    }

    /// Writes to the page's logger.
    pub fn log(&self, progress: &str, message: &str) {
        if !self.loggers[0].is_empty() {
            let fields = [("progress", progress.into()), ("message", message.into()), ("object", Object::new().into())];
            self.loggers[0].call(&object(&fields));
        }
    }

    /// Writes an error to the page's logger, or to the console where there is none.
    fn log_error(&self, error: &JsValue) {
        if self.loggers[0].is_empty() {
            console::error_1(error);
        } else {
            self.loggers[0].call(error);
        }
    }

    fn tell(self: &Rc<Self>, notice: &Notice) {
        match notice {
            Notice::Incoming(info, media) => self.incoming(info.clone(), media.clone()),
            Notice::Message(out, text) => {
                let arrow = if *out { '→' } else { '←' };
                self.loggers[1].call(&format!("{arrow} {text}").into());
            }
            Notice::Event(event) => self.event(event),
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Started(session) => {
                self.log("started", &session.user_id);
                self.user.replace(Some(session.user_id.clone()));
                self.start_ended(Ok(JsValue::UNDEFINED));
            }
            Event::StartFailed(error) => {
                self.not_begun();
                self.start_ended(Err(sinch_error(error)));
            }
            Event::Active(result) => self.active(true, result),
            Event::Inactive => self.active(false, &Ok(())),
            Event::TokenWillExpire(seconds) => {
                self.log("token", "will expire");
                self.client_listeners.tell("onTokenWillExpire", &Array::of1(&(*seconds).into()));
            }
            Event::TokenExpired(error) => {
                self.log("token", "expired");
                self.client_listeners.tell("onTokenExpired", &Array::of1(&sinch_error(error)));
            }
            Event::TokenUpdated(result) => {
                self.updated(&result.as_ref().map(|()| JsValue::UNDEFINED).map_err(sinch_error));
            }
            Event::Connection(connection) => {
                if *connection == ConnectionState::Closed && !self.is_started() {
                    // The last thing that it is told.
                    self.listeners_held(false);
                }
                let (before, state) = (self.connection.replace(*connection), word(*connection));
                self.log("connection", state);
                self.listeners.tell("onConnectionState", &Array::of1(&state.into()));
                if *connection == ConnectionState::Reconnecting {
                    self.listeners.tell("onReconnecting", &Array::new());
                } else if *connection == ConnectionState::Connected && before == ConnectionState::Reconnecting {
                    self.listeners.tell("onReconnected", &Array::new());
                }
            }
            Event::Incoming(_) => {}
            Event::Call { change, info } => self.changed(*change, info.clone()),
            Event::Log(line) => self.log("log", line),
        }
    }

    fn start_ended(&self, result: Result<JsValue, JsValue>) {
        let starting = self.starting.take();
        if let Some(starting) = starting {
            starting.settle(result);
        }
    }

    /// Settles all updates under way: only the last one counts.
    fn updated(&self, result: &Result<JsValue, JsValue>) {
        let updating = self.updating.take();
        for deferred in &updating {
            deferred.settle(result.clone());
        }
    }

    /// Settles all changes under way: only the last one counts.
    fn active(&self, on: bool, result: &Result<(), Error>) {
        let asked = self.activating.take();
        if asked.is_empty() {
            if let Err(error) = result {
                self.log_error(&sinch_error(error));
            }
            return;
        }
        for (wanted, deferred) in &asked {
            deferred.settle(match result {
                Err(error) if *wanted == on => Err(sinch_error(error)),
                _ => Ok(JsValue::UNDEFINED),
            });
        }
    }

    fn incoming(self: &Rc<Self>, info: Rc<CallInfo>, media: Rc<Media>) {
        if self.listeners.is_empty() {
            // The call goes on ringing at the user's other devices.
            self.log_error(&sinch_error(&Error::NoListener));
        }
        let call = self.add_call(info, media, JsValue::UNDEFINED);
        self.listeners.tell("onIncomingCall", &Array::of1(&call));
    }

    fn changed(&self, change: Change, info: Rc<CallInfo>) {
        let known = self.calls.borrow().iter().find(|(id, ..)| *id == info.id).cloned();
        let Some((id, call, object)) = known else { return };
        call.update(info);
        let (handler, about) = match change {
            Change::Progressing => ("onCallProgressing", None),
            Change::Established => ("onCallEstablished", None),
            Change::Ended => ("onCallEnded", None),
            Change::LocalStream => ("onLocalStream", Some(call.outgoing_stream().into())),
            Change::LocalTrackEnded { video } => ("onLocalTrackEnded", Some(call.outgoing_track(video).into())),
            Change::RemoteTrack => ("onRemoteTrack", Some(call.incoming_stream().into())),
            Change::ConnectionChange(state) => ("onConnectionChange", Some(state.as_str().into())),
            Change::Reconnecting => ("onReconnecting", None),
            Change::Reconnected => ("onReconnected", None),
            Change::CreditLow(seconds) => ("onCreditLow", Some(seconds.into())),
        };
        let arguments: Array = [object].into_iter().chain(about).collect();
        if change == Change::Ended {
            let mut calls = self.calls.borrow_mut();
            let position = calls.iter().position(|(other, ..)| *other == id);
            position.map(|position| calls.remove(position));
        }
        if change == Change::LocalStream && !call.is_outgoing() && call.streams_first() {
            self.listeners.tell("onMediaStream", &Array::of1(&call.outgoing_stream().into()));
        }
        call.listeners.tell(handler, &arguments);
        if change == Change::Ended {
            // Nothing follows. A listener that knows its call would keep it for good.
            call.listeners.end();
        }
    }
}

/// What `terminate` does to a `start` that comes later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    /// `start` was not called: `terminate` takes the next one back.
    New,
    /// Terminated before it was started, in this task: a `start` in the same task begins anew.
    Revoking,
    /// Terminated before it was started.
    Revoked,
    /// `start` was called: after `terminate` another begins anew.
    Known,
}

/// Returns the object of `known`, as long as the page has it, or else makes it.
fn known_or(known: &RefCell<Option<WeakRef>>, make: impl FnOnce() -> JsValue) -> JsValue {
    let object = known.borrow().as_ref().and_then(WeakRef::deref).unwrap_or_else(|| make().unchecked_into());
    known.replace(Some(WeakRef::new(&object)));
    object.into()
}

/// Returns the driver of a client of `app`.
fn drive(app: &Weak<App>, options: &Options, config: Config, traced: bool) -> Rc<Driver> {
    let app = app.clone();
    let tell = move |notice: &Notice| {
        if let Some(app) = app.upgrade() {
            app.tell(notice);
        }
    };
    Driver::new(config, options.custom_stream.clone(), traced, Box::new(tell))
}

/// Returns the name of a state, as pages know it.
pub const fn word(connection: ConnectionState) -> &'static str {
    match connection {
        ConnectionState::Connecting => "connecting",
        ConnectionState::Connected => "connected",
        ConnectionState::Reconnecting => "reconnecting",
        ConnectionState::Closed => "closed",
    }
}
