//! What the driver needs of the page: a task for later, and word of the page's own comings and goings.

use js_sys::Array;
use wasm_bindgen::prelude::*;

use super::dom::{call, construct, get, global, now, set};

/// Runs a callback in a task of its own. Timers would do, but browsers slow them down in pages that nobody looks at.
pub struct Later {
    channel: JsValue,
    _callback: Closure<dyn FnMut(JsValue)>,
}

impl Later {
    /// What will run.
    pub fn new(callback: Box<dyn FnMut(JsValue)>) -> Self {
        let callback = Closure::wrap(callback);
        let channel = construct("MessageChannel", &Array::new());
        set(&get(&channel, "port1"), "onmessage", callback.as_ref());
        Self { channel, _callback: callback }
    }

    /// Runs it soon, once the page's own code has returned.
    pub fn ask(&self) {
        let _ = call(&get(&self.channel, "port2"), "postMessage", &Array::of1(&JsValue::NULL));
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        let _ = call(&get(&self.channel, "port1"), "close", &Array::new());
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
        let own = ["pagehide", "pageshow", "online", "visibilitychange"].map(|event| (event, &self.callback));
        for (event, callback) in [("pagehide", &self.decoy)].into_iter().chain(own) {
            let _ = call(&global(), method, &Array::of2(&event.into(), callback.as_ref()));
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.forget();
    }
}
