//! The JavaScript API (wasm only): the Sinch JavaScript SDK 1.x as pages know it. Classes are thin, `&self` only; what they share is in
//! `app::App`. There are no rules of SIP here.
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
mod fault;
mod listeners;
mod login;
mod message_client;
mod options;
mod promise;
mod sinch_client;
mod users;

pub use call::{Call, CallDetails};
pub use call_client::CallClient;
pub use message_client::{Message, MessageClient};
pub use sinch_client::SinchClient;

use js_sys::{Function, Object};
use wasm_bindgen::prelude::*;
use web_sys::console;

use crate::web::bindings::string;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

/// Returns the class of an object of ours.
fn class_of(object: &JsValue) -> Function {
    Object::get_prototype_of(object).constructor()
}

/// Warns the author of the page, in the console.
fn warn(message: &str) {
    console::warn_1(&message.into());
}

/// Returns `value` as a string, as JavaScript converts it; `""` for `null`, `undefined`, and where the conversion throws.
fn text(value: &JsValue) -> String {
    if value.is_null() || value.is_undefined() {
        return String::new();
    }
    string(value).map(String::from).unwrap_or_default()
}
