//! The state that the objects of one client share, and the delivery of notices to the page's listeners.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use js_sys::{Array, Object};
use wasm_bindgen::prelude::*;
use web_sys::console;

use super::call::{Call, CallInner};
use super::call_client::CallClient;
use super::error::{misuse, object, sinch_error};
use super::fault;
use super::listeners::{Listeners, call_back};
use super::options::Options;
use super::promise::Deferred;
use crate::client::call::{CallId, CallInfo, Error};
use crate::client::{Change, Config, ConnectionState, Event};
use crate::web::{Driver, Media, Notice};

/// One client of the page.
pub struct App {
    driver: RefCell<Rc<Driver>>,
    config: Config,
    pub options: Options,
    /// Listeners of the call client.
    pub listeners: Listeners,
    /// Listeners of the client.
    pub client_listeners: Listeners,
    pub started: Cell<bool>,
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
    call_client: RefCell<Option<JsValue>>,
    this: Weak<Self>,
}

impl App {
    /// Returns a client that is not started.
    pub fn new(options: Options, config: Config) -> Rc<Self> {
        let app = Rc::new_cyclic(|this: &Weak<Self>| Self {
            driver: RefCell::new(drive(this, &options, config.clone())),
            config,
            this: this.clone(),
            options,
            listeners: Listeners::default(),
            client_listeners: Listeners::default(),
            started: Cell::new(false),
            user: RefCell::default(),
            starting: RefCell::default(),
            updating: RefCell::default(),
            activating: RefCell::default(),
            connection: Cell::new(ConnectionState::Closed),
            calls: RefCell::default(),
            call_client: RefCell::default(),
        });
        fault::watch(&app);
        app
    }

    /// Returns the driver of the client.
    pub fn driver(&self) -> Rc<Driver> {
        self.driver.borrow().clone()
    }

    /// Returns the one call client object.
    pub fn call_client(self: &Rc<Self>) -> JsValue {
        self.call_client.borrow_mut().get_or_insert_with(|| CallClient::new(self.clone()).into()).clone()
    }

    /// Returns the object of a new call. `headers` is what the page gave.
    pub fn add_call(self: &Rc<Self>, info: Rc<CallInfo>, media: Rc<Media>, headers: Option<Object>) -> JsValue {
        let id = info.id;
        let inner = Rc::new(CallInner::new(self.clone(), info, media, headers));
        let object = JsValue::from(Call::new(inner.clone()));
        self.calls.borrow_mut().push((id, inner, object.clone()));
        object
    }

    /// Drops the state of a terminated client, and rejects its open promises.
    pub fn forget(&self) {
        self.started.set(false);
        self.call_client.take();
        self.start_ended(Err(misuse("The client was terminated")));
        self.updated(&Err(misuse("The client was terminated")));
    }

    /// Ends everything after a panic, which may have left the driver in any state, and tells the page, which may start again. Of a client that was
    /// not started nothing is told.
    pub fn fail(&self, error: &Error) {
        self.driver.replace(drive(&self.this, &self.options, self.config.clone())).abandon();
        if !self.started.replace(false) {
            return;
        }
        let fault = sinch_error(error);
        self.log_error(&fault);
        for (_, call, object) in self.calls.take() {
            call.fail(error);
            call.listeners.tell("onCallEnded", &Array::of1(&object));
        }
        self.start_ended(Err(fault.clone()));
        self.updated(&Err(fault.clone()));
        for (_, deferred) in self.activating.take() {
            deferred.settle(Err(fault.clone()));
        }
        self.event(&Event::Connection(ConnectionState::Closed));
        self.client_listeners.tell("onError", &Array::of1(&fault));
    }

    /// Writes to the page's logger.
    pub fn log(&self, progress: &str, message: &str) {
        if let Some(logger) = &self.options.on_log_message {
            let fields = [("progress", progress.into()), ("message", message.into()), ("object", Object::new().into())];
            call_back(logger, &object(&fields));
        }
    }

    /// Writes an error to the page's logger, or to the console where there is none.
    fn log_error(&self, error: &JsValue) {
        match &self.options.on_log_message {
            Some(logger) => call_back(logger, error),
            None => console::error_1(error),
        }
    }

    fn tell(self: &Rc<Self>, notice: &Notice) {
        match notice {
            Notice::Incoming(info, media) => self.incoming(info.clone(), media.clone()),
            Notice::Message(out, text) => {
                if let Some(logger) = &self.options.on_log_mxp_message {
                    let arrow = if *out { '→' } else { '←' };
                    call_back(logger, &format!("{arrow} {text}").into());
                }
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
                self.started.set(false);
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
        let call = self.add_call(info, media, None);
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
        if change == Change::LocalStream && !call.is_outgoing() {
            self.listeners.tell("onMediaStream", &Array::of1(&call.outgoing_stream().into()));
        }
        call.listeners.tell(handler, &arguments);
    }
}

/// Returns the driver of a client of `app`.
fn drive(app: &Weak<App>, options: &Options, config: Config) -> Rc<Driver> {
    let app = app.clone();
    let tell = move |notice: &Notice| {
        if let Some(app) = app.upgrade() {
            app.tell(notice);
        }
    };
    Driver::new(config, options.custom_stream.clone(), options.on_log_mxp_message.is_some(), Box::new(tell))
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
