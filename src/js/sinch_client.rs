//! The client, as pages know it.

use std::rc::Rc;

use js_sys::{Array, Error as JsError, Function, JSON, Object, Promise};
use offhook_ua::time::Instant;
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::console;

use super::app::{App, word};
use super::call_client::place;
use super::error::{bad_argument, misuse, sinch_error};
use super::promise::Deferred;
use super::{Call, CallClient, CallDetails, Message, MessageClient, login, options, users};
use crate::client::Client;
use crate::client::call::{Destination, Error};

/// One user of one application.
#[wasm_bindgen(skip_typescript)]
pub struct SinchClient(Rc<App>);

#[wasm_bindgen]
impl SinchClient {
    /// Returns a client that is not signed in. That this is a browser with WebRTC the entries of the package have made sure
    /// (`pkg/entry/start.js`): elsewhere the wasm does not start.
    ///
    /// # Errors
    /// A `TypeError` for options that make no sense.
    #[wasm_bindgen(constructor, skip_typescript)]
    pub fn new(config: &JsValue) -> Result<SinchClient, JsValue> {
        let (options, config) = options::read(config)?;
        Ok(Self(App::new(options, config)))
    }

    /// What the object in the page has to hold: `pkg/entry/classes.js` has it do so, and hides this method.
    #[wasm_bindgen(js_name = __lists, skip_typescript)]
    pub fn lists(&self) -> Array {
        self.0.lists()
    }

    /// Signs in.
    #[wasm_bindgen(skip_typescript)]
    pub fn start(&self, login: JsValue, success: JsValue, fail: JsValue) -> Promise {
        let (promise, deferred) = Deferred::new(success, fail);
        if !self.0.begin() {
            deferred
                .reject(&misuse("The client was terminated before it was started; to start it all the same, call start() again"));
            return promise;
        }
        match self.sign_in(login) {
            Ok(()) => *self.0.starting.borrow_mut() = Some(deferred),
            Err(fault) => deferred.settle(Err(fault)),
        }
        promise
    }

    /// Sends another ticket, token or password of the same user to the server.
    #[wasm_bindgen(js_name = updateToken, skip_typescript)]
    pub fn update_token(&self, login: JsValue, success: JsValue, fail: JsValue) -> Promise {
        let (promise, deferred) = Deferred::new(success, fail);
        let options = &self.0.options;
        let login = login::read(&login::object_of(login), &options.application_key, options.application_secret.as_deref());
        let updated = login.and_then(|login| {
            let update = |client: &mut Client, now| client.update_token(now, login);
            self.0.driver().command(update).map_err(|error| sinch_error(&error))
        });
        match updated {
            // Events that follow from a command are delivered in a later task.
            Ok(()) => self.0.updating.borrow_mut().push(deferred),
            Err(fault) => deferred.settle(Err(fault)),
        }
        promise
    }

    /// Adds a listener.
    #[wasm_bindgen(js_name = addEventListener, skip_typescript)]
    pub fn add_event_listener(&self, listener: JsValue) {
        self.0.prepare();
        self.0.client_listeners.add(listener);
    }

    /// Removes a listener.
    #[wasm_bindgen(js_name = removeEventListener, skip_typescript)]
    pub fn remove_event_listener(&self, listener: &JsValue) {
        self.0.client_listeners.remove(listener);
    }

    /// Ends calls and signs out.
    #[wasm_bindgen(skip_typescript)]
    pub fn terminate(&self) {
        self.0.terminate();
    }

    /// The old name of [`SinchClient::terminate`].
    #[wasm_bindgen(skip_typescript)]
    pub fn stop(&self) {
        console::warn_1(&"SinchClient.stop() is deprecated: use terminate()".into());
        self.terminate();
    }

    /// Creates a user at the server. Returns a promise of a ticket for [`SinchClient::start`].
    #[wasm_bindgen(js_name = newUser, skip_typescript)]
    pub fn new_user(&self, user: JsValue, success: JsValue, fail: JsValue) -> Promise {
        let (promise, deferred) = Deferred::new(success, fail);
        let user = if user.is_object() { JSON::stringify(&user) } else { Err(bad_argument("newUser(user): user is an object")) };
        self.0.prepare();
        let app = self.0.clone();
        match user {
            Ok(user) => self.0.settle_with(deferred, async move { users::create(&app, user.into()).await }),
            Err(fault) => deferred.settle(Err(fault)),
        }
        promise
    }

    /// What a later client can sign in with.
    #[wasm_bindgen(js_name = getSession, skip_typescript)]
    pub fn get_session(&self) -> Result<JsValue, JsValue> {
        let session = self.0.driver().read(Client::session);
        let session = session.as_ref().map(|session| SessionFields {
            user_id: &session.user_id,
            session_id: &session.session_id,
            session_secret: &session.session_secret,
        });
        Ok(session.map_or(Ok(Object::new().into()), |session| serde_wasm_bindgen::to_value(&session))?)
    }

    /// The call client.
    ///
    /// # Errors
    /// `SinchError` (5, 6002) without the capability `calling`.
    #[wasm_bindgen(js_name = getCallClient, skip_typescript)]
    pub fn get_call_client(&self) -> Result<JsValue, JsValue> {
        self.0.prepare();
        if self.0.options.calling { Ok(self.0.call_client()) } else { Err(misuse("The capability `calling` is not set")) }
    }

