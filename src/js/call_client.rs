//! The entry point for calls.

use std::rc::Rc;

use js_sys::{Array, Function, JSON, Object, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::MediaStream;

use super::app::App;
use super::error::{bad_argument, sinch_error};
use super::promise::Deferred;
use super::{class_of, options, text};
use crate::client::call::Destination;
use crate::web::dom::items;
use crate::web::microphone::Kinds;

/// Places calls, and has the listeners for incoming ones.
#[wasm_bindgen(skip_typescript)]
pub struct CallClient(Option<Rc<App>>);

impl CallClient {
    /// The call client of `app`.
    pub(super) const fn new(app: Rc<App>) -> Self {
        Self(Some(app))
    }

    /// The class.
    pub(super) fn class() -> Function {
        class_of(&Self(None).into())
    }

    fn app(&self) -> &Rc<App> {
        self.0.as_ref().expect("only `class` makes a call client of nothing, and nobody gets it")
    }
}

#[wasm_bindgen]
impl CallClient {
    /// Calls a user.
    ///
    /// # Errors
    /// `SinchError` for an id that no user can have, or for headers that cannot be sent.
    #[wasm_bindgen(js_name = callUser, skip_typescript)]
    pub fn call_user(&self, to: JsValue, headers: JsValue, custom: JsValue) -> Result<JsValue, JsValue> {
        place(self.app(), Destination::User, to, headers, custom)
    }

    /// Calls a phone.
    ///
    /// # Errors
    /// `SinchError` for a number that is neither E.164 nor short as emergency numbers are.
    #[wasm_bindgen(js_name = callPhoneNumber, skip_typescript)]
    pub fn call_phone_number(&self, to: JsValue, headers: JsValue, custom: JsValue) -> Result<JsValue, JsValue> {
        place(self.app(), Destination::Phone, to, headers, custom)
    }

    /// Calls a SIP address.
    ///
    /// # Errors
    /// `SinchError` for an invalid address, and for headers without `x-`.
    #[wasm_bindgen(js_name = callSip, skip_typescript)]
    pub fn call_sip(&self, to: JsValue, headers: JsValue, custom: JsValue) -> Result<JsValue, JsValue> {
        place(self.app(), Destination::Sip, to, headers, custom)
    }

    /// Calls a conference room.
    ///
    /// # Errors
    /// `SinchError` (5, 6003) for a name that is empty or longer than 64 characters.
    #[wasm_bindgen(js_name = callConference, skip_typescript)]
    pub fn call_conference(&self, to: JsValue, headers: JsValue, custom: JsValue) -> Result<JsValue, JsValue> {
        place(self.app(), Destination::Conference, to, headers, custom)
    }

    /// Opens the microphone before the first call, and keeps it open. Returns a promise of the stream.
    ///
    /// # Errors
    /// A `TypeError` for a custom stream that is no stream.
    #[wasm_bindgen(js_name = initStream, skip_typescript)]
    pub fn init_stream(&self, custom: JsValue, no_video: &JsValue) -> Result<Promise, JsValue> {
        let app = self.app().clone();
        let custom = options::stream(custom)?;
        let video = app.options.video && !no_video.is_truthy();
        let (promise, deferred) = Deferred::silent();
        spawn_local(async move {
            let driver = app.driver();
            let microphone = &driver.microphone;
            microphone.hold(true);
            if let Some(custom) = custom {
                driver.adopt(&custom);
            }
            let stream = match microphone.open(Kinds { audio: true, video }) {
                Ok(opening) => opening.await.map(JsValue::from),
                Err(fault) => Err(fault),
            };
            if stream.is_err() {
                microphone.hold(false);
            }
            deferred.settle(stream);
        });
        Ok(promise)
    }

    /// Adds a listener.
    #[wasm_bindgen(js_name = addEventListener, skip_typescript)]
    pub fn add_event_listener(&self, listener: JsValue) {
        self.app().listeners.add(listener);
    }

    /// Removes a listener.
    #[wasm_bindgen(js_name = removeEventListener, skip_typescript)]
    pub fn remove_event_listener(&self, listener: &JsValue) {
        self.app().listeners.remove(listener);
    }

    /// The microphone stream that calls share, while it is open.
    #[wasm_bindgen(getter, js_name = localMediaStream, skip_typescript)]
    pub fn local_media_stream(&self) -> Option<MediaStream> {
        self.app().driver().microphone.current()
    }
}

/// Places a call. No event is delivered before the page's own code has returned.
pub fn place(
    app: &Rc<App>,
    kind: fn(String) -> Destination,
    to: JsValue,
    headers: JsValue,
    custom: JsValue,
) -> Result<JsValue, JsValue> {
    let custom = options::stream(custom)?;
    let headers = object(headers)?;
    let entries = headers.as_ref().map(entries).transpose()?.unwrap_or_default();
    let (info, media) = app.driver().call(kind(text(&to)), entries, custom.as_ref()).map_err(|error| sinch_error(&error))?;
    Ok(app.add_call(info, media, headers))
}

fn object(headers: JsValue) -> Result<Option<Object>, JsValue> {
    match headers {
        headers if headers.is_undefined() || headers.is_null() => Ok(None),
        headers if headers.is_object() => Ok(Some(headers.unchecked_into())),
        _ => Err(bad_argument("headers is an object")),
    }
}

/// Returns the headers of a page: strings as they are, objects as JSON.
fn entries(headers: &Object) -> Result<Vec<(String, String)>, JsValue> {
    let entry = |pair: Array| {
        let value = pair.get(1);
        let value = if value.is_object() { JSON::stringify(&value)?.into() } else { text(&value) };
        Ok((text(&pair.get(0)), value))
    };
    items(&Object::entries(headers)).map(entry).collect()
}
