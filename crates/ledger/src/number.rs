//! Telephone numbers in E.164 notation, and no other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::range::country_code;

/// A number in E.164: a plus, a country code that exists, 7 to 15 digits in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(String);

/// Why a text is not a number. The caller is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NumberError {
    /// `00…`, `011…` or a national number: its meaning depends on the country of the caller.
    #[error("A phone number begins with + and the country code, as +14155550101 does")]
    NoPlus,
    /// Parameters such as `;phone-context=` (RFC 3966): the number must be complete without them.
    #[error("A phone number has no parameters")]
    Parameters,
    /// A character other than an ASCII digit: digits of other scripts, blanks, brackets, letters.
    #[error("A phone number has nothing but digits after its +")]
    Digits,
    /// Fewer than 7 or more than 15 digits.
    #[error("A phone number has 7 to 15 digits after its +")]
    Length,
    /// No country has this code.
    #[error("No country has the code of this phone number")]
    Country,
}

impl Number {
    /// Parses a number.
    ///
    /// # Errors
    ///
    /// Where it is not `+` and digits. Nothing is corrected: a wrong correction would cost money.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        if text.contains(';') {
            return Err(NumberError::Parameters);
        }
        let Some(digits) = text.strip_prefix('+') else {
            let national = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            return Err(if national { NumberError::NoPlus } else { NumberError::Digits });
        };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NumberError::Digits);
        }
        if !(7..=15).contains(&digits.len()) {
            return Err(NumberError::Length);
        }
        country_code(digits).ok_or(NumberError::Country)?;
        Ok(Self(text.to_owned()))
    }

    /// Returns the number with its plus.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the number without its plus.
    #[must_use]
    pub fn digits(&self) -> &str {
        self.0.strip_prefix('+').unwrap_or_default()
    }

    /// Returns the country code.
    #[must_use]
    pub fn country(&self) -> &str {
        country_code(self.digits()).unwrap_or_default()
    }

    /// Iterates over the prefixes of its digits, from all digits to none.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        (0..=self.digits().len()).rev().filter_map(|length| self.digits().get(..length))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose calls show a number as the caller ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShownBy {
    /// No calls.
    Nobody,
    /// Calls of the user that the number belongs to.
    User,
    /// Calls of all users of the application who have no other number to show.
    Application,
}

impl ShownBy {
    /// Returns the default: the user of the number if it has one, else the application.
    #[must_use]
    pub const fn unless_said(has_user: bool) -> Self {
        if has_user { Self::User } else { Self::Application }
    }

    /// Returns the name that operators write.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::User => "user",
            Self::Application => "application",
        }
    }
}

/// A text is not the name of a [`ShownBy`]. Its author is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a number is shown by nobody, user or application")]
pub struct ShownByError;

impl FromStr for ShownBy {
    type Err = ShownByError;

    fn from_str(text: &str) -> Result<Self, ShownByError> {
        [Self::Nobody, Self::User, Self::Application].into_iter().find(|one| one.as_str() == text).ok_or(ShownByError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        for text in ["+14155550101", "+46701234567", "+4670123", "+290123456", "+999", "+88216"] {
            let digits = text.len() - 1;
            assert_eq!(Number::parse(text).is_ok(), (7..=15).contains(&digits), "{text}");
        }
    }

    #[test]
    fn malformed_numbers_are_rejected_with_the_reason() {
        for (text, error) in [
            ("0046701234567", NumberError::NoPlus),
            ("01146701234567", NumberError::NoPlus),
            ("0701234567", NumberError::NoPlus),
            ("46701234567", NumberError::NoPlus),
            ("++46701234567", NumberError::Digits),
            ("+46 70 123 45 67", NumberError::Digits),
            ("+46(0)701234567", NumberError::Digits),
            ("+46-70-1234567", NumberError::Digits),
            ("+٤٦٧٠١٢٣٤٥٦٧", NumberError::Digits),
            ("+\u{ff14}\u{ff16}701234567", NumberError::Digits),
            ("\u{ff0b}46701234567", NumberError::Digits),
            ("70123;phone-context=+46", NumberError::Parameters),
            ("+46701234567;ext=900", NumberError::Parameters),
            ("+46701234567,9", NumberError::Digits),
            ("+4670123456\r\n7", NumberError::Digits),
            ("+46701234567\0", NumberError::Digits),
            ("tel:+46701234567", NumberError::Digits),
            ("+1415CALLNOW", NumberError::Digits),
            ("", NumberError::Digits),
            ("+", NumberError::Length),
            ("+467012", NumberError::Length),
            ("+4670123456789012", NumberError::Length),
            ("+0046701234567", NumberError::Country),
            ("+01146701234567", NumberError::Country),
            ("+99901234567", NumberError::Country),
        ] {
            assert_eq!(Number::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_longest_prefix_comes_first() {
        let number = Number::parse("+4670123").expect("a number");
        let prefixes: Vec<&str> = number.prefixes().collect();
        assert_eq!(prefixes, ["4670123", "467012", "46701", "4670", "467", "46", "4", ""]);
    }
}