    /// The call client, or `undefined`.
    #[wasm_bindgen(getter, js_name = callClient, skip_typescript)]
    pub fn call_client(&self) -> JsValue {
        self.get_call_client().unwrap_or_default()
    }

    /// The message client.
    ///
    /// # Errors
    /// `SinchError` (5, 6002) without the capability `messaging`.
    #[wasm_bindgen(js_name = getMessageClient, skip_typescript)]
    pub fn get_message_client(&self) -> Result<JsValue, JsValue> {
        if self.0.options.messaging { Ok(self.0.message_client()) } else { Err(misuse("The capability `messaging` is not set")) }
    }

    /// The message client, or `undefined`.
    #[wasm_bindgen(getter, js_name = messageClient, skip_typescript)]
    pub fn message_client(&self) -> JsValue {
        self.get_message_client().unwrap_or_default()
    }

    /// The same as that of the call client.
    ///
    /// # Errors
    /// As [`SinchClient::get_call_client`].
    #[wasm_bindgen(js_name = callUser, skip_typescript)]
    pub fn call_user(&self, to: JsValue, headers: JsValue, custom: JsValue) -> Result<JsValue, JsValue> {
        self.get_call_client()?;
        Ok(place(&self.0, Destination::User, to, headers, custom))
    }

    /// Begins to receive calls. Before `start` it has `start` do so, and returns no promise.
    ///
    /// # Errors
    /// `SinchError` (5, 6002) without the option `supportActiveConnection`.
    #[wasm_bindgen(js_name = startActiveConnection, skip_typescript)]
    pub fn start_active_connection(&self) -> Result<Option<Promise>, JsValue> {
        self.0.prepare();
        self.activate(true, Client::start_active_connection)
    }

    /// Stops receiving calls.
    ///
    /// # Errors
    /// As [`SinchClient::start_active_connection`].
    #[wasm_bindgen(js_name = stopActiveConnection, skip_typescript)]
    pub fn stop_active_connection(&self) -> Result<Option<Promise>, JsValue> {
        self.activate(false, Client::stop_active_connection)
    }

    /// The version of this SDK.
    #[wasm_bindgen(js_name = getVersion, skip_typescript)]
    pub fn get_version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// The name of the application.
    #[wasm_bindgen(getter, js_name = applicationKey, skip_typescript)]
    pub fn application_key(&self) -> String {
        self.0.options.application_key.clone()
    }

    /// The option of that name.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn capabilities(&self) -> JsValue {
        self.0.options.capabilities.clone()
    }

    /// The user that is signed in: `{userId}`.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn user(&self) -> Result<JsValue, JsValue> {
        Ok(serde_wasm_bindgen::to_value(&User { user_id: self.0.user.borrow().as_deref() })?)
    }

    /// Whether `start` was called and did not fail.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn started(&self) -> bool {
        self.0.is_started()
    }

    /// `connecting`, `connected`, `reconnecting` or `closed`.
    #[wasm_bindgen(getter, js_name = connectionState, skip_typescript)]
    pub fn connection_state(&self) -> String {
        word(self.0.connection.get()).to_owned()
    }

    /// The class of calls.
    #[wasm_bindgen(getter, js_name = Call, skip_typescript)]
    pub fn class_of_calls() -> Function {
        Call::class()
    }

    /// The class of call clients.
    #[wasm_bindgen(getter, js_name = CallClient, skip_typescript)]
    pub fn class_of_call_clients() -> Function {
        CallClient::class()
    }

    /// The class of call details.
    #[wasm_bindgen(getter, js_name = CallDetails, skip_typescript)]
    pub fn class_of_call_details() -> Function {
        CallDetails::class()
    }

    /// The class of messages.
    #[wasm_bindgen(getter, js_name = Message, skip_typescript)]
    pub fn class_of_messages() -> Function {
        Message::class()
    }

    /// The class of message clients.
    #[wasm_bindgen(getter, js_name = MessageClient, skip_typescript)]
    pub fn class_of_message_clients() -> Function {
        MessageClient::class()
    }

    fn sign_in(&self, login: JsValue) -> Result<(), JsValue> {
        if self.0.is_started() {
            return Err(JsError::new("Sinch client already started").into());
        }
        self.begin(login).inspect_err(|_| self.0.not_begun())
    }

    fn begin(&self, login: JsValue) -> Result<(), JsValue> {
        let options = &self.0.options;
        if options.server.is_none() && options.unnamed.is_none() {
            return Err(bad_argument("This page has no origin (is it a file?): name the server with the option `server`"));
        }
        let login = login::read(&login, &options.application_key, options.application_secret.as_deref())?;
        // Before anything can panic, so that the promise is rejected then.
        self.0.set_started(true);
        self.0.driver().start(login).map_err(|error| sinch_error(&error))
    }

    fn activate(&self, on: bool, command: fn(&mut Client, Instant) -> Result<bool, Error>) -> Result<Option<Promise>, JsValue> {
        let answered = self.0.driver().command(command).map_err(|error| sinch_error(&error))?;
        if !answered {
            return Ok(None);
        }
        // Events that follow from a command are delivered in a later task, so the promise is in time.
        let (promise, deferred) = Deferred::silent();
        self.0.activating.borrow_mut().push((on, deferred));
        Ok(Some(promise))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionFields<'a> {
    user_id: &'a str,
    session_id: &'a str,
    session_secret: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    user_id: Option<&'a str>,
}
