//! Promises as pages of the original know them: native ones that also have `fail`, `done`, `fin` and `progress`, as do those that
//! `then`, `catch` and `finally` make of them.

use js_sys::{Array, Function, Promise, Proxy};
use wasm_bindgen::prelude::*;
use web_sys::console;

use super::listeners::notify;
use crate::web::bindings::{Dressed, PROTOTYPE, Prototype, ProxyHandler};
use crate::web::dom;

/// A promise of ours, still open, and the callbacks that came with it.
pub struct Deferred {
    resolve: Function,
    reject: Function,
    success: Option<Function>,
    fail: Option<Function>,
    /// Whether the console gets an error that no callback gets.
    loud: bool,
}

impl Deferred {
    /// A promise for the page and its other end. `success` and `fail` run before anything given to `then`.
    pub fn new(success: JsValue, fail: JsValue) -> (Promise, Self) {
        let (promise, mut deferred) = Self::silent();
        deferred.success = success.dyn_into().ok();
        deferred.fail = fail.dyn_into().ok();
        deferred.loud = true;
        (promise, deferred)
    }

    /// One without callbacks, whose error the promise alone has.
    pub fn silent() -> (Promise, Self) {
        let (promise, resolve, reject) = dom::promise();
        // Whoever does not look at the promise has heard of the failure by callback or console.
        dom::forget(promise.clone());
        (dress(promise), Self { resolve, reject, success: None, fail: None, loud: false })
    }

    /// Fulfils or rejects the promise. Without a callback of the page the console gets the error.
    pub fn settle(&self, result: Result<JsValue, JsValue>) {
        let (callback, settle, value) = match result {
            Ok(value) => (&self.success, &self.resolve, value),
            Err(error) => {
                if self.fail.is_none() && self.loud {
                    console::error_1(&error);
                }
                (&self.fail, &self.reject, error)
            }
        };
        if let Some(callback) = callback {
            let arguments = if value.is_undefined() { Array::new() } else { Array::of1(&value) };
            notify(callback, &JsValue::UNDEFINED, &arguments);
        }
        let _ = settle.call1(&JsValue::UNDEFINED, &value);
    }
}

type Trap = Closure<dyn FnMut(Function, JsValue, Array) -> Result<Promise, JsValue>>;

thread_local! {
    /// `Promise.prototype.then` that dresses what it gives, too. Made once, kept for ever, as promises of the page have it.
    static THEN: JsValue = {
        let trap = Trap::wrap(Box::new(|native: Function, this: JsValue, arguments: Array| {
            Ok(dress(native.apply(&this, &arguments)?.unchecked_into()))
        }));
        let handler = ProxyHandler::applying(&trap);
        trap.forget();
        Proxy::new(&PROTOTYPE.with(Prototype::then), &handler).into()
    };
}

/// Gives a promise the additional methods. The browser's own functions do for them: `catch` and `finally` call `then` themselves, and
/// `valueOf` gives what it is called on.
pub fn dress(promise: Promise) -> Promise {
    let dressed: Dressed = promise.unchecked_into();
    THEN.with(|then| {
        dressed.set_then(then);
        dressed.set_done(then);
    });
    PROTOTYPE.with(|native| {
        dressed.set_fail(&native.catch());
        dressed.set_fin(&native.finally());
        dressed.set_progress(&native.value_of());
    });
    dressed.unchecked_into()
}
