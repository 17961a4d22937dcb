//! The client, as pages know it.

use std::rc::Rc;

use wasm_bindgen::prelude::*;

use super::app::{App, word};
use super::call_client::place;
use super::error::{bad_argument, misuse, sinch_error};
use super::login::stringify;
use super::options::Options;
use super::promise::Deferred;
use super::{Call, CallClient, CallDetails, login, options, text};
use crate::call::{Destination, Error, codes};
use crate::client::Client;
use crate::text::concat;
use crate::time::Instant;
use crate::web::dom::{self, call0, call2, dict, get, get_string, global, global_value, set};
use crate::web::task::{settled, spawn};

/// One user of one application.
#[wasm_bindgen(skip_typescript)]
pub struct SinchClient(Rc<App>);

#[wasm_bindgen]
impl SinchClient {
    /// A client that is not signed in.
    ///
    /// # Errors
    /// A `TypeError` for options that make no sense, an `Error` where the browser has no WebRTC.
    #[wasm_bindgen(constructor, skip_typescript)]
    pub fn new(config: &JsValue) -> Result<SinchClient, JsValue> {
        #[cfg(debug_assertions)]
        console_error_panic_hook::set_once();
        if global_value("window").is_undefined() {
            return Err(dom::error("SinchClient works in the window of a browser only"));
        }
        let (options, config) = options::read(config)?;
        if options.calling && global_value("RTCPeerConnection").is_undefined() {
            return Err(dom::error("This browser has no WebRTC, so it cannot call"));
        }
        Ok(Self(App::new(options, config)))
    }

    /// Signs in.
    #[wasm_bindgen(skip_typescript)]
    pub fn start(&self, login: JsValue, success: JsValue, fail: JsValue) -> JsValue {
        let (promise, deferred) = Deferred::new(success, fail);
        match self.sign_in(&login) {
            Ok(()) => {
                self.0.started.set(true);
                *self.0.starting.borrow_mut() = Some(deferred);
            }
            Err(fault) => deferred.settle(Err(fault)),
        }
        promise
    }

    /// Goes on with another ticket, token or password of the same user.
    #[wasm_bindgen(js_name = updateToken, skip_typescript)]
    pub fn update_token(&self, login: JsValue, success: JsValue, fail: JsValue) -> JsValue {
        let (promise, deferred) = Deferred::new(success, fail);
        let Options { application_key, application_secret, .. } = &self.0.options;
        let updated = login::read(&login::object_of(login), application_key, application_secret).and_then(|login| {
            self.0.driver.command(|client, now| client.update_token(now, login)).map_err(|error| sinch_error(&error))
        });
        match updated {
            // What follows from a command is told in a later task.
            Ok(()) => self.0.updating.borrow_mut().push(deferred),
            Err(fault) => deferred.settle(Err(fault)),
        }
        promise
    }

    /// Adds a listener.
    #[wasm_bindgen(js_name = addEventListener, skip_typescript)]
    pub fn add_event_listener(&self, listener: JsValue) {
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
        self.0.driver.terminate();
        self.0.forget();
    }

    /// The old name of [`SinchClient::terminate`].
    #[wasm_bindgen(skip_typescript)]
    pub fn stop(&self) {
        dom::report("SinchClient.stop() is deprecated: use terminate()".into());
        self.terminate();
    }

    /// Makes a user at the server. Gives a promise of a ticket for [`SinchClient::start`].
    #[wasm_bindgen(js_name = newUser, skip_typescript)]
    pub fn new_user(&self, user: JsValue, success: JsValue, fail: JsValue) -> JsValue {
        let (promise, deferred) = Deferred::new(success, fail);
        match self.request_of(&user) {
            Ok((url, body)) => spawn(async move { deferred.settle(post(url, body).await) }),
            Err(fault) => deferred.settle(Err(fault)),
        }
        promise
    }

    /// What a later client can sign in with.
    #[wasm_bindgen(js_name = getSession, skip_typescript)]
    pub fn get_session(&self) -> JsValue {
        let session = dom::new0("Object");
        if let Some(known) = self.0.driver.read(Client::session) {
            set(&session, "userId", known.user_id.as_str().into());
            set(&session, "sessionId", known.session_id.as_str().into());
            set(&session, "sessionSecret", known.session_secret.as_str().into());
        }
        session
    }

    /// The call client.
    ///
    /// # Errors
    /// `SinchError` (5, 6002) without the capability `calling`.
    #[wasm_bindgen(js_name = getCallClient, skip_typescript)]
    pub fn get_call_client(&self) -> Result<JsValue, JsValue> {
        if self.0.options.calling { Ok(self.0.call_client()) } else { Err(misuse("The capability `calling` is not set")) }
    }

    /// The call client, or `undefined`.
    #[wasm_bindgen(getter, js_name = callClient, skip_typescript)]
    pub fn call_client(&self) -> JsValue {
        self.get_call_client().unwrap_or_default()
    }

    /// The same as that of the call client.
    ///
    /// # Errors
    /// As that, and as [`SinchClient::get_call_client`].
    #[wasm_bindgen(js_name = callUser, skip_typescript)]
    pub fn call_user(&self, to: JsValue, headers: JsValue, custom: JsValue) -> Result<JsValue, JsValue> {
        self.get_call_client()?;
        place(&self.0, Destination::User, to, headers, custom)
    }

