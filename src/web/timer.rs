//! The one timer of the client.

use std::cell::RefCell;

use wasm_bindgen::prelude::*;

use super::dom;
use crate::time::Instant;

/// Calls back at the deadline that was set last.
pub struct Timer {
    armed: RefCell<Option<(Instant, JsValue)>>,
    callback: Closure<dyn FnMut(JsValue)>,
}

impl Timer {
    /// A timer that calls `callback`.
    pub fn new(callback: Box<dyn FnMut(JsValue)>) -> Self {
        Self { armed: RefCell::new(None), callback: Closure::wrap(callback) }
    }

    /// Sets, moves or takes back the deadline.
    pub fn arm(&self, now: Instant, deadline: Option<Instant>) {
        let mut armed = self.armed.borrow_mut();
        if armed.as_ref().map(|(at, _)| *at) == deadline {
            return;
        }
        if let Some((_, id)) = armed.take() {
            dom::clear_timeout(id);
        }
        if let Some(at) = deadline {
            *armed = Some((at, dom::set_timeout(self.callback.as_ref().clone(), at - now)));
        }
    }

    /// To be called when the callback runs: nothing is armed any more.
    pub fn fired(&self) {
        self.armed.take();
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.arm(Instant::default(), None);
    }
}
