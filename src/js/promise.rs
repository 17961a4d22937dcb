//! Promises as pages of the original know them: native ones that also have `fail`, `done`, `fin` and `progress`, as do those that
//! `then`, `catch` and `finally` make of them.

use wasm_bindgen::prelude::*;

use super::listeners::notify;
use crate::web::dom::{self, apply, dict, get, get_in, global, invoke, list0, list1, new2, set};

/// A promise of ours, still open, and the callbacks that came with it.
pub struct Deferred {
    resolve: JsValue,
    reject: JsValue,
    success: JsValue,
    fail: JsValue,
}

impl Deferred {
    /// A promise for the page and its other end. `success` and `fail` run before anything given to `then`.
    pub fn new(success: JsValue, fail: JsValue) -> (JsValue, Self) {
        let (promise, resolve, reject) = dom::promise();
        // Whoever does not look at the promise has heard of the failure by callback or console.
        dom::forget(&promise);
        (dress(promise), Self { resolve, reject, success, fail })
    }

    /// Fulfils or rejects the promise. Without a callback of the page the console gets the error.
    pub fn settle(&self, result: Result<JsValue, JsValue>) {
        let (callback, settle, value) = match result {
            Ok(value) => (&self.success, &self.resolve, value),
            Err(error) => {
                if !self.fail.is_function() {
                    dom::report(error.clone());
                }
                (&self.fail, &self.reject, error)
            }
        };
        let arguments = if value.is_undefined() { list0() } else { list1(value.clone()) };
        notify(callback, &JsValue::UNDEFINED, &arguments);
        invoke(settle, value);
    }
}

type Trap = Closure<dyn FnMut(JsValue, JsValue, JsValue) -> JsValue>;

thread_local! {
    /// `Promise.prototype.then` that dresses what it gives, too. Made once, kept for ever, as promises of the page have it.
    static THEN: JsValue = {
        let trap = Trap::wrap(Box::new(|native: JsValue, this: JsValue, arguments: JsValue| {
            dress(apply(&native, &this, &arguments).unwrap_or_else(|error| wasm_bindgen::throw_val(error)))
        }));
        let then = get(&prototype(), "then");
        new2("Proxy", then, dict().with("apply", trap.into_js_value()).into())
    };
}

/// Gives a promise the additional methods. The browser's own functions do for them: `catch` and `finally` call `then` themselves, and
/// `valueOf` gives what it is called on.
pub fn dress(promise: JsValue) -> JsValue {
    let native = prototype();
    let then = THEN.with(JsValue::clone);
    set(&promise, "then", then.clone());
    set(&promise, "done", then);
    set(&promise, "fail", get(&native, "catch"));
    set(&promise, "fin", get(&native, "finally"));
    set(&promise, "progress", get(&native, "valueOf"));
    promise
}

fn prototype() -> JsValue {
    get_in(&global(), "Promise", "prototype")
}