    /// Begins to receive calls. Before `start` it only says that `start` shall: then there is no promise.
    ///
    /// # Errors
    /// `SinchError` (5, 6002) without the option `supportActiveConnection`.
    #[wasm_bindgen(js_name = startActiveConnection, skip_typescript)]
    pub fn start_active_connection(&self) -> Result<JsValue, JsValue> {
        self.activate(true, Client::start_active_connection)
    }

    /// Receives calls no longer.
    ///
    /// # Errors
    /// As [`SinchClient::start_active_connection`].
    #[wasm_bindgen(js_name = stopActiveConnection, skip_typescript)]
    pub fn stop_active_connection(&self) -> Result<JsValue, JsValue> {
        self.activate(false, Client::stop_active_connection)
    }

    /// The version of this SDK.
    #[wasm_bindgen(js_name = getVersion, skip_typescript)]
    pub fn get_version(&self) -> JsValue {
        env!("CARGO_PKG_VERSION").into()
    }

    /// The name of the application.
    #[wasm_bindgen(getter, js_name = applicationKey, skip_typescript)]
    pub fn application_key(&self) -> JsValue {
        self.0.options.application_key.as_str().into()
    }

    /// The option of that name.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn capabilities(&self) -> JsValue {
        self.0.options.capabilities.clone()
    }

    /// Who is signed in: `{userId}`.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn user(&self) -> JsValue {
        dict().with("userId", self.0.user.borrow().clone()).into()
    }

    /// Whether `start` was called and did not fail.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn started(&self) -> bool {
        self.0.started.get()
    }

    /// `connecting`, `connected`, `reconnecting` or `closed`.
    #[wasm_bindgen(getter, js_name = connectionState, skip_typescript)]
    pub fn connection_state(&self) -> JsValue {
        word(self.0.connection.get()).into()
    }

    /// The class of calls.
    #[wasm_bindgen(getter, js_name = Call, skip_typescript)]
    pub fn class_of_calls() -> JsValue {
        Call::class()
    }

    /// The class of call clients.
    #[wasm_bindgen(getter, js_name = CallClient, skip_typescript)]
    pub fn class_of_call_clients() -> JsValue {
        CallClient::class()
    }

    /// The class of call details.
    #[wasm_bindgen(getter, js_name = CallDetails, skip_typescript)]
    pub fn class_of_call_details() -> JsValue {
        CallDetails::class()
    }

    fn sign_in(&self, login: &JsValue) -> Result<(), JsValue> {
        let Options { http, application_key, application_secret, .. } = &self.0.options;
        if self.0.started.get() {
            return Err(dom::error("Sinch client already started"));
        }
        if http.is_empty() {
            return Err(bad_argument("This page has no origin (is it a file?): name the server with the option `server`"));
        }
        let login = login::read(login, application_key, application_secret)?;
        self.0.driver.start(login).map_err(|error| sinch_error(&error))
    }

    /// The request that makes a user: its URL and its body.
    fn request_of(&self, user: &JsValue) -> Result<(String, JsValue), JsValue> {
        let Options { http, application_key, .. } = &self.0.options;
        if !user.is_object() {
            return Err(bad_argument("newUser(user): user is an object"));
        }
        let body = stringify(user.clone())?;
        if http.is_empty() {
            return Err(bad_argument("Name the server with the option `server`"));
        }
        Ok((concat(&[http, "/users?key=", &options::escaped(application_key)]), body.into()))
    }

    fn activate(&self, on: bool, command: fn(&mut Client, Instant) -> Result<bool, Error>) -> Result<JsValue, JsValue> {
        let answered = self.0.driver.command(command).map_err(|error| sinch_error(&error))?;
        if !answered {
            return Ok(JsValue::UNDEFINED);
        }
        // What follows from a command is told in a later task, so the promise is in time.
        let (promise, deferred) = Deferred::new(JsValue::UNDEFINED, dom::nothing());
        self.0.activating.borrow_mut().push((on, deferred));
        Ok(promise)
    }
}

/// Sends JSON and gives the JSON that comes back.
async fn post(url: String, body: JsValue) -> Result<JsValue, JsValue> {
    let headers = dict().with("Content-Type", "application/json".into());
    let init = dict().with("method", "POST".into()).with("headers", headers.into()).with("body", body);
    let unreachable = |error: JsValue| sinch_error(&Error::new(codes::CONNECTION_REFUSED, &get_string(&error, "message")));
    let answer = settled(call2(&global(), "fetch", url.into(), init.into())).await.map_err(unreachable)?;
    let json = settled(call0(&answer, "json")).await.unwrap_or_default();
    if get(&answer, "ok").is_truthy() {
        return Ok(json);
    }
    let or_status = |value: JsValue| if value.is_undefined() { get(&answer, "status") } else { value };
    let message = concat(&[&*text(&or_status(get(&json, "errorCode"))), " ", &get_string(&json, "message")]);
    let error = sinch_error(&Error::new(codes::API_CALL_FAILED, &message));
    if json.is_object() {
        set(&error, "response", json);
    }
    Err(error)
}
