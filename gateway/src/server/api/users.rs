//! Users: tickets for the demo, users created by pages, sign-in by password.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Json;
use axum::extract::{Extension, RawQuery, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use offhook_access::proofs::Claim;
use offhook_access::secret::Use;
use offhook_access::ticket;
use offhook_proxy::Account;
use offhook_sip::ApiCode;
use serde_json::json;

use super::{ApiError, Body, internal, json_body, private};
use crate::server::body::Login;
use crate::server::origin::is_allowed;
use crate::server::{Peer, Shared};
use crate::store::{Application, Hashes, StoreError};

/// `POST /users?key=…`: a new user with a password, where the application allows pages to create users. Whoever shows the password of a user
/// that is there gets a ticket too, so a page may ask at each visit. What is no password for a new user is rejected without a look at the
/// users: the answer tells nothing about who is there.
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
            return Err(shared.refuse("new users", ApiError::new(ApiCode::Forbidden, "The application makes its users itself")));
        }
        login.check_new()?;
        if shared.config.phone.emergency.has(&login.username) {
            return Err(ApiError::new(ApiCode::Parameter, "A user name must not be an emergency number"));
        }
        let taken = ApiError::new(ApiCode::Conflict, "The user name is taken");
        let claim = claim(&peer, application, &login);
        shared.may_prove(&claim)?;
        if account(&shared, application, &login).await?.is_some() {
            return sign_in(&shared, &peer, application, &login, taken).await;
        }
        if !shared.new_users.take(shared.clock.now(), peer.address) {
            // That the name is free is worth as much to whoever looks for users as that it is taken: it costs the same.
            let full = ApiError::new(ApiCode::TooMany, "Too many new users from this address").guess();
            return shared.prove(&claim, || Err(shared.refuse("new users", full)));
        }
        let hashes = Hashes::new(&login.username, &shared.config.sip.domain, &login.password);
        let account = Account { ha1_sha256: Some(hashes.sha256), ha1_md5: Some(hashes.md5), ..Account::default() };
        let added = shared.store.add_user(application.key.clone(), login.username.clone(), account).await;
        shared.metrics.query(matches!(added, Ok(_) | Err(StoreError::Taken)));
        match added {
            Ok(account) => Ok(signed_in(&shared, application, &login.username, account.revision)),
            // By another request of the same page, perhaps.
            Err(StoreError::Taken) => sign_in(&shared, &peer, application, &login, taken).await,
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
        sign_in(&shared, &peer, application, &login, ApiError::new(ApiCode::Credentials, "Invalid credentials")).await
    };
    with_cors(&shared, query.as_deref(), &headers, answer().await.into_response())
}

/// A ticket for whoever knows the password; `wrong` for everybody else.
async fn sign_in(
    shared: &Shared,
    peer: &Peer,
    application: &Application,
    login: &Login,
    wrong: ApiError,
) -> Result<Json<serde_json::Value>, ApiError> {
    let claim = claim(peer, application, login);
    shared.may_prove(&claim)?;
    let account = account(shared, application, login).await?;
    // The same work and the same response whether the user is unknown, has no password, or another one.
    let hashes = Hashes::new(&login.username, &shared.config.sip.domain, &login.password);
    let Account { ha1_sha256, revision, .. } = account.unwrap_or_default();
    let kept = ha1_sha256.unwrap_or_else(|| "0".repeat(64));
    shared.prove(&claim, || {
        if verify_slices_are_equal(kept.as_bytes(), hashes.sha256.as_bytes()).is_ok() {
            return Ok(signed_in(shared, application, &login.username, revision));
        }
        Err(shared.refuse("password", wrong.guess()))
    })
}

/// Who the client says to be.
fn claim<'a>(peer: &Peer, application: &'a Application, login: &'a Login) -> Claim<'a> {
    Claim { address: peer.address, application: &application.key, user: &login.username }
}

/// The account of that name, where there is one.
async fn account(shared: &Shared, application: &Application, login: &Login) -> Result<Option<Account>, ApiError> {
    let account = shared.store.account(application.key.clone(), login.username.clone()).await;
    shared.metrics.query(account.is_ok());
    account.map_err(|error| internal(&error))
}

/// `OPTIONS /users…`: the preflight request of a page (CORS).
pub async fn preflight(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    with_cors(&shared, query.as_deref(), &headers, StatusCode::NO_CONTENT.into_response())
}

/// The common parts of new users and sign-ins: application, origin, body.
fn admit<'a>(
    shared: &'a Shared,
    peer: &Peer,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(&'a Application, Login), ApiError> {
    let application = shared.application(query, peer.is_local(headers))?;
    // A program without an origin is accepted: it could send any origin.
    if !is_allowed(application, headers, true) {
        return Err(shared
            .refuse("origin", ApiError::new(ApiCode::Forbidden, "The origin of this page is not allowed for the application")));
    }
    Ok((application, Login::read(&json_body(headers, body)?)?))
}

/// Returns the response of Sinch's `newUser`, which `start()` takes. It is valid no longer than the password.
fn signed_in(shared: &Shared, application: &Application, user: &str, revision: u64) -> Json<serde_json::Value> {
    let (secret, lifetime) = (application.secret.key(Use::Ticket), shared.config.data.ticket_lifetime);
    let ticket = ticket::ticket_for_password(&application.key, secret, user, shared.clock.date(), lifetime, revision);
    Json(json!({
        "authorization": ticket,
        "user": { "identities": [{ "type": "username", "endpoint": user }] },
    }))
}

/// Lets the page read the response where its origin is allowed (CORS).
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
    /// Returns a ticket for `user` that is valid from now on.
    pub(super) fn ticket(&self, application: &Application, user: &str) -> String {
        let (secret, lifetime) = (application.secret.key(Use::Ticket), self.config.data.ticket_lifetime);
        ticket::ticket(&application.key, secret, user, self.clock.date(), lifetime)
    }

    /// Returns the application that `?key=` names, or the default one.
    fn named(&self, query: Option<&str>) -> Option<&Application> {
        // Keys have only characters that are the same with and without percent-encoding.
        let key = query.and_then(|query| query.split('&').find_map(|field| field.strip_prefix("key=")));
        self.applications.get(key.unwrap_or(&self.config.data.default_application))
    }

    /// Returns the application that `?key=` names, or the default one, if the client may use it; `local`: it is on this machine.
    pub(in crate::server) fn application(&self, query: Option<&str>, local: bool) -> Result<&Application, ApiError> {
        self.may_name(query, local).map_err(|error| self.refuse(error.reason, error))
    }

    /// The same, and a rejection is not counted.
    pub(in crate::server) fn may_name(&self, query: Option<&str>, local: bool) -> Result<&Application, ApiError> {
        match self.named(query) {
            Some(application) if local || !application.loopback_only => Ok(application),
            Some(_) => Err(ApiError::new(ApiCode::Forbidden, "The application is for this machine only").because("loopback only")),
            None => Err(ApiError::new(ApiCode::Forbidden, "Unknown application key").because("unknown application")),
        }
    }
}
