//! What the driver needs of the page: a task for later, and word of the page's own comings and goings.

use wasm_bindgen::prelude::*;

use super::dom::{call0, call1, call2, get, global, new0, now, set};

/// Runs a callback in a task of its own. Timers would do, but browsers slow them down in pages that nobody looks at.
pub struct Later {
    channel: JsValue,
    _callback: Closure<dyn FnMut(JsValue)>,
}

impl Later {
    /// What will run.
    pub fn new(callback: Box<dyn FnMut(JsValue)>) -> Self {
        let callback = Closure::wrap(callback);
        let channel = new0("MessageChannel");
        set(&get(&channel, "port1"), "onmessage", callback.as_ref().clone());
        Self { channel, _callback: callback }
    }

    /// Runs it soon, once the page's own code has returned.
    pub fn ask(&self) {
        call1(&get(&self.channel, "port2"), "postMessage", JsValue::NULL);
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        call0(&get(&self.channel, "port1"), "close");
    }
}

/// Tells when the page goes away, and when it or the network may have come back.
pub struct Window {
    callback: Closure<dyn FnMut(JsValue)>,
    /// Runs first when the page goes away, and only passes time. Firefox interrupts the script that runs while it closes the last tab of
    /// a site, once and for good: it must not be the one that says goodbye.
    decoy: Closure<dyn FnMut(JsValue)>,
}

/// How long the interruption takes to come, ms: with 3 ms nine of ten tabs that Firefox closes say goodbye, without it two.
const INTERRUPTION: u64 = 3;

impl Window {
    /// Not listening yet.
    pub fn new(callback: Box<dyn FnMut(JsValue)>) -> Self {
        let decoy = Closure::wrap(Box::new(|_| {
            let end = now() + INTERRUPTION;
            while now() < end {}
        }) as Box<dyn FnMut(JsValue)>);
        Self { callback: Closure::wrap(callback), decoy }
    }

    /// Listens; more often than once is once.
    pub fn listen(&self) {
        self.each("addEventListener");
    }

    /// Listens no longer.
    pub fn forget(&self) {
        self.each("removeEventListener");
    }

    fn each(&self, method: &str) {
        call2(&global(), method, "pagehide".into(), self.decoy.as_ref().clone());
        for event in &["pagehide", "pageshow", "online", "visibilitychange"] {
            call2(&global(), method, (*event).into(), self.callback.as_ref().clone());
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.forget();
    }
}
