//! Account, credit, history and rates.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use offhook_access::ticket::iso;
use offhook_ledger::{Micros, Tariff};
use offhook_sip::ApiCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::asker::Asked;
use super::money::{amount, money, read_amount};
use super::{ApiError, internal, private};
use crate::server::Shared;
use crate::store::{AccountView, Alarm, Rate, StoreError, Transfer};

/// The largest number of rows in one response.
const PAGE: i64 = 100;

/// `GET /v1/account`.
pub async fn account(State(shared): State<Arc<Shared>>, asked: Asked) -> Result<Response, ApiError> {
    let application = asked.application()?;
    let view = shared.store.account_view(application.clone()).await.map_err(|error| internal(&error))?;
    Ok(private(Json(shown(&application, &view)).into_response()))
}

#[derive(Deserialize)]
struct Credit {
    amount: Box<RawValue>,
    reference: String,
}

/// `POST /v1/account/credit?key=…`: adds or withdraws credit; repeating it with the same reference has no effect.
pub async fn credit(State(shared): State<Arc<Shared>>, asked: Asked) -> Result<Response, ApiError> {
    asked.operator()?;
    let application = asked.application()?;
    let Credit { amount, reference } = asked.body()?;
    if !(1..=128).contains(&reference.len()) || reference.chars().any(char::is_control) {
        return Err(ApiError::new(ApiCode::Parameter, "reference must have 1 to 128 characters"));
    }
    let micros = read_amount(&amount, &shared.config.phone.currency)?;
    let view = shared.store.top_up(application.clone(), micros, Some(reference)).await.map_err(|error| refusal(&error))?;
    Ok(private(Json(shown(&application, &view)).into_response()))
}

/// `GET /v1/account/history?limit=…&before=…`: transfers, the newest first; `next` is the `before` of the next page.
pub async fn history(State(shared): State<Arc<Shared>>, asked: Asked) -> Result<Response, ApiError> {
    let most = asked.number("limit", PAGE)?.unwrap_or(PAGE);
    let before = asked.number("before", i64::MAX)?;
    let rows = shared.store.history(asked.application()?, before, u32::try_from(most).unwrap_or(1)).await;
    let rows = rows.map_err(|error| internal(&error))?;
    let next = rows.last().filter(|_| full(&rows, most)).map(|row| row.id);
    let currency = &shared.config.phone.currency;
    let rows: Vec<Value> = rows.iter().map(|row| entry(row, currency)).collect();
    Ok(private(Json(json!({ "history": rows, "next": next })).into_response()))
}

/// `GET /v1/account/alarms?limit=…&before=…`: the alarms of an account, or with no `?key=` of all accounts; paged like the history.
pub async fn alarms(State(shared): State<Arc<Shared>>, asked: Asked) -> Result<Response, ApiError> {
    let most = asked.number("limit", PAGE)?.unwrap_or(PAGE);
    let before = asked.number("before", i64::MAX)?;
    let alarms = shared.store.alarms(asked.named(), before, u32::try_from(most).unwrap_or(1)).await;
    let alarms = alarms.map_err(|error| internal(&error))?;
    let next = alarms.last().filter(|_| full(&alarms, most)).map(|alarm| alarm.id);
    let currency = &shared.config.phone.currency;
    let alarms: Vec<Value> = alarms.iter().map(|alarm| told(alarm, currency)).collect();
    Ok(private(Json(json!({ "alarms": alarms, "next": next })).into_response()))
}

