//! The few HTTP calls: tickets for the demo, users who make themselves, health and metrics. Errors are Sinch's:
//! `{"errorCode": 40001, "message": "…"}`, whose first three digits are the HTTP status.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, RawQuery, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL,
    CONTENT_TYPE, ORIGIN, RETRY_AFTER, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::error;

use super::body::{Login, TicketRequest};
use super::origin::{is_allowed, is_local};
use super::{Peer, Shared};
use crate::hub::Account;
use crate::store::{Application, DEMO, Hashes, StoreError};
use crate::ticket;

/// The format of [`crate::metrics::Metrics::text`].
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A refusal that says whose fault it is.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: u32,
    message: &'static str,
}

impl ApiError {
    /// `status` is the HTTP status, `code` Sinch's five digits.
    ///
    /// # Panics
    ///
    /// Where `status` is not one.
    #[must_use]
    pub fn new(status: u16, code: u32, message: &'static str) -> Self {
        Self { status: StatusCode::from_u16(status).expect("a status of this program"), code, message }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "errorCode": self.code, "message": self.message }))).into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}

/// A body that may have failed to arrive.
pub type Body = Result<Bytes, BytesRejection>;

/// `POST /demo/ticket`: a ticket for anybody, on this machine.
pub async fn demo_ticket(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = || {
        let local = is_local(peer.address, &headers);
        // A page of another site may not ask either: it could call as the user in front of this machine.
        let demo = shared.applications.get(DEMO).filter(|demo| local && is_allowed(demo, &headers, true));
        let Some(demo) = demo else {
            return Err(shared.refuse("demo", ApiError::new(403, 40300, "The demo is for this machine only")));
        };
        let request = TicketRequest::read(&json(&headers, body)?)?;
        Ok(Json(json!({ "userTicket": shared.ticket(demo, &request.user_id) })))
    };
    private(answer().into_response())
}

/// `POST /users?key=…`: a new user with a password, where the application lets users make themselves.
pub async fn new_user(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async || {
        let (application, login) = admit(&shared, &peer, query.as_deref(), &headers, body)?;
        if !application.allow_new_users {
            return Err(shared.refuse("new users", ApiError::new(403, 40300, "The application makes its users itself")));
        }
        login.check_new()?;
        let hashes = Hashes::new(&login.username, &shared.config.sip.domain, &login.password);
        let account = Account { display_name: String::new(), ha1_sha256: Some(hashes.sha256), ha1_md5: Some(hashes.md5) };
        let added = shared.store.add_user(application.key.clone(), login.username.clone(), account).await;
        shared.metrics.query(matches!(added, Ok(()) | Err(StoreError::Taken)));
        match added {
            Ok(()) => Ok(signed_in(&shared, application, &login.username)),
            Err(StoreError::Taken) => Err(ApiError::new(409, 40900, "The user name is taken")),
            Err(error) => Err(internal(&error)),
        }
    };
    with_cors(&shared, query.as_deref(), &headers, answer().await.into_response())
}

/// `POST /users/authentication?key=…`: a ticket for a user name and password.
pub async fn authenticate(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async || {
        let (application, login) = admit(&shared, &peer, query.as_deref(), &headers, body)?;
        let account = shared.store.account(application.key.clone(), login.username.clone()).await;
        shared.metrics.query(account.is_ok());
        let account = account.map_err(|error| internal(&error))?;
        // The same work and the same answer whether the user is unknown, has no password, or another one.
        let hashes = Hashes::new(&login.username, &shared.config.sip.domain, &login.password);
        let kept = account.and_then(|account| account.ha1_sha256).unwrap_or_else(|| "0".repeat(64));
        if !same(&kept, &hashes.sha256) {
            return Err(shared.refuse("password", ApiError::new(401, 40108, "Invalid credentials")));
        }
        Ok(signed_in(&shared, application, &login.username))
    };
    with_cors(&shared, query.as_deref(), &headers, answer().await.into_response())
}

/// `OPTIONS /users…`: whether the page may ask at all.
pub async fn preflight(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    with_cors(&shared, query.as_deref(), &headers, StatusCode::NO_CONTENT.into_response())
}

/// `GET /health`: 200, or 503 while stopping.
pub async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let (status, text) = if shared.draining() { (StatusCode::SERVICE_UNAVAILABLE, "draining\n") } else { (StatusCode::OK, "ok\n") };
    private((status, text).into_response())
}

