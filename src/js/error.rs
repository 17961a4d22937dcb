//! Errors as pages know them: real `Error` objects with a domain, a code, and the response of the server.

use js_sys::{Array, Error as JsError, Object, Reflect, TypeError};
use serde::Serialize;
use std::borrow::Cow;
use wasm_bindgen::prelude::*;

use crate::client::call::Error;

/// The fields of a `SinchError` beside those of an `Error`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    domain: i32,
    code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    headers: JsValue,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    headers: JsValue,
}

/// A `SinchError`.
#[must_use]
pub fn sinch_error(error: &Error) -> JsValue {
    let object = JsError::new(&error.message());
    object.set_name("SinchError");
    let answer = error.response();
    let reason = answer.map(|answer| answer.reason.as_str());
    let headers = answer.map(|answer| record(&answer.headers)).unwrap_or_default();
    let fields = Fields {
        domain: error.domain(),
        code: error.code(),
        reason,
        headers: headers.clone(),
        response: Response { error_code: answer.map(|answer| answer.error_code), message: reason, headers },
    };
    let fields = serde_wasm_bindgen::to_value(&fields).unwrap_or_default();
    Object::assign(&object, fields.unchecked_ref()).into()
}

/// An object with these fields.
#[must_use]
pub fn object(fields: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    set(&object, fields);
    object
}

/// Sets these fields of an object.
pub fn set(object: &Object, fields: &[(&str, JsValue)]) {
    for (key, value) in fields {
        let _ = Reflect::set(object, &(*key).into(), value);
    }
}

/// Returns a `SinchError` for a method that cannot be called now (5, 6002).
#[must_use]
pub fn misuse(message: &'static str) -> JsValue {
    sinch_error(&Error::Misuse(message))
}

/// Returns a `SinchError` for an argument that is missing or malformed (5, 6003).
#[must_use]
pub fn bad_argument(message: impl Into<Cow<'static, str>>) -> JsValue {
    sinch_error(&Error::Argument(message.into()))
}

/// A `TypeError`.
#[must_use]
pub fn type_error(message: &str) -> JsValue {
    TypeError::new(message).into()
}

/// Names and values as an object; `__proto__` is a name like any other.
#[must_use]
pub fn record(entries: &[(String, String)]) -> JsValue {
    let pairs: Array = entries.iter().map(|(name, value)| Array::of2(&name.into(), &value.into())).collect();
    Object::from_entries(&pairs).map(JsValue::from).unwrap_or_default()
}
