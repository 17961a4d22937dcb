//! Errors as pages know them: real `Error` objects with a domain, a code, and what the server said.

use wasm_bindgen::prelude::*;

use crate::call::{Error, codes};
use crate::web::dom::{self, call_of, list0, list2, new0, new1, push, set};

/// A `SinchError`.
pub fn sinch_error(error: &Error) -> JsValue {
    let object = dom::error(&error.message);
    let response = new0("Object");
    set(&object, "name", "SinchError".into());
    set(&object, "domain", error.domain.into());
    set(&object, "code", error.code.into());
    if let Some(answer) = &error.response {
        let (reason, headers) = (JsValue::from_str(&answer.reason), record(&answer.headers));
        set(&response, "errorCode", answer.error_code.into());
        set(&response, "message", reason.clone());
        set(&response, "headers", headers.clone());
        set(&object, "reason", reason);
        set(&object, "headers", headers);
    }
    set(&object, "response", response);
    object
}

/// A `SinchError` for something that makes no sense now (5, 6002).
pub fn misuse(message: &str) -> JsValue {
    sinch_error(&Error::new(codes::MISUSE, message))
}

/// A `SinchError` for an argument that is missing or malformed (5, 6003).
pub fn bad_argument(message: &str) -> JsValue {
    sinch_error(&Error::new(codes::MISSING_PARAMETER, message))
}

/// A `TypeError`.
pub fn type_error(message: &str) -> JsValue {
    new1("TypeError", message.into())
}

/// Names and values as an object; `__proto__` is a name like any other.
pub fn record(entries: &[(String, String)]) -> JsValue {
    let pairs = list0();
    for (name, value) in entries {
        push(&pairs, list2(name.into(), value.into()));
    }
    call_of("Object", "fromEntries", pairs)
}
