//! Where calls for help go, as the operator has configured it.

use serde::{Deserialize, Serialize};

/// Calls for help.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Emergency {
    /// Name of the trunk that takes them; empty: none does, and they are refused.
    pub trunk: String,
    /// The numbers, as they are dialled.
    pub numbers: Vec<String>,
}

impl Default for Emergency {
    fn default() -> Self {
        Self { trunk: String::new(), numbers: ["112", "911", "999", "000"].map(String::from).into() }
    }
}

impl Emergency {
    /// Whether this is the number of help.
    #[must_use]
    pub fn has(&self, number: &str) -> bool {
        self.numbers.iter().any(|known| known == number)
    }
}
