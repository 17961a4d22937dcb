//! What the driver needs of the page: a task for later, and the events of its window.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use gloo_events::EventListener;
use wasm_bindgen::prelude::*;
use web_sys::{Event, EventTarget, MessageChannel};

use super::dom::{now, window};
use super::microphone::devices;

/// Runs a callback in a task of its own. Not a timer, as browsers throttle timers in hidden pages.
pub struct Later {
    channel: MessageChannel,
    _callback: Closure<dyn FnMut()>,
}

impl Later {
    /// Returns one that runs `callback`.
    pub fn new(callback: Box<dyn FnMut()>) -> Self {
        let callback = Closure::wrap(callback);
        let channel = MessageChannel::new().expect("every browser has it");
        channel.port1().set_onmessage(Some(callback.as_ref().unchecked_ref()));
        Self { channel, _callback: callback }
    }

    /// Has it run soon, once the page's own code has returned.
    pub fn ask(&self) {
        let _ = self.channel.port2().post_message(&JsValue::NULL);
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        self.channel.port1().close();
    }
}

/// Listens for the events of a page that goes away, of a page or network that may have come back, and of devices that have come or gone.
pub struct Window {
    callback: Rc<dyn Fn(&Event)>,
    listeners: RefCell<Vec<EventListener>>,
}

/// How long to wait for the interruption: with 3 ms nine of ten tabs that Firefox closes send their BYE, without it two.
const INTERRUPTION: Duration = Duration::from_millis(3);

impl Window {
    /// Returns one that does not listen yet.
    pub fn new(callback: Rc<dyn Fn(&Event)>) -> Self {
        Self { callback, listeners: RefCell::default() }
    }

    /// Begins to listen, if it does not yet.
    pub fn listen(&self) {
        let mut listeners = self.listeners.borrow_mut();
        if !listeners.is_empty() {
            return;
        }
        // Runs first when the page goes away, and only passes time. Firefox interrupts the script that runs while it closes the last tab
        // of a site, once: it must not be the one that sends the BYE.
        listeners.push(EventListener::new(&window(), "pagehide", |_| {
            let end = now() + INTERRUPTION;
            while now() < end {}
        }));
        for event in ["pagehide", "pageshow", "online", "visibilitychange"] {
            listeners.extend(listen(&window(), event, &self.callback));
        }
        listeners.extend(devices().and_then(|devices| listen(&devices, "devicechange", &self.callback)));
    }

    /// Stops listening.
    pub fn forget(&self) {
        self.listeners.take();
    }
}

/// Listens to `target`, unless it is a page's imitation without events.
pub fn listen(target: &JsValue, event: &'static str, callback: &Rc<dyn Fn(&Event)>) -> Option<EventListener> {
    let callback = callback.clone();
    Some(EventListener::new(target.dyn_ref::<EventTarget>()?, event, move |event| callback(event)))
}
