//! The one timer of the client.

use std::cell::Cell;

use wasm_bindgen::prelude::*;

use super::dom;
use crate::time::Instant;

/// Calls back at the deadline that was set last.
pub struct Timer {
    armed: Cell<Option<(Instant, f64)>>,
    callback: Closure<dyn FnMut(JsValue)>,
}

impl Timer {
    /// A timer that calls `callback`.
    pub fn new(callback: Box<dyn FnMut(JsValue)>) -> Self {
        Self { armed: Cell::new(None), callback: Closure::wrap(callback) }
    }

    /// Sets, moves or takes back the deadline.
    pub fn arm(&self, now: Instant, deadline: Option<Instant>) {
        let armed = self.armed.get();
        if armed.map(|(at, _)| at) == deadline {
            return;
        }
        if let Some((_, id)) = armed {
            dom::clear_timeout(id);
        }
        let arm = |at: Instant| (at, dom::set_timeout(self.callback.as_ref().unchecked_ref(), at - now));
        self.armed.set(deadline.map(arm));
    }

    /// To be called when the callback runs: nothing is armed any more.
    pub fn fired(&self) {
        self.armed.set(None);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.arm(Instant::default(), None);
    }
}
