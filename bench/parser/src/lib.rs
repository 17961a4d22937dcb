//! The SDK's reading of SIP, exported so that the bench can time it in a page. The package has no such export: there, messages are read
//! by the client inside.

#![cfg(target_arch = "wasm32")]

use js_sys::JsString;
use offhook::web::dom::utf8;
use offhook_sip::{Message, parse, parse_text};
use wasm_bindgen::prelude::wasm_bindgen;

/// Reads a message as the client does when it comes: start line, all fields, and the checks of RFC 3261, which read Via, From, To, Call-ID,
/// CSeq, Contact and the Request-URI. Gives the bytes of its body, `-1` where it is refused.
#[wasm_bindgen]
#[must_use]
pub fn read(text: &JsString) -> i32 {
    let text = utf8(text);
    let Ok(message) = parse_text(&text) else { return -1 };
    if accepted(&message) { i32::try_from(message.body.len()).unwrap_or(-1) } else { -1 }
}

/// Whether a message, as its bytes came, is taken.
#[wasm_bindgen]
#[must_use]
pub fn takes(bytes: &[u8]) -> bool {
    parse(bytes).is_ok_and(|message| accepted(&message))
}

fn accepted(message: &Message<'_>) -> bool {
    message.check().is_ok()
}
