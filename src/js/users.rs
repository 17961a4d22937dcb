//! `newUser`: a user that the server makes.

use std::time::Duration;

use gloo_net::http::Request;
use js_sys::{JSON, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::Response;

use super::app::App;
use super::error::{bad_argument, sinch_error};
use super::options::{self, Server};
use super::text;
use crate::client::call::Error;
use crate::client::{Failure, Finding, MediaError, explanation, without_query};
use crate::web::{Deadline, ask, fetch, text_of};

/// How long the server may take: it hashes the password.
const LIMIT: Duration = Duration::from_secs(20);

/// What is said where no answer has come in time.
const SILENT: &str = "The server does not answer newUser";

/// Why a request has no answer of a gateway.
enum Refusal {
    /// It was answered, and refused.
    By(JsValue),
    /// What came back is no answer of a gateway.
    Strange(String),
}

/// Has the server make a user, and returns what it says: a ticket for `start`.
///
/// # Errors
/// A `SinchError` that says which servers were tried, and why none has made the user.
pub async fn create(app: &App, user: String) -> Result<JsValue, JsValue> {
    let options = &app.options;
    let mut found = Vec::new();
    let why = match server(app, &mut found).await {
        None if found.is_empty() => return Err(bad_argument("Name the server with the option `server`")),
        None => Vec::new(),
        Some(server) => {
            let key = options::escaped(&options.application_key);
            let why = match post(&format!("{}/users?key={key}", server.http), user).await {
                Ok(answer) => return Ok(answer),
                Err(Refusal::By(error)) => return Err(error),
                Err(Refusal::Strange(why)) => why,
            };
            found.push((server.web_socket.clone(), ask(&server.web_socket).await));
            vec![(server.web_socket.clone(), Failure::Unreached(why.into()))]
        }
    };
    Err(sinch_error(&Error::Unreachable(explanation(&found, &why, app.page()).into())))
}

/// Returns the server that is named, or that of the script if it is a gateway; else what that is goes to `found`.
async fn server<'a>(app: &'a App, found: &mut Vec<(String, Finding)>) -> Option<&'a Server> {
    if let Some(unnamed) = &app.options.unnamed {
        let address = without_query(&unnamed.web_socket);
        let finding = ask(address).await;
        if finding.is_gateway() {
            return Some(unnamed);
        }
        found.push((address.to_owned(), finding));
    }
    app.options.server.as_ref()
}

/// Sends JSON and returns the JSON of the answer.
async fn post(url: &str, body: String) -> Result<JsValue, Refusal> {
    let deadline = Deadline::after(LIMIT);
    let lost = |error: MediaError| Refusal::Strange(if deadline.is_over() { SILENT.to_owned() } else { error.message });
    let request = Request::post(url).abort_signal(Some(&deadline.signal()));
    let request =
        request.header("Content-Type", "application/json").body(body).map_err(|error| Refusal::Strange(error.to_string()))?;
    let answer = fetch(request).await.map_err(lost)?;
    let json = JSON::parse(&text_of(&answer).await.map_err(lost)?).unwrap_or_default();
    if answer.ok() && json.is_object() { Ok(json) } else { Err(refused(&answer, &json)) }
}

fn refused(answer: &Response, json: &JsValue) -> Refusal {
    let field = |key: &str| Reflect::get(json, &key.into()).unwrap_or_default();
    let code = field("errorCode");
    if code.is_undefined() {
        return Refusal::Strange(format!("The server answers newUser with HTTP {}", answer.status()));
    }
    let error = sinch_error(&Error::ApiRefused(format!("{} {}", text(&code), text(&field("message")))));
    let _ = Reflect::set(&error, &"response".into(), json);
    Refusal::By(error)
}
