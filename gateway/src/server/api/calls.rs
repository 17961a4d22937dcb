//! Call records in the form of Sinch's REST API, also of calls that have not ended.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use offhook_access::ticket::iso;
use offhook_sip::{ApiCode, NameAddr};
use serde_json::{Value, json};

use super::asker::Asked;
use super::money::money;
use super::{ApiError, internal, private};
use crate::server::Shared;
use crate::store::Record;

/// `GET /calling/v1/calls/id/{callId}`: by the id that the page sees, or by the one in the history.
pub async fn call(State(shared): State<Arc<Shared>>, Path(name): Path<String>, asked: Asked) -> Result<Response, ApiError> {
    let record = shared.store.record(asked.application()?, name).await.map_err(|error| internal(&error))?;
    let record = record.ok_or(ApiError::new(ApiCode::NotFound, "There is no such call"))?;
    let now = shared.clock.now();
    let (result, reason) = outcome(&record);
    let (kind, domain) = match record.kind.as_str() {
        "sip" => ("sip", "sip"),
        "incoming" => ("username", "mxp"),
        _ => ("number", "pstn"),
    };
    let currency = &shared.config.phone.currency;
    let body = json!({
        "callId": record.call_id,
        "from": party(caller(&record)),
        "to": party((kind, record.to.clone())),
        "domain": domain,
        "timestamp": iso(record.opened),
        "status": if record.ended.is_some() { "FINAL" } else { "ONGOING" },
        "result": result,
        "reason": reason,
        "cause": record.cause,
        "code": record.code,
        "duration": record.duration(now).as_millis().div_ceil(1_000),
        "custom": "",
        "userRate": money(currency, record.reservation.tariff.per_minute),
        "debit": money(currency, record.debit(now)),
    });
    Ok(private(Json(body).into_response()))
}

/// Returns who calls: a user of the application, or in a call from outside a number or a SIP address; with the type.
pub fn caller(record: &Record) -> (&'static str, String) {
    match NameAddr::parse(&record.from) {
        _ if record.kind != "incoming" => ("username", record.user.clone()),
        Ok(from) if from.uri.params.get("user") == Some("phone") => ("number", from.uri.user_text().into_owned()),
        Ok(from) => ("sip", format!("{}@{}", from.uri.user_text(), from.uri.host)),
        Err(_) => ("sip", record.from.clone()),
    }
}

fn party((kind, endpoint): (&str, String)) -> Value {
    json!({ "type": kind, "endpoint": endpoint })
}

/// Returns Sinch's name for the result of a call.
pub fn outcome(record: &Record) -> (&'static str, &'static str) {
    let answered = record.answered.is_some();
    match (record.cause.as_str(), record.code) {
        ("", _) if answered => ("ANSWERED", "N/A"),
        ("", _) => ("N/A", "N/A"),
        ("caller hung up", _) => ("ANSWERED", "CALLERHANGUP"),
        ("callee hung up", _) => ("ANSWERED", "CALLEEHANGUP"),
        ("caller lost" | "callee lost" | "caller silent" | "callee silent", _) if answered => ("ANSWERED", "TIMEOUT"),
        ("no credit", _) if answered => ("ANSWERED", "NOCREDITPARTNER"),
        ("gateway going down", _) if answered => ("ANSWERED", "MANAGERHANGUP"),
        ("gateway stopped" | "failed", _) if answered => ("ANSWERED", "GENERALERROR"),
        (_, _) if answered => ("ANSWERED", "N/A"),
        ("cancelled", _) => ("NOANSWER", "CANCEL"),
        ("unanswered", _) | (_, 408 | 480) => ("NOANSWER", "TIMEOUT"),
        (_, 486 | 600 | 603) => ("BUSY", "N/A"),
        ("no credit" | "spend cap", _) => ("FAILED", "NOCREDITPARTNER"),
        (_, 403) => ("FAILED", "BLOCKED"),
        _ => ("FAILED", "GENERALERROR"),
    }
}

#[cfg(test)]
mod tests {
    use offhook_ua::time::Instant;

    use super::*;
    use offhook_ledger::{Reservation, Tariff};

    fn record(cause: &str, code: u16, answered: bool) -> Record {
        let tariff = Tariff { per_minute: 0, minimum: 0, increment: 1, fee: 0 };
        let text = String::new;
        Record {
            id: text(),
            application: text(),
            call_id: text(),
            user: text(),
            kind: "phone".into(),
            from: text(),
            to: text(),
            opened: Instant::default(),
            moment: Instant::default(),
            answered: answered.then(Instant::default),
            ended: None,
            cause: cause.into(),
            code,
            trunk: text(),
            reservation: Reservation { tariff, paid: None, reserved: 0 },
            billed: 0,
            charge: 0,
        }
    }

    #[test]
    fn who_calls_has_a_type() {
        for (kind, from, caller_is) in [
            ("phone", "sip:alice@localhost", ("username", "alice")),
            ("test", "sip:alice@localhost", ("username", "alice")),
            ("incoming", "\"A. B\" <sip:+46701234567@192.0.2.1;user=phone>", ("number", "+46701234567")),
            ("incoming", "<sip:%2B46701234567@192.0.2.1;user=phone>", ("number", "+46701234567")),
            ("incoming", "<sip:carol@pbx.example;user=ip>", ("sip", "carol@pbx.example")),
            ("incoming", "<sip:anonymous@anonymous.invalid;user=ip>", ("sip", "anonymous@anonymous.invalid")),
            ("incoming", "", ("sip", "")),
        ] {
            let record = Record { kind: kind.into(), from: from.into(), user: "alice".into(), ..record("", 0, false) };
            assert_eq!(caller(&record), (caller_is.0, caller_is.1.to_owned()), "{kind} {from}");
        }
    }

    #[test]
    fn each_cause_has_its_name_in_the_api() {
        for (cause, code, answered, words) in [
            ("", 0, false, ("N/A", "N/A")),
            ("", 0, true, ("ANSWERED", "N/A")),
            ("caller hung up", 200, true, ("ANSWERED", "CALLERHANGUP")),
            ("callee hung up", 200, true, ("ANSWERED", "CALLEEHANGUP")),
            ("caller lost", 408, true, ("ANSWERED", "TIMEOUT")),
            ("callee lost", 408, true, ("ANSWERED", "TIMEOUT")),
            ("callee silent", 408, true, ("ANSWERED", "TIMEOUT")),
            ("no credit", 402, true, ("ANSWERED", "NOCREDITPARTNER")),
            ("gateway going down", 503, true, ("ANSWERED", "MANAGERHANGUP")),
            ("gateway stopped", 503, true, ("ANSWERED", "GENERALERROR")),
            ("failed", 488, true, ("ANSWERED", "GENERALERROR")),
            ("completed", 200, true, ("ANSWERED", "N/A")),
            ("cancelled", 487, false, ("NOANSWER", "CANCEL")),
            ("caller lost", 408, false, ("NOANSWER", "TIMEOUT")),
            ("unanswered", 480, false, ("NOANSWER", "TIMEOUT")),
            ("declined", 603, false, ("BUSY", "N/A")),
            ("no credit", 402, false, ("FAILED", "NOCREDITPARTNER")),
            ("closed destination", 403, false, ("FAILED", "BLOCKED")),
            ("gateway going down", 503, false, ("FAILED", "GENERALERROR")),
        ] {
            assert_eq!(outcome(&record(cause, code, answered)), words, "{cause} {code}");
        }
    }
}
