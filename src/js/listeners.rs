//! Listener objects of a page: any handler may be missing, any may throw, none stops another.

use std::cell::RefCell;

use js_sys::{Array, Function, Object, Reflect, WeakRef};
use wasm_bindgen::prelude::*;
use web_sys::console;

/// Listeners in the order they were added.
///
/// A listener often knows the object that it listens to. While this list holds it, the browser can collect neither; so the list can be
/// [released](Self::release): then it lives as long as something else in the page holds it.
pub struct Listeners {
    list: RefCell<WeakRef<Array<Object>>>,
    held: RefCell<Option<Array<Object>>>,
}

impl Default for Listeners {
    fn default() -> Self {
        let list = Array::new_typed();
        Self { list: RefCell::new(WeakRef::new(&list)), held: RefCell::new(Some(list)) }
    }
}

impl Listeners {
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

    /// Adds one. A value that is no object has no handlers and is ignored.
    pub fn add(&self, listener: JsValue) {
        if listener.is_object() || listener.is_function() {
            self.list().push(listener.unchecked_ref());
        }
    }

    /// Removes one, if it is there.
    pub fn remove(&self, listener: &JsValue) {
        let list = self.list();
        if let Some(position) = list.iter().position(|known| *known == *listener) {
            list.splice_many(u32::try_from(position).unwrap_or(u32::MAX), 1, &[]);
        }
    }

    /// Removes all.
    pub fn clear(&self) {
        self.list().set_length(0);
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
