//! The numbers of an application and the users that they ring. The operator assigns them, because the owner of a number can call in
//! its name.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use offhook_access::ticket::MAX_USER;
use offhook_ledger::{Number, ShownBy};
use offhook_sip::ApiCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::asker::{Asked, Role};
use super::{ApiError, internal, private};
use crate::server::Shared;
use crate::store::{AssignedNumber, StoreError};

/// The largest number of numbers in one request.
const MOST: usize = 1_000;

#[derive(Deserialize)]
struct Change {
    /// The numbers under Sinch's name; [`Change::number`] for a single one.
    #[serde(default)]
    numbers: Vec<String>,
    number: Option<String>,
    applicationkey: Option<String>,
    /// The user that they ring; none where it is missing.
    user: Option<String>,
    /// Whose calls show them; only the operator may set it.
    #[serde(rename = "shownBy")]
    shown_by: Option<String>,
}

/// `GET /v1/configuration/numbers`.
pub async fn list(State(shared): State<Arc<Shared>>, asked: Asked) -> Result<Response, ApiError> {
    let numbers = shared.store.numbers(asked.named()).await.map_err(|error| internal(&error))?;
    let shown = |number: &AssignedNumber| {
        json!({
            "number": number.number, "applicationkey": number.application, "capability": "voice", "user": number.user,
            "shownBy": number.shown_by.as_str(),
        })
    };
    let numbers: Vec<Value> = numbers.iter().map(shown).collect();
    Ok(private(Json(json!({ "numbers": numbers })).into_response()))
}

/// `POST /v1/configuration/numbers`: an application sets the user of its numbers; the operator assigns numbers.
pub async fn assign(State(shared): State<Arc<Shared>>, asked: Asked) -> Result<Response, ApiError> {
    let (application, numbers, change) = read(&shared, &asked)?;
    let user = change.user.filter(|user| !user.is_empty());
    if user.as_ref().is_some_and(|user| user.len() > MAX_USER || user.chars().any(char::is_control)) {
        return Err(ApiError::new(ApiCode::Parameter, "user cannot be one"));
    }
    let done = match (asked.role, shown_by(change.shown_by.as_deref(), user.is_some())?) {
        (Role::Application, _) => shared.store.ring(application, numbers, user).await,
        (Role::Operator, shown_by) => {
            let given = |number| AssignedNumber { number, application: application.clone(), user: user.clone(), shown_by };
            shared.store.assign_numbers(numbers.into_iter().map(given).collect()).await
        }
    };
    done.map_err(|error| refusal(&error))?;
    Ok(private(StatusCode::OK.into_response()))
}

/// `DELETE /v1/configuration/numbers`: an application removes the user of its numbers; the operator removes the numbers.
pub async fn remove(State(shared): State<Arc<Shared>>, asked: Asked) -> Result<Response, ApiError> {
    let (application, numbers, _) = read(&shared, &asked)?;
    let done = match asked.role {
        Role::Application => shared.store.ring(application, numbers, None).await,
        Role::Operator => shared.store.remove_numbers(application, numbers).await,
    };
    done.map_err(|error| refusal(&error))?;
    Ok(private(StatusCode::OK.into_response()))
}

/// A change: the application, the numbers, and what to do with them.
fn read(shared: &Shared, asked: &Asked) -> Result<(String, Vec<String>, Change), ApiError> {
    let mut change: Change = asked.body()?;
    let application = match (asked.named(), &change.applicationkey) {
        (Some(own), Some(key)) if own != *key => return Err(ApiError::new(ApiCode::Forbidden, "This is another application's")),
        (Some(own), _) => own,
        (None, Some(key)) if shared.applications.contains_key(key) => key.clone(),
        (None, _) => return Err(ApiError::new(ApiCode::NotFound, "There is no such application")),
    };
    let mut numbers = std::mem::take(&mut change.numbers);
    numbers.extend(change.number.take());
    if numbers.is_empty() || numbers.len() > MOST || numbers.iter().any(|number| Number::parse(number).is_err()) {
        return Err(ApiError::new(ApiCode::Parameter, "numbers must be 1 to 1000 phone numbers, each with + and the country code"));
    }
    Ok((application, numbers, change))
}

fn shown_by(text: Option<&str>, user: bool) -> Result<ShownBy, ApiError> {
    let Some(text) = text else { return Ok(ShownBy::unless_said(user)) };
    text.parse().map_err(|_| ApiError::new(ApiCode::Parameter, "shownBy is nobody, user or application"))
}

fn refusal(error: &StoreError) -> ApiError {
    match error {
        StoreError::NoNumber => ApiError::new(ApiCode::NotFound, "The application has no such number"),
        StoreError::Taken => ApiError::new(ApiCode::Conflict, "The number is another application's"),
        other => internal(other),
    }
}
