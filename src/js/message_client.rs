//! The entry point for text messages, which do not exist yet: pages that ask for it run, and what they send fails with an error.

use std::rc::Rc;

use js_sys::{Array, Date, Function, Object, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::app::App;
use super::error::{misuse, set};
use super::promise::Deferred;
use super::{class_of, text};
use crate::web::dom::uuid;

/// Sends text messages, and has the listeners for incoming ones.
#[wasm_bindgen(skip_typescript)]
pub struct MessageClient(Option<Rc<App>>);

impl MessageClient {
    /// The message client of `app`.
    pub(super) const fn new(app: Rc<App>) -> Self {
        Self(Some(app))
    }

    /// The class.
    pub(super) fn class() -> Function {
        class_of(&Self(None).into())
    }

    fn app(&self) -> &Rc<App> {
        self.0.as_ref().expect("only `class` makes a message client of nothing, and nobody gets it")
    }
}

#[wasm_bindgen]
impl MessageClient {
    /// Returns a message that can be sent.
    #[wasm_bindgen(js_name = newMessage, skip_typescript)]
    pub fn new_message(&self, to: JsValue, body: &JsValue, headers: JsValue) -> Object {
        let to = to.dyn_into::<Array>().unwrap_or_else(|one| Array::of1(&one));
        let sender = self.app().user.borrow().clone();
        let message = Object::<JsValue>::create(&Object::get_prototype_of(&Message.into()));
        set(
            &message,
            &[
                ("messageId", uuid().into()),
                ("recipientIds", to.into()),
                ("senderId", sender.into()),
                ("textBody", text(body).into()),
                ("headers", headers),
                ("timestamp", Date::new_0().into()),
                // Ours, as of calls.
                ("direction", 1.into()),
                ("delivered", false.into()),
            ],
        );
        message
    }

    /// Fails: there are no text messages yet.
    #[wasm_bindgen(skip_typescript)]
    pub fn send(&self, _message: &JsValue, success: JsValue, fail: JsValue) -> Promise {
        let (promise, deferred) = Deferred::new(success, fail);
        // Never inside the call.
        spawn_local(async move { deferred.settle(Err(misuse("Text messages are not available yet: nothing was sent"))) });
        promise
    }

    /// Adds a listener.
    #[wasm_bindgen(js_name = addEventListener, skip_typescript)]
    pub fn add_event_listener(&self, listener: JsValue) {
        self.app().message_listeners.add(listener);
    }

    /// Removes a listener.
    #[wasm_bindgen(js_name = removeEventListener, skip_typescript)]
    pub fn remove_event_listener(&self, listener: &JsValue) {
        self.app().message_listeners.remove(listener);
    }
}

/// The class of the objects of [`MessageClient::new_message`]: plain, but for their prototype.
#[wasm_bindgen(skip_typescript)]
pub struct Message;

impl Message {
    /// The class.
    pub(super) fn class() -> Function {
        class_of(&Self.into())
    }
}
