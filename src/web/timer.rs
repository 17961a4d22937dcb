//! The one timer of the client.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo_timers::callback::Timeout;

use offhook_ua::time::Instant;

/// Calls back at the deadline that was set last.
pub struct Timer {
    deadline: Cell<Option<Instant>>,
    timeout: RefCell<Option<Timeout>>,
    callback: Rc<dyn Fn()>,
}

impl Timer {
    /// Returns a timer that calls `callback`.
    pub fn new(callback: Rc<dyn Fn()>) -> Self {
        Self { deadline: Cell::new(None), timeout: RefCell::default(), callback }
    }

    /// Sets, moves or clears the deadline.
    pub fn arm(&self, now: Instant, deadline: Option<Instant>) {
        if self.deadline.replace(deadline) == deadline {
            return;
        }
        let timeout = deadline.map(|at| {
            let callback = self.callback.clone();
            // Browsers treat a larger number as 0.
            Timeout::new(u32::try_from((at - now).as_millis()).unwrap_or(u32::MAX).min(0x7fff_ffff), move || callback())
        });
        self.timeout.replace(timeout);
    }

    /// Clears the deadline for good.
    pub fn disarm(&self) {
        self.deadline.set(None);
        self.timeout.take();
    }

    /// To be called when the callback runs: no deadline is set any more.
    pub fn fired(&self) {
        self.deadline.set(None);
    }
}
