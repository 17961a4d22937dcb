//! The face (wasm only): the Sinch JavaScript SDK 1.x as pages know it. Classes are thin, `&self` only; what they share is in
//! [`app::App`]. There are no rules of SIP here.
//!
//! ```text
//! SinchClient ─┐            ┌─ Notice ── web::Driver
//! CallClient ──┼── Rc<App> ─┤
//! Call ────────┘            └─ commands ─▶
//! ```

mod app;
mod call;
mod call_client;
mod error;
mod listeners;
mod login;
mod options;
mod promise;
mod sinch_client;

pub use call::{Call, CallDetails};
pub use call_client::CallClient;
pub use sinch_client::SinchClient;

use wasm_bindgen::prelude::*;

use crate::web::dom;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

/// The class of an object that we made.
fn class_of(object: &JsValue) -> JsValue {
    dom::get(&prototype_of(object), "constructor")
}

fn prototype_of(object: &JsValue) -> JsValue {
    dom::call_of("Object", "getPrototypeOf", object.clone())
}

/// What a page means by `value` where a string is asked for: nothing is an empty one, and so is what cannot be said in words.
fn text(value: &JsValue) -> String {
    if value.is_null() || value.is_undefined() {
        return String::new();
    }
    dom::string(&dom::call1(&dom::global(), "String", value.clone()))
}
