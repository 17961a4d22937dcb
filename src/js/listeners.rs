//! Listener objects of a page: any handler may be missing, any may throw, none stops another.

use std::cell::RefCell;

use js_sys::{Array, Function, Object, Reflect, WeakRef};
use wasm_bindgen::prelude::*;
use web_sys::console;

use super::warn;

/// Listeners in the order they were added.
///
/// A listener often knows the object that it listens to. While the list of it is [held](Self::hold) here, the browser can collect neither; else it lives
/// as long as something else in the page holds it.
pub struct Listeners {
    list: RefCell<WeakRef<Array<Object>>>,
    held: RefCell<Option<Array<Object>>>,
    /// A handler that they may have.
    example: &'static str,
}

impl Listeners {
    /// Returns none yet. `example`: a handler that they may have.
    pub fn new(example: &'static str) -> Self {
        let list = Array::new_typed();
        Self { list: RefCell::new(WeakRef::new(&list)), held: RefCell::default(), example }
    }

    /// Returns the list itself.
    pub fn list(&self) -> Array<Object> {
        let known = self.list.borrow().deref();
        known.unwrap_or_else(|| {
            let list = Array::new_typed();
            self.list.replace(WeakRef::new(&list));
            list
        })
    }

    /// Holds the list.
    pub fn hold(&self) {
        self.held.replace(Some(self.list()));
    }

    /// Holds it no longer.
    pub fn release(&self) {
        self.held.take();
    }

    /// Adds one. What has no handlers, as the name of an event that DOM objects take, is ignored with a warning that says how it is done.
    pub fn add(&self, listener: JsValue) {
        if listener.is_object() || listener.is_function() && has_handlers(&listener) {
            self.list().push(listener.unchecked_ref());
            return;
        }
        let name = listener.as_string().filter(|name| name.starts_with("on")).unwrap_or_else(|| self.example.to_owned());
        warn(&format!(
            "addEventListener takes one object that has the handlers, as in addEventListener({{ {name}: function () {{ … }} }}): \
             what was passed instead listens to nothing"
        ));
    }

    /// Removes one, if it is there.
    pub fn remove(&self, listener: &JsValue) {
        let list = self.list();
        if let Some(position) = list.iter().position(|known| *known == *listener) {
            list.splice_many(u32::try_from(position).unwrap_or(u32::MAX), 1, &[]);
        }
    }

    /// Removes all, and holds none that is added later.
    pub fn end(&self) {
        self.list().set_length(0);
        self.release();
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list().length() == 0
    }

    /// Calls each with one argument, where the listeners are functions.
    pub fn call(&self, argument: &JsValue) {
        for listener in self.list().iter().collect::<Vec<Object>>() {
            call_back(listener.unchecked_ref(), argument);
        }
    }

    /// Calls the handler of this name on each, as its method.
    pub fn tell(&self, handler: &str, arguments: &Array) {
        // A handler may add and remove listeners.
        let listeners: Vec<Object> = self.list().iter().collect();
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
fn call_back(callback: &Function, argument: &JsValue) {
    notify(callback, &JsValue::UNDEFINED, &Array::of1(argument));
}

/// Calls `handler`. An exception that it throws is written to the console.
pub fn notify(handler: &Function, this: &JsValue, arguments: &Array) {
    if let Err(error) = handler.apply(this, arguments) {
        console::error_1(&error);
    }
}
