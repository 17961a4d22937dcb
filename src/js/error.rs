//! Errors as pages know them: real `Error` objects with a domain, a code, and what the server said.

use js_sys::{Object, TypeError};
use wasm_bindgen::prelude::*;

use crate::call::{Error, codes};
use crate::web::dom::set;

/// A `SinchError`.
pub fn sinch_error(error: &Error) -> JsValue {
    let object = js_sys::Error::new(&error.message);
    let response = Object::new();
    for (key, value) in [("name", "SinchError".into()), ("domain", error.domain.into()), ("code", error.code.into())] {
        set(&object, key, &value);
    }
    if let Some(answer) = &error.response {
        let (reason, headers) = (answer.reason.as_str().into(), record(&answer.headers));
        set(&response, "errorCode", &answer.error_code.into());
        set(&response, "message", &reason);
        set(&response, "headers", &headers);
        set(&object, "reason", &reason);
        set(&object, "headers", &headers);
    }
    set(&object, "response", &response);
    object.into()
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
    TypeError::new(message).into()
}

/// Names and values as an object; `__proto__` is a name like any other.
pub fn record(entries: &[(String, String)]) -> JsValue {
    let pairs: js_sys::Array = entries.iter().map(|(name, value)| js_sys::Array::of2(&name.into(), &value.into())).collect();
    Object::from_entries(&pairs).map_or(JsValue::UNDEFINED, Into::into)
}
