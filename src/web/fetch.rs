//! Requests over HTTP.

use gloo_net::http::Request;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

use super::dom::{thrown, window};
use crate::client::MediaError;

/// Sends a request by the page's `fetch`. Scripts of a page may have put another in its place, which may reject with anything: gloo-net panics
/// where that is no `Error`.
///
/// # Errors
/// Why there is no response.
pub async fn fetch(request: Request) -> Result<Response, MediaError> {
    let answer = JsFuture::from(window().fetch_with_request(&request.into())).await.map_err(|error| thrown(&error))?;
    Ok(answer.unchecked_into())
}

/// Reads the text of a response.
///
/// # Errors
/// Why it cannot be read.
pub async fn text_of(answer: &Response) -> Result<String, MediaError> {
    let text = answer.text().map_err(|error| thrown(&error))?;
    let text = JsFuture::from(text).await.map_err(|error| thrown(&error))?;
    Ok(text.as_string().unwrap_or_default())
}
