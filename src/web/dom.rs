//! Small helpers over JavaScript values. They never trust what a page may have done to `Object.prototype`: what we make has no
//! prototype, what we are given is read by its own keys.

use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::time::Instant;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(thread_local_v2, js_name = performance)]
    static PERFORMANCE: JsValue;
    #[wasm_bindgen(thread_local_v2, js_name = globalThis)]
    static GLOBAL: JsValue;
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn random_values(array: &Uint8Array);
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout_number(callback: &Function, millis: f64) -> f64;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout_number(id: f64);
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(value: &JsValue);
    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    fn console_warn(value: &str);
}

/// The time now, by the clock that never goes back.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds since 1970 fit in 53 bits")]
pub fn now() -> Instant {
    let origin = PERFORMANCE.with(|performance| get(performance, "timeOrigin").as_f64()).unwrap_or(0.0);
    Instant::from_millis((origin + performance_now()) as u64)
}

/// 32 bytes that nobody can foretell.
#[must_use]
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    let array = Uint8Array::new_with_length(32);
    random_values(&array);
    array.copy_to(&mut seed);
    seed
}

/// Calls `callback` in `millis` milliseconds. Gives the id for [`clear_timeout`].
pub fn set_timeout(callback: &Function, millis: u64) -> f64 {
    // The browser takes a 32-bit number, and a larger one as 0.
    #[expect(clippy::cast_precision_loss, reason = "below 2^31")]
    set_timeout_number(callback, millis.min(0x7fff_ffff) as f64)
}

/// Takes a timeout back.
pub fn clear_timeout(id: f64) {
    clear_timeout_number(id);
}

/// Writes a value to the console, as an error.
pub fn report(value: &JsValue) {
    console_error(value);
}

/// Writes a line to the console, as a warning.
pub fn warn(text: &str) {
    console_warn(text);
}

/// The global object.
#[must_use]
pub fn global() -> JsValue {
    GLOBAL.with(JsValue::clone)
}

/// The constructor or function of this name on the global object; `undefined` where the browser lacks it.
#[must_use]
pub fn global_value(name: &str) -> JsValue {
    GLOBAL.with(|global| get(global, name))
}

/// `object[key]`; `undefined` where there is none, `object` is no object, or the getter throws.
#[must_use]
pub fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(key)).unwrap_or_default()
}

/// `object[key]` if it is a string, else an empty one.
#[must_use]
pub fn get_string(object: &JsValue, key: &str) -> String {
    get(object, key).as_string().unwrap_or_default()
}

/// `object[key]` if that is a property of its own and not `undefined`.
#[must_use]
pub fn own(object: &JsValue, key: &str) -> Option<JsValue> {
    let key = JsValue::from_str(key);
    // Not by `instanceof`: an object may have no prototype, or one of another frame.
    let object: &Object = Some(object).filter(|object| object.is_object())?.unchecked_ref();
    Reflect::get_own_property_descriptor(object, &key).ok().filter(JsValue::is_object)?;
    Reflect::get(object, &key).ok().filter(|value| !value.is_undefined())
}

/// `object[key] = value`; what refuses is left as it is.
pub fn set(object: &JsValue, key: &str, value: &JsValue) {
    let _ = Reflect::set(object, &JsValue::from_str(key), value);
}

/// An object without prototype: a page that extends `Object.prototype` adds nothing to it.
#[must_use]
pub fn dict(entries: &[(&str, JsValue)]) -> JsValue {
    let object: JsValue = Object::create(JsValue::NULL.unchecked_ref::<Object>()).into();
    for (key, value) in entries {
        set(&object, key, value);
    }
    object
}

/// Calls `object[name](…arguments)`.
///
/// # Errors
/// What it throws; also where there is no such function.
pub fn call(object: &JsValue, name: &str, arguments: &Array) -> Result<JsValue, JsValue> {
    Reflect::apply(get(object, name).unchecked_ref::<Function>(), object, arguments)
}

/// `new NAME(…arguments)`; `undefined` where the browser has no such constructor, or it throws.
#[must_use]
pub fn construct(name: &str, arguments: &Array) -> JsValue {
    Reflect::construct(global_value(name).unchecked_ref::<Function>(), arguments).unwrap_or_default()
}

/// A function that does nothing: `Function.prototype` is one.
#[must_use]
pub fn nothing() -> JsValue {
    get(&global_value("Function"), "prototype")
}

/// A promise that is open until its [`Gate::open`] is called: what waits for something that may never come is raced against it.
pub struct Gate {
    promise: Promise,
    resolve: Function,
}

impl Gate {
    /// One that is not open yet.
    pub fn closed() -> Self {
        let (promise, resolve, _) = promise();
        Self { promise, resolve }
    }

    /// Lets everybody through who waits.
    pub fn open(&self) {
        let _ = self.resolve.call0(&JsValue::UNDEFINED);
    }

    /// The promise that this gate fulfils.
    pub const fn promise(&self) -> &Promise {
        &self.promise
    }

    /// What `promise` comes to, or something else where this gate opens first.
    ///
    /// # Errors
    /// What `promise` is rejected with.
    pub async fn or(&self, promise: &Promise) -> Result<JsValue, JsValue> {
        JsFuture::from(Promise::race(&Array::of2(promise, &self.promise))).await
    }
}

/// A promise with the functions that fulfil and reject it.
pub fn promise() -> (Promise, Function, Function) {
    let mut functions = None;
    let promise = Promise::new(&mut |resolve, reject| functions = Some((resolve, reject)));
    // The executor runs inside the constructor, so both are there.
    let (resolve, reject) = functions.unwrap_or_else(|| (Function::default(), Function::default()));
    (promise, resolve, reject)
}

/// Says that nobody need look at how `promise` ends.
pub fn forget(promise: &Promise) {
    let _ = call(promise, "then", &Array::of2(&JsValue::UNDEFINED, &nothing()));
}
