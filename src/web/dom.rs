//! Clock, randomness, errors and promises of the page.

use js_sys::{Array, Error, Function, JsString, Promise, Reflect};
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use wasm_bindgen::convert::FromWasmAbi;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{MediaStream, Window};

use super::bindings::{Global, TextEncoder};
use crate::client::MediaError;

/// The window of the page.
///
/// # Panics
/// Where there is none: the wasm starts in a window only.
#[must_use]
pub fn window() -> Window {
    js_sys::global().unchecked_into::<Global>().window().expect("the wasm starts in a window only")
}

/// Returns the time now, by the monotonic clock.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds since 1970 fit in 53 bits")]
pub fn now() -> Instant {
    let performance = window().performance().expect("every browser has it");
    Instant::from_millis((performance.time_origin() + performance.now()) as u64)
}

/// Returns 32 unpredictable bytes.
#[must_use]
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    let crypto = window().crypto().expect("every browser has it");
    crypto.get_random_values_with_u8_array(&mut seed).expect("32 bytes are few");
    seed
}

/// A version 4 UUID.
#[must_use]
pub fn uuid() -> String {
    Random::new(seed()).uuid()
}

/// Returns the text as UTF-8, by the browser's encoder: wasm-bindgen copies character by character, which takes ten times as long for a SIP
/// message.
#[must_use]
pub fn utf8(text: &JsString) -> String {
    String::from_utf8(TextEncoder::new().encode(text).to_vec()).expect("TextEncoder writes UTF-8")
}

/// An error of that name.
#[must_use]
pub fn named_error(name: &str, message: &str) -> JsValue {
    let error = Error::new(message);
    error.set_name(name);
    error.into()
}

/// Returns the error of an operation that was aborted.
#[must_use]
pub fn aborted() -> JsValue {
    named_error("AbortError", "The call is over")
}

/// Returns the name and the message of what was thrown. Scripts of a page may throw anything in place of a browser's own function: what is no
/// error has words, too.
#[must_use]
pub fn thrown(value: &JsValue) -> MediaError {
    // Not by `instanceof`: an error of another frame is no instance of this frame's classes.
    let field = |key: &str| Reflect::get(value, &key.into()).ok().and_then(|field| field.as_string());
    let named = |text: Option<String>, other: &str| text.filter(|text| !text.is_empty()).unwrap_or_else(|| other.to_owned());
    MediaError {
        name: named(field("name"), "Error"),
        message: named(field("message").or_else(|| value.as_string()), "It was not said why"),
    }
}

/// Returns `value` as a stream. It is recognised by its shape: a stream of another frame is no instance of this frame's `MediaStream`.
///
/// # Errors
/// `value`, where it is no stream.
pub fn as_stream(value: JsValue) -> Result<MediaStream, JsValue> {
    let method = value.is_object().then(|| Reflect::get(&value, &"getAudioTracks".into()).ok()).flatten();
    if method.is_some_and(|method| method.is_function()) { Ok(value.unchecked_into()) } else { Err(value) }
}

/// Returns the items of a list whose type web-sys does not know.
pub fn items<T: JsCast>(list: &Array) -> impl Iterator<Item = T> {
    list.iter().map(JsCast::unchecked_into)
}

/// The end of an object, against which promises are raced that may never settle.
pub struct End {
    promise: Promise,
    reject: Function,
}

impl End {
    /// Returns one that is not reached yet.
    #[must_use]
    pub fn ahead() -> Self {
        let (promise, _, reject) = promise();
        forget(promise.clone());
        Self { promise, reject }
    }

    /// Reaches it.
    pub fn reach(&self) {
        let _ = self.reject.call1(&JsValue::UNDEFINED, &aborted());
    }

    /// Waits for `promise`; fails with [`aborted`] where the end is reached first.
    pub fn or<T: FromWasmAbi + 'static>(&self, promise: &Promise<T>) -> JsFuture<T> {
        let (end, promise): (&JsValue, &JsValue) = (&self.promise, promise);
        Promise::race(&Array::of2(end, promise)).unchecked_into::<Promise<T>>().into()
    }
}

/// Returns a promise with the functions that fulfil and reject it.
pub fn promise() -> (Promise, Function, Function) {
    let mut functions = None;
    let promise = Promise::new(&mut |resolve, reject| functions = Some((resolve, reject)));
    let (resolve, reject) = functions.expect("the executor runs inside the constructor");
    (promise, resolve, reject)
}

/// Ignores a rejection of `promise`: the browser does not report it.
pub fn forget(promise: Promise) {
    spawn_local(async {
        let _ = JsFuture::from(promise).await;
    });
}
