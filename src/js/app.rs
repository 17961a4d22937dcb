//! The state that the objects of one client share, and the delivery of notices to the page's listeners.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use js_sys::{Array, Object, WeakRef};
use wasm_bindgen::prelude::*;
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
    /// The page's logger, and that of the signalling.
    loggers: [Listeners; 2],
    started: Cell<bool>,
    /// What `terminate` does to a `start` that comes later.
    life: Cell<Life>,
    /// How often it was terminated.
    ends: Cell<u32>,
    /// Whether it was terminated, and not started since.
    over: Cell<bool>,
    /// The user that is signed in.
    pub user: RefCell<Option<String>>,
    /// The `start` under way.
    pub starting: RefCell<Option<Deferred>>,
    /// The token updates under way.
    pub updating: RefCell<Vec<Deferred>>,
    /// The changes of the active connection under way: whether it is to be on.
    pub activating: RefCell<Vec<(bool, Deferred)>>,
    pub connection: Cell<ConnectionState>,
    /// The objects of the calls that have not ended, one for each.
    calls: RefCell<Vec<(CallId, Rc<CallInner>, JsValue)>>,
    /// The call client, as long as the page has it: it holds the client.
    call_client: RefCell<Option<WeakRef>>,
    message_client: RefCell<Option<JsValue>>,
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
            loggers,
            started: Cell::new(false),
            life: Cell::new(Life::New),
            ends: Cell::new(0),
            over: Cell::new(false),
            user: RefCell::default(),
            starting: RefCell::default(),
            updating: RefCell::default(),
            activating: RefCell::default(),
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
        let known = self.call_client.borrow().as_ref().and_then(WeakRef::deref);
        known.map_or_else(
            || {
                let made: Object = JsValue::from(CallClient::new(self.clone())).unchecked_into();
                self.call_client.replace(Some(WeakRef::new(&made)));
                made.into()
            },
            Object::into,
        )
    }

    /// Returns the one message client object.
    pub fn message_client(&self) -> JsValue {
        self.message_client.borrow_mut().get_or_insert_with(|| MessageClient::new(self.this.clone()).into()).clone()
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
        if on {
            self.over.set(false);
            self.listeners_held(true);
        }
        STARTED.with_borrow_mut(|started| {
            if on {
                started.push(this);
            } else {
                started.retain(|one| !Rc::ptr_eq(one, &this));
            }
        });
    }

    /// Begins a `start`.
    ///
    /// # Errors
    /// Where `terminate` has taken it back before: a page whose ticket comes late has left the client by then.
    pub fn begin(&self) -> Result<(), JsValue> {
        match self.life.replace(Life::Known) {
            Life::Revoked => {
                Err(misuse("The client was terminated before it was started; to start it all the same, call start() again"))
            }
            Life::New | Life::Known => Ok(()),
        }
    }

    /// Ends calls, signs out, and rejects the open promises. Returns the listeners of the page: a client that is over holds them no longer.
    pub fn terminate(&self) -> Array {
        if self.life.get() == Life::New {
            self.life.set(Life::Revoked);
        }
        self.ends.set(self.ends.get() + 1);
        self.driver().terminate();
        self.set_started(false);
        self.settle_all(&terminated());
        self.over.set(true);
        if self.connection.get() == ConnectionState::Closed {
            self.listeners_held(false);
        }
        self.all_listeners().iter().map(|listeners| listeners.list()).collect()
    }

    fn all_listeners(&self) -> [&Listeners; 4] {
        let [log, trace] = &self.loggers;
        [&self.listeners, &self.client_listeners, log, trace]
    }

    /// Has the listeners live as long as the client, or as the object that the page has of it.
    fn listeners_held(&self, on: bool) {
        for listeners in self.all_listeners() {
            if on { listeners.hold() } else { listeners.release() }
        }
    }

    /// Returns how often it was terminated: what goes on in between asks again.
    pub fn ends(&self) -> u32 {
        self.ends.get()
    }

    /// Rejects the open promises.
    fn settle_all(&self, fault: &JsValue) {
        self.start_ended(Err(fault.clone()));
        self.updated(&Err(fault.clone()));
        for (_, deferred) in self.activating.take() {
            deferred.settle(Err(fault.clone()));
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
            call.listeners.clear();
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
                self.set_started(false);
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
                if *connection == ConnectionState::Closed && self.over.get() {
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
            call.listeners.clear();
        }
    }
}

/// What `terminate` does to a `start` that comes later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Neither was called: `terminate` takes the next `start` back.
    New,
    /// Terminated before it was started.
    Revoked,
    /// `start` was called: after `terminate` another begins anew.
    Known,
}

/// Returns the error of what was under way when the client was terminated.
pub fn terminated() -> JsValue {
    misuse("The client was terminated")
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
