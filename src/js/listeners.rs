//! Listener objects of a page: any handler may be missing, any may throw, none stops another.

use std::cell::RefCell;

use wasm_bindgen::prelude::*;

use crate::web::dom;

/// Listeners in the order they were added.
#[derive(Default)]
pub struct Listeners(RefCell<Vec<JsValue>>);

impl Listeners {
    /// Adds one. What is no object has no handlers and is passed over.
    pub fn add(&self, listener: JsValue) {
        if listener.is_object() || listener.is_function() {
            self.0.borrow_mut().push(listener);
        }
    }

    /// Removes one; one that is not there is not missed.
    pub fn remove(&self, listener: &JsValue) {
        let mut listeners = self.0.borrow_mut();
        if let Some(position) = listeners.iter().position(|known| known == listener) {
            listeners.remove(position);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Calls the handler of this name on each, as its method.
    pub fn tell(&self, handler: &str, arguments: JsValue) {
        // A handler may add and remove listeners.
        let listeners = self.0.borrow().clone();
        for listener in &listeners {
            notify(&dom::get(listener, handler), listener, &arguments);
        }
    }
}

/// Calls `callback` with one argument, if it is a function.
pub fn call_back(callback: &JsValue, argument: JsValue) {
    notify(callback, &JsValue::UNDEFINED, &dom::list1(argument));
}

/// Calls `handler` if it is a function. What it throws goes to the console.
pub fn notify(handler: &JsValue, this: &JsValue, arguments: &JsValue) {
    if handler.is_function()
        && let Err(error) = dom::apply(handler, this, arguments)
    {
        dom::report(error);
    }
}
