//! The HTTP API: tickets for the demo, users created by pages, accounts, numbers and calls, health and metrics. Errors have Sinch's
//! form: `{"errorCode": 40001, "message": "…"}`; the first three digits are the HTTP status.

mod account;
mod asker;
mod calls;
mod demo;
mod money;
mod numbers;
mod users;

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use offhook_access::proofs::{Claim, TOO_MANY};
use offhook_sip::ApiCode;
use serde_json::json;
use tracing::error;

use super::{Peer, Shared};
use crate::store::StoreError;

pub use self::asker::Operator;

/// What the gateway calls itself where a page asks what answers.
const NAME: &str = "offhook-gateway";

/// The format of [`crate::metrics::Metrics::text`].
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A rejection, which says whose fault it is.
#[derive(Debug)]
pub struct ApiError {
    code: ApiCode,
    message: Cow<'static, str>,
    retry_after: u32,
    /// Whether wrong credentials were the reason.
    guess: bool,
    /// The reason in the words of the metrics, where it is counted.
    pub(super) reason: &'static str,
    /// Whether pages of any origin may read it.
    public: bool,
}

impl ApiError {
    /// Returns a rejection with this code, which determines the HTTP status, and a message for the author of the request.
    #[must_use]
    pub fn new(code: ApiCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after: 10, guess: false, reason: "", public: false }
    }

    /// Adds Retry-After, in seconds.
    #[must_use]
    fn after(self, seconds: u32) -> Self {
        Self { retry_after: seconds, ..self }
    }

    /// Adds the reason in the words of the metrics.
    #[must_use]
    pub(super) fn because(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    /// Lets pages of any origin read it, and see that a gateway has sent it, and why.
    #[must_use]
    pub(super) fn public(self) -> Self {
        Self { public: true, ..self }
    }

    /// Marks wrong credentials as the reason: the request may have been a guess.
    #[must_use]
    fn guess(self) -> Self {
        Self { guess: true, ..self }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.http_status()).expect("each code begins with a status");
        let mut body = json!({ "errorCode": self.code.number(), "message": self.message });
        if self.public {
            body["server"] = NAME.into();
            body["reason"] = self.reason.into();
        }
        let mut response = (status, Json(body)).into_response();
        if self.public {
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(self.retry_after));
        }
        response
    }
}

/// A body, or the error of receiving it.
pub type Body = Result<Bytes, BytesRejection>;

/// Returns the routes of the API.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/demo/ticket", post(demo::ticket))
        .route("/demo/account", get(demo::account))
        .route("/demo/credit", post(demo::fill_up))
        .route("/users", post(users::new_user).options(users::preflight))
        .route("/users/authentication", post(users::authenticate).options(users::preflight))
        .route("/v1/account", get(account::account))
        .route("/v1/account/credit", post(account::credit))
        .route("/v1/account/history", get(account::history))
        .route("/v1/account/alarms", get(account::alarms))
        .route("/v1/rates", get(account::rates).put(account::set_rates))
        .route("/v1/configuration/numbers", get(numbers::list).post(numbers::assign).delete(numbers::remove))
        .route("/calling/v1/calls/id/{id}", get(calls::call))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
}

/// `GET /health`: 200, or 503 while stopping.
pub async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let (status, text) = if shared.draining() { (StatusCode::SERVICE_UNAVAILABLE, "draining\n") } else { (StatusCode::OK, "ok\n") };
    private((status, text).into_response())
}

/// `GET /metrics`, for Prometheus.
pub async fn metrics(State(shared): State<Arc<Shared>>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    if !shared.config.metrics.public && !peer.is_local(&headers) {
        return ApiError::new(ApiCode::Forbidden, "The metrics are for this machine only (listen.local_port)").into_response();
    }
    if let Some(counts) = shared.driver.count().await {
        shared.metrics.calls.set(i64::try_from(counts.calls).unwrap_or(i64::MAX));
        shared.metrics.devices.set(i64::try_from(counts.devices).unwrap_or(i64::MAX));
    }
    private(([(CONTENT_TYPE, OPENMETRICS)], shared.metrics.text()).into_response())
}

/// Handles all other paths.
pub async fn not_found() -> ApiError {
    ApiError::new(ApiCode::NotFound, "There is nothing here")
}

/// Handles another method on a known path.
pub async fn wrong_method() -> ApiError {
    ApiError::new(ApiCode::MethodNotAllowed, "Not with this method")
}

/// Returns the octets of a JSON body.
fn json_body(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let body = arrived(body)?;
    is_json(headers)?;
    Ok(body)
}

/// Returns the octets of a body.
fn arrived(body: Body) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| match rejection.status().as_u16() {
        413 => ApiError::new(ApiCode::TooLarge, "The body is too long"),
        _ => ApiError::new(ApiCode::Malformed, "The body did not arrive"),
    })
}

/// A form on another site cannot send this type without a preflight request (CORS).
fn is_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().is_some_and(|mime| mime.trim().eq_ignore_ascii_case("application/json")));
    if json { Ok(()) } else { Err(ApiError::new(ApiCode::MediaType, "Content-Type must be application/json")) }
}

fn internal(error: &StoreError) -> ApiError {
    error!(%error, "the database could not be read or written");
    ApiError::new(ApiCode::Unavailable, "The gateway cannot use its database")
}

/// Adds headers that forbid caching.
fn private(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Shared {
    /// Returns the result of `check` for credentials, unless there were too many failures.
    fn prove<T>(&self, claim: &Claim<'_>, check: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
        self.may_prove(claim)?;
        let found = check();
        match &found {
            Ok(_) => self.proofs.proven(self.clock.now(), claim),
            Err(error) if error.guess => self.proofs.failed(self.clock.now(), claim),
            Err(_) => {}
        }
        found
    }

    /// Checks whether credentials may be verified.
    fn may_prove(&self, claim: &Claim<'_>) -> Result<(), ApiError> {
        match self.proofs.wait(self.clock.now(), claim) {
            Some(seconds) => Err(self.refuse(TOO_MANY, ApiError::new(ApiCode::TooMany, TOO_MANY).after(seconds))),
            None => Ok(()),
        }
    }

    /// Counts a rejection.
    pub(super) fn refuse(&self, reason: &'static str, error: ApiError) -> ApiError {
        self.metrics.refused(reason);
        error.because(reason)
    }
}
