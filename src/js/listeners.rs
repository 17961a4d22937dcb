//! Listener objects of a page: any handler may be missing, any may throw, none stops another.

use std::cell::RefCell;

use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::console;

use super::warn;

/// Listeners in the order they were added.
pub struct Listeners {
    list: RefCell<Vec<Object>>,
    /// A handler that they may have.
    example: &'static str,
}

impl Listeners {
    /// Returns none yet. `example`: a handler that they may have.
    pub fn new(example: &'static str) -> Self {
        Self { list: RefCell::default(), example }
    }

    /// Adds one. What has no handlers, as the name of an event that DOM objects take, is ignored with a warning that says how it is done.
    pub fn add(&self, listener: JsValue) {
        if listener.is_object() || listener.is_function() && has_handlers(&listener) {
            return self.list.borrow_mut().push(listener.unchecked_into());
        }
        let name = listener.as_string().filter(|name| name.starts_with("on")).unwrap_or_else(|| self.example.to_owned());
        warn(&format!(
            "addEventListener takes one object that has the handlers, as in addEventListener({{ {name}: function () {{ … }} }}): \
             what was passed instead listens to nothing"
        ));
    }

    /// Removes one, if it is there.
    pub fn remove(&self, listener: &JsValue) {
        let mut listeners = self.list.borrow_mut();
        if let Some(position) = listeners.iter().position(|known| **known == *listener) {
            listeners.remove(position);
        }
    }

    /// Removes all.
    pub fn clear(&self) {
        self.list.take();
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// Calls the handler of this name on each, as its method.
    pub fn tell(&self, handler: &str, arguments: &Array) {
        // A handler may add and remove listeners.
        let listeners = self.list.borrow().clone();
        for listener in listeners {
            if let Ok(handler) = Reflect::get(&listener, &handler.into())
                && let Ok(handler) = handler.dyn_into()
            {
                notify(&handler, &listener, arguments);
            }
        }
    }
}

/// Whether a function has handlers: a class with static methods may.
fn has_handlers(function: &JsValue) -> bool {
    let keys = Reflect::own_keys(function).unwrap_or_default();
    keys.iter().any(|key| key.as_string().is_some_and(|key| key.starts_with("on")))
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
