//! Promises as pages of the original know them: native ones that also have `fail`, `done`, `fin` and `progress`, as do those that
//! `then`, `catch` and `finally` make of them.

use js_sys::{Array, Function, Proxy, Reflect};
use wasm_bindgen::prelude::*;

use super::listeners::notify;
use crate::web::dom::{self, dict, get, global_value, set};

/// A promise of ours, still open, and the callbacks that came with it.
pub struct Deferred {
    resolve: Function,
    reject: Function,
    success: JsValue,
    fail: JsValue,
}

impl Deferred {
    /// A promise for the page and its other end. `success` and `fail` run before anything given to `then`.
    pub fn new(success: JsValue, fail: JsValue) -> (JsValue, Self) {
        let (promise, resolve, reject) = dom::promise();
        // Whoever does not look at the promise has heard of the failure by callback or console.
        dom::forget(&promise);
        (dress(promise.into()), Self { resolve, reject, success, fail })
    }

    /// Fulfils the promise.
    pub fn resolve(self, value: &JsValue) {
        notify(&self.success, &JsValue::UNDEFINED, &arguments(value));
        let _ = self.resolve.call1(&JsValue::UNDEFINED, value);
    }

    /// Rejects the promise. Without a callback of the page the console gets the error.
    pub fn reject(self, error: &JsValue) {
        if self.fail.is_function() {
            notify(&self.fail, &JsValue::UNDEFINED, &arguments(error));
        } else {
            dom::report(error);
        }
        let _ = self.reject.call1(&JsValue::UNDEFINED, error);
    }
}

fn arguments(value: &JsValue) -> Array {
    if value.is_undefined() { Array::new() } else { Array::of1(value) }
}

type Trap = Closure<dyn FnMut(JsValue, JsValue, JsValue) -> JsValue>;

thread_local! {
    /// `Promise.prototype.then` that dresses what it gives, too. Made once, kept for ever, as promises of the page have it.
    static THEN: JsValue = {
        let trap = Trap::wrap(Box::new(|native: JsValue, this: JsValue, arguments: JsValue| {
            let derived = Reflect::apply(native.unchecked_ref::<Function>(), &this, arguments.unchecked_ref());
            dress(derived.unwrap_or_else(|error| wasm_bindgen::throw_val(error)))
        }));
        let then = get(&prototype(), "then");
        Proxy::new(&then, dict(&[("apply", trap.into_js_value())]).unchecked_ref()).into()
    };
}

/// Gives a promise the additional methods. The browser's own functions do for them: `catch` and `finally` call `then` themselves, and
/// `valueOf` gives what it is called on.
pub fn dress(promise: JsValue) -> JsValue {
    let native = prototype();
    let methods = [
        ("then", THEN.with(JsValue::clone)),
        ("fail", get(&native, "catch")),
        ("done", THEN.with(JsValue::clone)),
        ("fin", get(&native, "finally")),
        ("progress", get(&get(&global_value("Object"), "prototype"), "valueOf")),
    ];
    for (name, method) in methods {
        set(&promise, name, &method);
    }
    promise
}

/// A promise that is rejected with `error` already.
pub fn rejected(error: &JsValue, fail: JsValue) -> JsValue {
    let (promise, deferred) = Deferred::new(JsValue::UNDEFINED, fail);
    deferred.reject(error);
    promise
}

fn prototype() -> JsValue {
    get(&global_value("Promise"), "prototype")
}
