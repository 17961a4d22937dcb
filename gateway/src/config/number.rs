//! `[[number]]`: telephone numbers of applications, beside those that the operator gives by command line or REST.

use offhook_ledger as ledger;
use offhook_ledger::ShownBy;
use serde::{Deserialize, Serialize};

use super::{ConfigError, wrong};

/// One number; at each start it is as it stands here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// E.164 with its plus.
    pub number: String,
    /// Key of the application that it belongs to; empty: `data.default_application`.
    #[serde(default)]
    pub application: String,
    /// Whom calls to it ring; empty: nobody.
    #[serde(default)]
    pub user: String,
    /// Whose calls show it; by default those of its user, or where it has none of the application.
    pub shown_by: Option<ShownBy>,
}

impl Number {
    /// Whether it can be one, and stands here once.
    pub(super) fn check_all(numbers: &[Self]) -> Result<(), ConfigError> {
        for (at, Self { number, .. }) in numbers.iter().enumerate() {
            if let Err(error) = ledger::Number::parse(number) {
                return wrong("number.number", format!("is {number:?}: {error}"));
            }
            if numbers.iter().take(at).any(|other| other.number == *number) {
                return wrong("number.number", format!("{number} is there twice"));
            }
        }
        Ok(())
    }
}
