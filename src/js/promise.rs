//! Promises as pages of the original know them: native ones that also have `fail`, `done`, `fin` and `progress`, as do those that
//! `then`, `catch` and `finally` make of them.

use js_sys::{Array, Function, Promise, Proxy};
use wasm_bindgen::prelude::*;
use web_sys::console;

use super::listeners::notify;
use crate::web::bindings::{Dressed, PROTOTYPE, Prototype, ProxyHandler};
use crate::web::dom;

/// A promise that is not settled yet, and the callbacks that the page gave with it.
pub struct Deferred {
    resolve: Function,
    reject: Function,
    success: Option<Function>,
    fail: Option<Function>,
    /// Whether an error without a callback is written to the console.
    loud: bool,
}

impl Deferred {
    /// Returns a promise for the page, and its functions. `success` and `fail` run before anything given to `then`.
    pub fn new(success: JsValue, fail: JsValue) -> (Promise, Self) {
        let (promise, mut deferred) = Self::silent();
        deferred.success = success.dyn_into().ok();
        deferred.fail = fail.dyn_into().ok();
        deferred.loud = true;
        (promise, deferred)
    }

    /// Returns one without callbacks, whose error is in the promise alone.
    pub fn silent() -> (Promise, Self) {
        let (promise, resolve, reject) = dom::promise();
        // Callback or console have the error, so that a page need not handle the rejection.
        dom::forget(promise.clone());
        (dress(promise), Self { resolve, reject, success: None, fail: None, loud: false })
    }

    /// Rejects the promise. Nothing is written to the console.
    pub fn reject(mut self, error: &JsValue) {
        self.loud = false;
        self.settle(Err(error.clone()));
    }

    /// Fulfils or rejects the promise. Without a callback of the page the error is written to the console.
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
    /// `Promise.prototype.then` that dresses its result, too. Created once and kept, as promises of the page have it.
    static THEN: JsValue = {
        let trap = Trap::wrap(Box::new(|native: Function, this: JsValue, arguments: Array| {
            Ok(dress(native.apply(&this, &arguments)?.unchecked_into()))
        }));
        let handler = ProxyHandler::applying(&trap);
        trap.forget();
        Proxy::new(&PROTOTYPE.with(Prototype::then), &handler).into()
    };
}

/// Adds the additional methods to a promise. They are the browser's own functions: `catch` and `finally` call `then` themselves, and `valueOf`
/// returns what it is called on.
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
