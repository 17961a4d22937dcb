//! Money in JSON: `{"currencyId": "USD", "amount": 0.05}`, and never rounded.

use serde_json::{Number, Value, json};

use super::ApiError;
use crate::ledger::{Amount, Micros};

/// As Sinch writes it.
pub fn money(currency: &str, micros: Micros) -> Value {
    json!({ "currencyId": currency, "amount": amount(micros) })
}

/// The number with just the digits that it has: fifteen, of which a `f64` loses none.
pub fn amount(micros: Micros) -> Value {
    let number = Amount(micros).to_string().parse().ok().and_then(Number::from_f64);
    number.map_or(Value::Null, Value::Number)
}

/// Reads an amount: a number, its text, or both in the shape of [`money`].
pub fn read_amount(value: &Value, currency: &str) -> Result<Micros, ApiError> {
    let wrong = ApiError::new(400, 40001, "An amount is a number with at most six digits after the point");
    let value = match value {
        Value::Object(object) => {
            if object.get("currencyId").and_then(Value::as_str) != Some(currency) {
                return Err(ApiError::new(400, 40001, "The account has another currencyId"));
            }
            object.get("amount").unwrap_or(&Value::Null)
        }
        value => value,
    };
    // A number is written as shortly as it can be, without an exponent, and read as text: 0.1 is a tenth and not the f64 beside it.
    let text = match value {
        Value::String(text) => text.clone(),
        value => value.as_f64().map(|number| number.to_string()).unwrap_or_default(),
    };
    text.parse().map(|Amount(micros)| micros).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_the_same_there_and_back() {
        for micros in [0, 1, 50_000, 10_000_000, 123_456_789, -1_500_000, crate::ledger::MOST, crate::ledger::MOST - 1] {
            let text = money("USD", micros).to_string();
            let value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(read_amount(&value, "USD").ok(), Some(micros), "{text}");
        }
        assert_eq!(money("USD", 50_000).to_string(), r#"{"amount":0.05,"currencyId":"USD"}"#);
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "null",
            "true",
            "[]",
            "\"\"",
            "\"ten\"",
            "1e-7",
            "1e300",
            "0.0000001",
            "{}",
            r#"{"currencyId":"SEK","amount":1}"#,
            r#"{"amount":1}"#,
            r#"{"currencyId":"USD"}"#,
        ] {
            let value = serde_json::from_str(text).expect("JSON");
            assert!(read_amount(&value, "USD").is_err(), "{text}");
        }
    }
}
