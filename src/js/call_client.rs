//! The entry point for calls.

use std::borrow::Cow;
use std::rc::Rc;

use js_sys::{Array, Function, JSON, JsString, Object, Promise};
use wasm_bindgen::prelude::*;
use web_sys::MediaStream;

use super::app::App;
use super::error::type_error;
use super::promise::Deferred;
use super::{class_of, options, text, warn};
use crate::client::call::{Destination, Error};
use crate::web::dom::items;
use crate::web::has_live;
use crate::web::microphone::{Kinds, ended};

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
    /// Calls a user. As of all methods that call, what they cannot call gives a call that ends with the error (5, 6003).
    #[wasm_bindgen(js_name = callUser, skip_typescript)]
    pub fn call_user(&self, to: JsValue, headers: JsValue, custom: JsValue) -> JsValue {
        place(self.app(), Destination::User, to, headers, custom)
    }

    /// Calls a phone, by a number in E.164, or one that is short as emergency numbers are.
    #[wasm_bindgen(js_name = callPhoneNumber, skip_typescript)]
    pub fn call_phone_number(&self, to: JsValue, headers: JsValue, custom: JsValue) -> JsValue {
        place(self.app(), Destination::Phone, to, headers, custom)
    }

    /// Calls a SIP address. Names of headers begin with `x-`.
    #[wasm_bindgen(js_name = callSip, skip_typescript)]
    pub fn call_sip(&self, to: JsValue, headers: JsValue, custom: JsValue) -> JsValue {
        place(self.app(), Destination::Sip, to, headers, custom)
    }

    /// Calls a conference room, whose name has 1 to 64 characters.
    #[wasm_bindgen(js_name = callConference, skip_typescript)]
    pub fn call_conference(&self, to: JsValue, headers: JsValue, custom: JsValue) -> JsValue {
        place(self.app(), Destination::Conference, to, headers, custom)
    }

    /// Opens the microphone before the first call, and keeps it open; or has calls send a stream of the page. Returns a promise of the stream.
    ///
    /// # Errors
    /// A `TypeError` for a custom stream that is no stream.
    #[wasm_bindgen(js_name = initStream, skip_typescript)]
    pub fn init_stream(&self, custom: JsValue, no_video: &JsValue) -> Result<Promise, JsValue> {
        let app = self.app().clone();
        let custom = options::stream(custom).map_err(type_error)?;
        let video = app.options.video && !no_video.is_truthy();
        let (promise, deferred) = Deferred::silent();
        // At once: after `terminate` nothing may be opened.
        let (driver, own) = (app.driver(), custom.is_none());
        let microphone = &driver.microphone;
        let opening = if let Some(custom) = custom {
            driver.adopt(&custom);
            if has_live(&custom) { Ok(Promise::resolve(&custom)) } else { Err(ended()) }
        } else {
            microphone.disown();
            microphone.hold(true);
            microphone.open(Kinds { audio: true, video })
        };
        app.settle_with(deferred, async move {
            let stream = match opening {
                Ok(opening) => opening.await.map(JsValue::from),
                Err(fault) => Err(fault),
            };
            if own && stream.is_err() {
                driver.microphone.hold(false);
            }
            stream
        });
        Ok(promise)
    }

    /// Adds a listener.
    #[wasm_bindgen(js_name = addEventListener, skip_typescript)]
    pub fn add_event_listener(&self, listener: JsValue) {
        self.app().prepare();
        self.app().listeners.add(listener);
    }

    /// Removes a listener.
    #[wasm_bindgen(js_name = removeEventListener, skip_typescript)]
    pub fn remove_event_listener(&self, listener: &JsValue) {
        self.app().listeners.remove(listener);
    }

    /// The stream that calls share: the page's own, or the microphone while it is open.
    #[wasm_bindgen(getter, js_name = localMediaStream, skip_typescript)]
    pub fn local_media_stream(&self) -> Option<MediaStream> {
        self.app().driver().microphone.current()
    }
}

/// Places a call. No event is delivered before the page's own code has returned. What is wrong with an argument is the error that the call ends
/// with.
pub fn place(app: &Rc<App>, kind: fn(String) -> Destination, to: JsValue, headers: JsValue, custom: JsValue) -> JsValue {
    let (driver, id) = (app.driver(), text(&to));
    let fault = wrong_name(&to, &id);
    let destination = kind(id);
    let (info, media) = match fault.map_or_else(|| read(&headers, custom), Err) {
        Ok((headers, custom)) => driver.call(custom.as_ref(), |client, now| client.call(now, destination, headers)),
        Err(fault) => driver.call(None, |client, now| client.call_in_vain(now, destination, Error::Argument(fault))),
    };
    app.add_call(info, media, headers)
}

type Headers = Vec<(String, String)>;

/// Reads the arguments of a call after the first one. What is no object counts as no headers, as in the original; neither do a `String` or a list
/// name any.
fn read(headers: &JsValue, custom: JsValue) -> Result<(Headers, Option<MediaStream>), Cow<'static, str>> {
    let custom = options::stream(custom)?;
    if custom.as_ref().is_some_and(|custom| !has_live(custom)) {
        return Err("customStream has no live track: its tracks were stopped, or it never had any".into());
    }
    if headers.is_object() && !headers.is_instance_of::<JsString>() && !headers.is_instance_of::<Array>() {
        return Ok((entries(headers.unchecked_ref())?, custom));
    }
    if headers.is_truthy() {
        warn("The headers of a call are an object, such as { topic: \"order\" }: what was passed instead is not sent");
    }
    Ok((Headers::new(), custom))
}

/// Says why a value cannot name whom to call. A string can, and what has one as its id, such as a number. Without any the call names nobody.
fn wrong_name(to: &JsValue, id: &str) -> Option<Cow<'static, str>> {
    let names = match to.as_f64() {
        Some(number) => number.is_finite(),
        None if to.is_object() => !id.starts_with("[object "),
        None => to.is_string() || to.is_bigint() || to.is_undefined() || to.is_null(),
    };
    let kind = || to.js_typeof().as_string().unwrap_or_default();
    (!names).then(|| format!("Whom to call is said by a string, such as \"alice\": this is of the type {}", kind()).into())
}

/// Returns the headers of a page: strings as they are, objects as JSON. Reading them runs code of the page where they have getters.
fn entries(headers: &Object) -> Result<Headers, Cow<'static, str>> {
    let entry = |pair: Array| {
        let (name, value) = (text(&pair.get(0)), pair.get(1));
        let value = if value.is_object() { JSON::stringify(&value).map(JsValue::from) } else { Ok(value) };
        match value {
            Ok(value) => Ok((name, text(&value))),
            Err(_) => Err(format!("The header {name} cannot be written as JSON").into()),
        }
    };
    let pairs = Object::entries_typed(headers).map_err(|_| "The headers of the call cannot be read")?;
    items(pairs.unchecked_ref()).map(entry).collect()
}
