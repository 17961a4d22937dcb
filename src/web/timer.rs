//! The one timer of the client.

use std::cell::{Cell, RefCell};

use wasm_bindgen::prelude::*;

use super::dom;
use crate::time::Instant;

/// Calls back at the deadline that was set last.
pub struct Timer {
    deadline: Cell<Option<Instant>>,
    /// The browser's name for it.
    id: RefCell<JsValue>,
    callback: Closure<dyn FnMut(JsValue)>,
}

impl Timer {
    /// A timer that calls `callback`.
    pub fn new(callback: Box<dyn FnMut(JsValue)>) -> Self {
        Self { deadline: Cell::new(None), id: RefCell::default(), callback: Closure::wrap(callback) }
    }

    /// Sets, moves or takes back the deadline.
    pub fn arm(&self, now: Instant, deadline: Option<Instant>) {
        if self.deadline.replace(deadline) == deadline {
            return;
        }
        dom::clear_timeout(self.id.take());
        if let Some(at) = deadline {
            self.id.replace(dom::set_timeout(self.callback.as_ref().clone(), at - now));
        }
    }

    /// To be called when the callback runs: nothing is armed any more.
    pub fn fired(&self) {
        self.deadline.set(None);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.arm(Instant::default(), None);
    }
}
