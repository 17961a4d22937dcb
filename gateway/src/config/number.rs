//! `[[number]]`: telephone numbers of applications, in addition to those that are set by command line or REST.

use offhook_ledger as ledger;
use offhook_ledger::ShownBy;
use serde::{Deserialize, Serialize};

use super::{ConfigError, wrong};

/// One number; each start of the gateway sets it to these values.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// E.164 with its plus.
    pub number: String,
    /// The key of its application; empty: `data.default_application`.
    #[serde(default)]
    pub application: String,
    /// The user that calls to it ring; empty: none.
    #[serde(default)]
    pub user: String,
    /// Whose calls show it; by default those of its user, or of the application where it has no user.
    pub shown_by: Option<ShownBy>,
}

impl Number {
    /// Checks that it is a number, and occurs only once.
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
