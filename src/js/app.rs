//! What the objects of one client share, and the way of a notice to the page's listeners.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use wasm_bindgen::prelude::*;

use super::call::{Call, CallInner};
use super::call_client::CallClient;
use super::error::{misuse, sinch_error};
use super::listeners::{Listeners, call_back};
use super::options::Options;
use super::promise::Deferred;
use crate::call::{CallId, CallInfo, Error};
use crate::client::{Change, Config, ConnectionState, Event};
use crate::text::concat;
use crate::web::dom::{list0, list1, push};
use crate::web::{Driver, Media, Notice, dom};

/// One client of the page.
pub struct App {
    pub driver: Rc<Driver>,
    pub options: Options,
    /// Of the call client.
    pub listeners: Listeners,
    /// Of the client itself.
    pub client_listeners: Listeners,
    pub started: Cell<bool>,
    /// Who is signed in, once somebody is.
    pub user: RefCell<JsValue>,
    /// The `start` under way.
    pub starting: RefCell<Option<Deferred>>,
    /// The changes of the token under way.
    pub updating: RefCell<Vec<Deferred>>,
    /// The changes of the active connection under way: whether it shall be on.
    pub activating: RefCell<Vec<(bool, Deferred)>>,
    pub connection: Cell<ConnectionState>,
    /// The objects of the calls that go on, so that there is one for each.
    calls: RefCell<Vec<(CallId, Rc<CallInner>, JsValue)>>,
    call_client: RefCell<JsValue>,
}

impl App {
    /// A client that is not started.
    pub fn new(options: Options, config: Config) -> Rc<Self> {
        Rc::new_cyclic(|this: &Weak<Self>| {
            let app = this.clone();
            let tell = move |notice: &Notice| {
                if let Some(app) = app.upgrade() {
                    app.tell(notice);
                }
            };
            Self {
                driver: Driver::new(config, options.custom.clone(), options.on_message.is_function(), Box::new(tell)),
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
            }
        })
    }

    /// The one call client, as the page has it.
    pub fn call_client(self: &Rc<Self>) -> JsValue {
        let mut call_client = self.call_client.borrow_mut();
        if call_client.is_undefined() {
            *call_client = CallClient::new(self.clone()).into();
        }
        call_client.clone()
    }

    /// The object of a new call, as the page has it. `headers` is what the page gave.
    pub fn add_call(self: &Rc<Self>, info: Rc<CallInfo>, media: Rc<Media>, headers: JsValue) -> JsValue {
        let id = info.id;
        let inner = Rc::new(CallInner::new(self.clone(), info, media, headers));
        let object = JsValue::from(Call::new(inner.clone()));
        self.calls.borrow_mut().push((id, inner, object.clone()));
        object
    }

    /// Nothing holds what a terminated client leaves behind.
    pub fn forget(&self) {
        self.started.set(false);
        self.call_client.take();
        self.start_ended(Err(misuse("The client was terminated")));
        self.updated(&Err(misuse("The client was terminated")));
    }

    /// Tells the page's logger.
    pub fn log(&self, progress: &str, message: &str) {
        if self.options.on_log.is_function() {
            let object = dom::new0("Object");
            dom::set(&object, "progress", progress.into());
            dom::set(&object, "message", message.into());
            dom::set(&object, "object", dom::new0("Object"));
            call_back(&self.options.on_log, object);
        }
    }

    /// Tells the page's logger of an error, or the console where there is none.
    fn log_error(&self, error: JsValue) {
        if self.options.on_log.is_function() {
            call_back(&self.options.on_log, error);
        } else {
            dom::report(error);
        }
    }

    fn tell(self: &Rc<Self>, notice: &Notice) {
        match notice {
            Notice::Incoming(info, media) => self.incoming(info.clone(), media.clone()),
            Notice::Message(out, text) => {
                let line = concat(&[if *out { "→ " } else { "← " }, text]);
                call_back(&self.options.on_message, line.into());
            }
            Notice::Event(event) => self.event(event),
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Started(session) => {
                self.log("started", &session.user_id);
                self.user.replace(session.user_id.as_str().into());
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
                self.client_listeners.tell("onTokenWillExpire", list1((*seconds).into()));
            }
            Event::TokenExpired(error) => {
                self.log("token", "expired");
                self.client_listeners.tell("onTokenExpired", list1(sinch_error(error)));
            }
            Event::TokenUpdated(result) => {
                self.updated(&result.as_ref().map(|()| JsValue::UNDEFINED).map_err(sinch_error));
            }
            Event::Connection(connection) => {
                let (before, state) = (self.connection.replace(*connection), word(*connection));
                self.log("connection", state);
                self.listeners.tell("onConnectionState", list1(state.into()));
                if *connection == ConnectionState::Reconnecting {
                    self.listeners.tell("onReconnecting", list0());
                } else if *connection == ConnectionState::Connected && before == ConnectionState::Reconnecting {
                    self.listeners.tell("onReconnected", list0());
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

    /// One answer for all that were handed over: the last one counts.
    fn updated(&self, result: &Result<JsValue, JsValue>) {
        let updating = self.updating.take();
        for deferred in &updating {
            deferred.settle(result.clone());
        }
    }

    /// Whoever asked last is right: an earlier wish that was overtaken is answered, too.
    fn active(&self, on: bool, result: &Result<(), Error>) {
        let asked = self.activating.take();
        if asked.is_empty() {
            if let Err(error) = result {
                self.log_error(sinch_error(error));
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
            // The call rings on at the user's other devices.
            let fault = Error { domain: 5, code: 6004, message: "Nobody listens to incoming calls".to_owned(), response: None };
            self.log_error(sinch_error(&fault));
        }
        let call = self.add_call(info, media, JsValue::UNDEFINED);
        self.listeners.tell("onIncomingCall", list1(call));
    }

    fn changed(&self, change: Change, info: Rc<CallInfo>) {
        let known = self.calls.borrow().iter().find(|(id, ..)| *id == info.id).cloned();
        let Some((id, call, object)) = known else { return };
        call.update(info);
        let (handler, about) = match change {
            Change::Progressing => ("onCallProgressing", None),
            Change::Established => ("onCallEstablished", None),
            Change::Ended => ("onCallEnded", None),
            Change::LocalStream => ("onLocalStream", Some(call.outgoing_stream())),
            Change::RemoteTrack => ("onRemoteTrack", Some(call.incoming_stream())),
            Change::ConnectionChange(state) => ("onConnectionChange", Some(state.as_str().into())),
            Change::Reconnecting => ("onReconnecting", None),
            Change::Reconnected => ("onReconnected", None),
            Change::CreditLow(seconds) => ("onCreditLow", Some(seconds.into())),
        };
        let arguments = list1(object);
        if let Some(about) = about {
            push(&arguments, about);
        }
        if change == Change::Ended {
            let mut calls = self.calls.borrow_mut();
            let position = calls.iter().position(|(other, ..)| *other == id);
            position.map(|position| calls.remove(position));
        }
        if change == Change::LocalStream && !call.is_outgoing() {
            self.listeners.tell("onMediaStream", list1(call.outgoing_stream()));
        }
        call.listeners.tell(handler, arguments);
    }
}

/// The word that pages know a state by.
pub const fn word(connection: ConnectionState) -> &'static str {
    match connection {
        ConnectionState::Connecting => "connecting",
        ConnectionState::Connected => "connected",
        ConnectionState::Reconnecting => "reconnecting",
        ConnectionState::Closed => "closed",
    }
}
