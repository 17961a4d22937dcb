//! Listener objects of a page: any handler may be missing, any may throw, none stops another.

use std::cell::RefCell;

use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::console;

/// Listeners in the order they were added.
#[derive(Default)]
pub struct Listeners(RefCell<Vec<Object>>);

impl Listeners {
    /// Adds one. A value that is no object has no handlers and is ignored.
    pub fn add(&self, listener: JsValue) {
        if listener.is_object() || listener.is_function() {
            self.0.borrow_mut().push(listener.unchecked_into());
        }
    }

    /// Removes one, if it is there.
    pub fn remove(&self, listener: &JsValue) {
        let mut listeners = self.0.borrow_mut();
        if let Some(position) = listeners.iter().position(|known| **known == *listener) {
            listeners.remove(position);
        }
    }

    /// Removes all.
    pub fn clear(&self) {
        self.0.take();
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Calls the handler of this name on each, as its method.
    pub fn tell(&self, handler: &str, arguments: &Array) {
        // A handler may add and remove listeners.
        let listeners = self.0.borrow().clone();
        for listener in listeners {
            if let Ok(handler) = Reflect::get(&listener, &handler.into())
                && let Ok(handler) = handler.dyn_into()
            {
                notify(&handler, &listener, arguments);
            }
        }
    }
}

/// Calls `callback` with one argument.
pub fn call_back(callback: &Function, argument: &JsValue) {
    notify(callback, &JsValue::UNDEFINED, &Array::of1(argument));
}

/// Calls `handler`. An exception that it throws is written to the console.
pub fn notify(handler: &Function, this: &JsValue, arguments: &Array) {
    if let Err(error) = handler.apply(this, arguments) {
        console::error_1(&error);
    }
}