/// `GET /metrics`, for Prometheus.
pub async fn metrics(State(shared): State<Arc<Shared>>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    if !shared.config.metrics.public && !is_local(peer.address, &headers) {
        return ApiError::new(403, 40300, "The metrics are for this machine only").into_response();
    }
    if let Some(counts) = shared.hub.count().await {
        shared.metrics.calls.set(i64::try_from(counts.calls).unwrap_or(i64::MAX));
        shared.metrics.devices.set(i64::try_from(counts.devices).unwrap_or(i64::MAX));
    }
    private(([(CONTENT_TYPE, OPENMETRICS)], shared.metrics.text()).into_response())
}

/// Any other path.
pub async fn not_found() -> ApiError {
    ApiError::new(404, 40400, "There is nothing here")
}

/// A known path with another method.
pub async fn wrong_method() -> ApiError {
    ApiError::new(405, 40500, "Not with this method")
}

/// What new users and sign-ins have in common: application, origin, budget, body.
fn admit<'a>(
    shared: &'a Shared,
    peer: &Peer,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(&'a Application, Login), ApiError> {
    let application = shared.application(query, is_local(peer.address, headers))?;
    // A program without an origin may ask: it could send any origin it likes.
    if !is_allowed(application, headers, true) {
        return Err(
            shared.refuse("origin", ApiError::new(403, 40300, "The origin of this page is not allowed for the application"))
        );
    }
    if !shared.sign_ins.take(shared.clock.now(), peer.address) {
        return Err(shared.refuse("sign-ins", ApiError::new(429, 42900, "Too many attempts from this address")));
    }
    Ok((application, Login::read(&json(headers, body)?)?))
}

/// The answer of Sinch's `newUser`: what `start()` takes.
fn signed_in(shared: &Shared, application: &Application, user: &str) -> Json<serde_json::Value> {
    Json(json!({
        "authorization": shared.ticket(application, user),
        "user": { "identities": [{ "type": "username", "endpoint": user }] },
    }))
}

/// The octets of a JSON body.
fn json(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let body = body.map_err(|rejection| match rejection.status().as_u16() {
        413 => ApiError::new(413, 41300, "The body is too long"),
        _ => ApiError::new(400, 40003, "The body did not arrive"),
    })?;
    // A form of a foreign page cannot send this type without asking first (CORS).
    let json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().is_some_and(|mime| mime.trim().eq_ignore_ascii_case("application/json")));
    if json { Ok(body) } else { Err(ApiError::new(415, 41500, "Content-Type must be application/json")) }
}

fn internal(error: &StoreError) -> ApiError {
    error!(%error, "a user could not be read or written");
    ApiError::new(500, 50000, "The gateway cannot use its database")
}

/// Equality in a time that depends on the length only.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// An answer that nobody may keep.
fn private(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Lets the page read the answer where its origin is allowed.
fn with_cors(shared: &Shared, query: Option<&str>, headers: &HeaderMap, response: Response) -> Response {
    let mut response = private(response);
    let answer = response.headers_mut();
    answer.insert(VARY, HeaderValue::from_static("Origin"));
    let application = shared.named(query);
    let allowed = application.is_some_and(|application| is_allowed(application, headers, false));
    if let (true, Some(origin)) = (allowed, headers.get(ORIGIN)) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

impl Shared {
    /// A ticket for `user`, valid from now on.
    fn ticket(&self, application: &Application, user: &str) -> String {
        ticket::ticket(&application.key, &application.secret, user, self.clock.now(), self.config.data.ticket_lifetime)
    }

    /// The application that `?key=` names, or the default one.
    fn named(&self, query: Option<&str>) -> Option<&Application> {
        // Keys have only characters that are the same with and without percent-encoding.
        let key = query.and_then(|query| query.split('&').find_map(|field| field.strip_prefix("key=")));
        self.applications.get(key.unwrap_or(&self.config.data.default_application))
    }

    /// The same, for somebody who may be of this machine.
    pub(super) fn application(&self, query: Option<&str>, local: bool) -> Result<&Application, ApiError> {
        match self.named(query) {
            Some(application) if local || !application.loopback_only => Ok(application),
            Some(_) => Err(self.refuse("loopback only", ApiError::new(403, 40300, "The application is for this machine only"))),
            None => Err(self.refuse("unknown application", ApiError::new(403, 40300, "Unknown application key"))),
        }
    }

    /// Counts a refusal.
    pub(super) fn refuse(&self, reason: &'static str, error: ApiError) -> ApiError {
        self.metrics.refused(reason);
        error
    }
}