/// Whether there may be another page.
fn full<T>(rows: &[T], most: i64) -> bool {
    i64::try_from(rows.len()).is_ok_and(|length| length == most)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewRate {
    prefix: String,
    per_minute: Box<RawValue>,
    #[serde(default)]
    minimum: u32,
    #[serde(default = "second")]
    increment: u32,
    fee: Option<Box<RawValue>>,
}

const fn second() -> u32 {
    1
}

#[derive(Deserialize)]
struct NewRates {
    rates: Vec<NewRate>,
}

/// `GET /v1/rates`: the rates for the application; for the operator all rates, or those for `?key=`.
pub async fn rates(State(shared): State<Arc<Shared>>, asked: Asked) -> Result<Response, ApiError> {
    let rates = shared.store.rates(asked.named()).await.map_err(|error| internal(&error))?;
    let rates: Vec<Value> = rates.iter().map(price).collect();
    Ok(private(Json(json!({ "currencyId": shared.config.phone.currency, "rates": rates })).into_response()))
}

/// `PUT /v1/rates`: sets rates for all applications or, with `?key=`, for one.
pub async fn set_rates(State(shared): State<Arc<Shared>>, asked: Asked) -> Result<Response, ApiError> {
    asked.operator()?;
    let application = asked.named().unwrap_or_default();
    let currency = &shared.config.phone.currency;
    let NewRates { rates } = asked.body()?;
    let rates: Vec<Rate> = rates.into_iter().map(|rate| rate.read(&application, currency)).collect::<Result<_, _>>()?;
    shared.store.set_rates(rates).await.map_err(|error| refusal(&error))?;
    self::rates(State(shared), asked).await
}

impl NewRate {
    fn read(self, application: &str, currency: &str) -> Result<Rate, ApiError> {
        let wrong =
            || ApiError::new(ApiCode::Parameter, "A price is 0 to 1000, the minimum 0 to 3600 seconds, the increment 1 to 3600");
        if self.prefix.len() > 15 || !self.prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ApiError::new(ApiCode::Parameter, "prefix must be at most 15 digits, without a plus"));
        }
        let fee = self.fee.map_or(Ok(0), |fee| read_amount(&fee, currency))?;
        let per_minute = read_amount(&self.per_minute, currency)?;
        let tariff = Tariff { per_minute, minimum: self.minimum, increment: self.increment, fee };
        tariff.check().map_err(|_| wrong())?;
        Ok(Rate { application: application.to_owned(), prefix: self.prefix, tariff })
    }
}

fn shown(application: &str, view: &AccountView) -> Value {
    let money = |micros: Micros| money(&view.currency, micros);
    json!({
        "applicationKey": application,
        "balance": money(view.credit + view.reserved),
        "reserved": money(view.reserved),
        "calls": view.running,
        "maxCalls": view.most_calls,
        "maxCallsPerMinute": view.most_in_minute,
        "maxRangeCallsPerHour": view.most_to_range,
        "spentToday": money(view.spent),
        "maxSpentPerDay": money(view.most_spent),
    })
}

fn entry(row: &Transfer, currency: &str) -> Value {
    let kind = match (row.source.as_str(), row.target.as_str()) {
        ("top-up", _) => "TOPUP",
        (_, "top-up") => "WITHDRAWAL",
        ("credit", _) => "RESERVATION",
        (_, "credit") => "RELEASE",
        _ => "CHARGE",
    };
    json!({
        "id": row.id, "timestamp": iso(row.at), "type": kind, "amount": money(currency, row.amount),
        "available": money(currency, row.credit), "callId": row.call, "reference": row.reference,
    })
}

fn told(alarm: &Alarm, currency: &str) -> Value {
    let most = if alarm.is_spending() { money(currency, alarm.most) } else { json!(alarm.most) };
    json!({
        "id": alarm.id, "applicationKey": alarm.application, "timestamp": iso(alarm.at), "until": iso(alarm.until), "reason": alarm.cause,
        "range": Some(&alarm.range).filter(|range| !range.is_empty()), "max": most,
    })
}

fn price(rate: &Rate) -> Value {
    let Rate { application, prefix, tariff } = rate;
    let own = Some(application).filter(|application| !application.is_empty());
    json!({
        "prefix": prefix, "perMinute": amount(tariff.per_minute), "minimum": tariff.minimum, "increment": tariff.increment,
        "fee": amount(tariff.fee), "applicationKey": own,
    })
}

fn refusal(error: &StoreError) -> ApiError {
    match error {
        StoreError::NoApplication => ApiError::new(ApiCode::NotFound, "There is no such application"),
        StoreError::Reused => ApiError::new(ApiCode::Conflict, "The reference was used for another amount"),
        StoreError::TooLittle => ApiError::new(ApiCode::NoCredit, "There is less credit than that"),
        StoreError::Amount(_) => ApiError::new(ApiCode::Parameter, "An amount is not 0, and an account holds at most 1000000000"),
        other => internal(other),
    }
}
