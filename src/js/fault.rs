//! What pages are told where the SDK itself fails. A panic stops the wasm at any point, so no state can be relied upon: every client ends with
//! an error event, and may be started again.

use std::cell::RefCell;
use std::panic;
use std::rc::{Rc, Weak};
use std::sync::Once;

use wasm_bindgen::prelude::*;

use super::app::App;
use crate::client::call::Error;
use crate::web::dom::window;

thread_local! {
    static CLIENTS: RefCell<Vec<Weak<App>>> = const { RefCell::new(Vec::new()) };
}

/// Ends `app` with an error after a panic.
pub fn watch(app: &Rc<App>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        panic::set_hook(Box::new(|info| {
            console_error_panic_hook::hook(info);
            // Not in the panic itself: it leaves the wasm by a trap, and what is borrowed stays so.
            window().queue_microtask(Closure::once_into_js(end_all).unchecked_ref());
        }));
    });
    CLIENTS.with_borrow_mut(|clients| {
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Rc::downgrade(app));
    });
}

fn end_all() {
    let error = Error::Failed("The SDK has failed: its console message says where. All calls are over; start again");
    for client in CLIENTS.with_borrow(Clone::clone) {
        if let Some(client) = client.upgrade() {
            client.fail(&error);
        }
    }
}
