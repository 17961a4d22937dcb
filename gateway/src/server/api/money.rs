//! Amounts of money in JSON: `{"currencyId": "USD", "amount": 0.05}`, never rounded.

use offhook_ledger::{Amount, Micros};
use offhook_sip::ApiCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Number, Value, json};

use super::ApiError;

/// Returns an amount in Sinch's form.
pub fn money(currency: &str, micros: Micros) -> Value {
    json!({ "currencyId": currency, "amount": amount(micros) })
}

/// Returns the number with its own digits: at most fifteen, which a `f64` represents exactly.
pub fn amount(micros: Micros) -> Value {
    let number = Amount(micros).to_string().parse().ok().and_then(Number::from_f64);
    number.map_or(Value::Null, Value::Number)
}

/// An amount in the form of [`money`].
#[derive(Deserialize)]
struct Money<'a> {
    #[serde(rename = "currencyId")]
    currency: String,
    #[serde(borrow)]
    amount: &'a RawValue,
}

/// Parses an amount: a number, its text, or either of them in the form of [`money`].
pub fn read_amount(written: &RawValue, currency: &str) -> Result<Micros, ApiError> {
    let wrong =
        || ApiError::new(ApiCode::Parameter, "An amount is a number up to 1000000000 with at most six digits after the point");
    let mut text = written.get();
    if text.starts_with('{') {
        let money: Money<'_> = serde_json::from_str(text).map_err(|_| wrong())?;
        if money.currency != currency {
            return Err(ApiError::new(ApiCode::Parameter, "The account has another currencyId"));
        }
        text = money.amount.get();
    }
    digits(text).and_then(|digits| digits.parse().ok()).map(|Amount(micros)| micros).ok_or_else(wrong)
}

/// Returns the digits of a JSON number or string as they were sent: a f64 would make 1 of 1.00000000000000000001.
fn digits(json: &str) -> Option<String> {
    if json.starts_with('"') {
        return serde_json::from_str(json).ok();
    }
    if json.contains(['e', 'E']) {
        // Some write small numbers as 1e-05, with few digits, which a f64 represents exactly.
        return json.parse::<f64>().ok().filter(|_| json.len() < 16).map(|number| number.to_string());
    }
    Some(json.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_survive_writing_and_reading() {
        for micros in [0, 1, 50_000, 10_000_000, 123_456_789, -1_500_000, offhook_ledger::MOST, offhook_ledger::MOST - 1] {
            let text = money("USD", micros).to_string();
            let value: Box<RawValue> = serde_json::from_str(&text).expect("JSON");
            assert_eq!(read_amount(&value, "USD").ok(), Some(micros), "{text}");
        }
        assert_eq!(money("USD", 50_000).to_string(), r#"{"amount":0.05,"currencyId":"USD"}"#);
    }

    #[test]
    fn malformed_amounts_are_rejected() {
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
            "1.000000000000000000000000000001",
            "0.1000000000000000055511151231257827",
            "1.0000000000000000e0",
            "123456789012345678901234567890",
            "-123456789012345678901234567890",
            "9223372036854775807",
            "18446744073709551616",
            "1000000000.000001",
            "\"NaN\"",
            "\"Infinity\"",
            "\"-\"",
            "\"0x10\"",
            "\" 1\"",
            "\"1_000\"",
            "\"\\u0661\"",
        ] {
            let value: Box<RawValue> = serde_json::from_str(text).expect("JSON");
            assert!(read_amount(&value, "USD").is_err(), "{text}");
        }
    }
}
