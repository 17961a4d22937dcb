//! The demo application, for its page on this machine: a ticket for any user, and what a user with a ticket has of the account: the credit,
//! which all of them share, and the own calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use offhook_access::proofs::Claim;
use offhook_access::ticket::{self, TokenError};
use offhook_sip::ApiCode;
use serde_json::{Value, json};
use tracing::info;

use super::calls::{caller, outcome};
use super::{ApiError, Body, internal, json_body, private};
use crate::server::body::TicketRequest;
use crate::server::origin::is_allowed;
use crate::server::{Peer, Shared};
use crate::store::{Application, DEMO, DEMO_CREDIT, Record};

/// The number of calls that the demo page shows.
const SHOWN: u32 = 50;

/// `POST /demo/ticket`: a ticket for any user.
pub async fn ticket(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = || -> Result<_, ApiError> {
        let demo = demo_for(&shared, &peer, &headers)?;
        let request = TicketRequest::read(&json_body(&headers, body)?)?;
        Ok(Json(json!({ "userTicket": shared.ticket(demo, &request.user_id) })))
    };
    private(answer().into_response())
}

/// `GET /demo/account`: the credit of the demo, and the calls of the user whose ticket it is.
pub async fn account(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let user = user_of(&shared, &peer, &headers)?;
    shown(&shared, user).await
}

/// `POST /demo/credit`: fills the credit of the demo up to what it began with; the same answer as [`account`].
pub async fn fill_up(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let user = user_of(&shared, &peer, &headers)?;
    let added = shared.store.fill_demo().await.map_err(|error| internal(&error))?;
    if added > 0 {
        info!(micros = added, "the demo page has filled up the credit of the demo");
    }
    shown(&shared, user).await
}

/// Returns the demo application, for this machine only; not for a page of another site in its browser, which could make calls in
/// the name of the person at the machine.
fn demo_for<'a>(shared: &'a Shared, peer: &Peer, headers: &HeaderMap) -> Result<&'a Application, ApiError> {
    let demo = shared.applications.get(DEMO).filter(|demo| peer.is_local(headers) && is_allowed(demo, headers, true));
    demo.ok_or_else(|| {
        shared.refuse("demo", ApiError::new(ApiCode::Forbidden, "The demo is for this machine only (listen.local_port)"))
    })
}

/// Returns the user of the demo that the ticket in `Authorization: user TICKET` is for.
fn user_of(shared: &Shared, peer: &Peer, headers: &HeaderMap) -> Result<String, ApiError> {
    let demo = demo_for(shared, peer, headers)?;
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("user "));
    let shown =
        shown.ok_or(ApiError::new(ApiCode::NoCredentials, "Write Authorization: user TICKET, with a ticket of /demo/ticket"));
    let checked = shown.and_then(|shown| {
        shared.prove(&Claim { address: peer.address, application: DEMO, user: "" }, || {
            match ticket::verify(DEMO, &demo.secret, shown, shared.clock.date()) {
                Ok(verified) if verified.password.is_none() => Ok(verified.user),
                // It holds as long as the password, which is not looked up here; nobody has guessed it.
                Ok(_) => Err(ApiError::new(
                    ApiCode::Credentials,
                    "A ticket for a password does not count here: take one of /demo/ticket",
                )),
                Err(error @ (TokenError::Expired | TokenError::NotYet)) => Err(ApiError::new(ApiCode::Credentials, error.as_str())),
                Err(_) => Err(ApiError::new(ApiCode::Credentials, "Invalid ticket").guess()),
            }
        })
    });
    checked.map_err(|error| shared.refuse("authorization", error))
}

async fn shown(shared: &Shared, user: String) -> Result<Response, ApiError> {
    let (view, records) = shared.store.account_and_calls(DEMO.into(), user, SHOWN).await.map_err(|error| internal(&error))?;
    let now = shared.clock.now();
    let running = records.iter().filter(|record| record.ended.is_none() && record.kind == "phone").map(|record| {
        let tariff = &record.reservation.tariff;
        json!({
            "callId": record.call_id, "to": record.to, "rate": tariff.per_minute, "minimum": tariff.minimum,
            "increment": tariff.increment, "fee": tariff.fee, "debit": record.debit(now),
        })
    });
    let ended = |record: &&Record| record.ended.is_some();
    let calls = records.iter().filter(ended).map(|record| {
        #[expect(clippy::cast_precision_loss, reason = "a call of 285,000 years is not shown to the millisecond")]
        let duration = record.duration(now).as_millis() as f64 / 1_000.0;
        json!({
            "callId": record.call_id, "to": record.to, "from": caller(record).1, "outgoing": record.kind != "incoming",
            "start": record.opened.millis(), "duration": duration, "result": outcome(record).0, "debit": record.charge,
        })
    });
    let (running, calls): (Vec<Value>, Vec<Value>) = (running.collect(), calls.collect());
    let body = json!({
        "currency": view.currency, "balance": view.credit + view.reserved, "full": DEMO_CREDIT, "running": running, "calls": calls,
    });
    Ok(private(Json(body).into_response()))
}
