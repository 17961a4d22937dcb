//! Emergency calls, as the operator has configured them.

use offhook_sip::{Uri, telephone};
use serde::{Deserialize, Serialize};

/// Emergency calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Emergency {
    /// Name of the trunk that takes them; empty: none does, and they are rejected.
    pub trunk: String,
    /// The emergency numbers, as they are dialled.
    pub numbers: Vec<String>,
}

impl Default for Emergency {
    fn default() -> Self {
        Self { trunk: String::new(), numbers: ["112", "911", "999", "000"].map(String::from).into() }
    }
}

impl Emergency {
    /// Whether this is an emergency number.
    #[must_use]
    pub fn has(&self, number: &str) -> bool {
        self.numbers.iter().any(|known| known == number)
    }

    /// Returns the emergency number that a URI names, in any spelling.
    #[must_use]
    pub fn number_in(&self, uri: &Uri<'_>) -> Option<&str> {
        telephone::one_of(&self.numbers, uri)
    }
}
