//! Amounts of money in decimal notation: `10`, `0.05`, `12.345678`; never floating-point numbers.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Micros;

/// Micro-units in one unit of currency.
const UNIT: Micros = 1_000_000;

/// The largest amount that is accepted: 10⁹ units. Sums of many amounts do not overflow [`Micros`].
pub const MOST: Micros = 1_000_000_000 * UNIT;

/// An amount of money, which can be parsed and displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub Micros);

/// Why a text is not an amount. Its author is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not digits with at most one point between them.
    #[error("an amount is written as 10 or 0.05")]
    Shape,
    /// More than six digits after the point.
    #[error("an amount has at most six digits after the point")]
    Precision,
    /// More than [`MOST`].
    #[error("an amount is at most 1000000000")]
    TooMuch,
    /// 0, where the balance has to change.
    #[error("an amount of 0 changes nothing")]
    Nothing,
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) {
            return Err(AmountError::Shape);
        }
        if fraction.len() > 6 {
            return Err(AmountError::Precision);
        }
        let micros = |text: &str| text.parse::<Micros>().map_err(|_| AmountError::TooMuch);
        let whole = micros(whole)?.checked_mul(UNIT).ok_or(AmountError::TooMuch)?;
        let sum = whole.saturating_add(micros(&format!("{fraction:0<6}"))?);
        if sum > MOST { Err(AmountError::TooMuch) } else { Ok(Self(if negative { -sum } else { sum })) }
    }
}

/// Writes at least two digits after the point, and up to six where they are not zero.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let fraction = format!("{:06}", micros % UNIT.unsigned_abs());
        let digits = fraction.trim_end_matches('0').len().max(2);
        write!(f, "{sign}{}.{}", micros / UNIT.unsigned_abs(), fraction.get(..digits).unwrap_or(&fraction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_written() {
        for (text, micros) in [("10", 10_000_000), ("0.05", 50_000), ("12.345678", 12_345_678), ("-1.5", -1_500_000), ("0", 0)] {
            assert_eq!(text.parse(), Ok(Amount(micros)), "{text}");
        }
        for (text, error) in [
            ("", AmountError::Shape),
            (".5", AmountError::Shape),
            ("5.", AmountError::Shape),
            ("+5", AmountError::Shape),
            ("1e3", AmountError::Shape),
            ("1,5", AmountError::Shape),
            ("--1", AmountError::Shape),
            ("0.0000001", AmountError::Precision),
            ("1000000001", AmountError::TooMuch),
            ("99999999999999999999999", AmountError::TooMuch),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(error), "{text}");
        }
    }

    #[test]
    fn amounts_are_written_with_the_digits_they_have() {
        for (micros, text) in
            [(10_000_000, "10.00"), (50_000, "0.05"), (1, "0.000001"), (-1_500_000, "-1.50"), (0, "0.00"), (123_400, "0.1234")]
        {
            assert_eq!(Amount(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Amount(micros)));
        }
    }
}
