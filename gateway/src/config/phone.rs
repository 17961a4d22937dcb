//! `[phone]`: destinations that may be called, and limits of accounts. Rates, numbers and credit are in the database.

use std::fmt;

use offhook_b2bua::Emergency;
use offhook_ledger::{Amount, Openings, Rules};
use serde::{Deserialize, Serialize};

use super::{ConfigError, Trunk, between, wrong};

/// Calls that cost money.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phone {
    /// Prefixes of open countries; premium, satellite and other expensive ranges in them are open only where they are named
    /// themselves.
    pub allow: Vec<String>,
    /// The ISO 4217 code of the currency of all accounts.
    pub currency: String,
    /// Concurrent calls of one account.
    pub calls: u32,
    /// New calls of one account to telephones in any minute.
    pub calls_per_minute: u32,
    /// New calls of one account to one range in any hour.
    pub range_calls_per_hour: u32,
    /// The largest amount that one account may spend in a day (UTC).
    pub spend_per_day: String,
    /// Days after which caller and callee are removed from call records; 0: never.
    pub forget_after: u32,
    /// The route of emergency calls.
    pub emergency: Emergency,
    /// The secret of the operator for the REST API; empty: the content of `operator-token` in the data folder, on this machine
    /// only.
    pub operator_token: String,
}

impl Default for Phone {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            currency: "USD".into(),
            calls: 20,
            calls_per_minute: 60,
            range_calls_per_hour: 1_000,
            spend_per_day: "50".into(),
            forget_after: 365,
            emergency: Emergency::default(),
            operator_token: String::new(),
        }
    }
}

/// Keeps the token out of logs.
impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phone").field("allow", &self.allow).field("currency", &self.currency).finish_non_exhaustive()
    }
}

impl Phone {
    /// Checks that every value is valid with these trunks.
    pub(super) fn check(&self, trunks: &[Trunk]) -> Result<(), ConfigError> {
        check_emergency(&self.emergency, trunks)?;
        if let Err(error) = Openings::new(&self.allow) {
            return wrong("phone.allow", error.to_string());
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return wrong("phone.currency", "must be three capital letters such as USD");
        }
        between("phone.calls", u64::from(self.calls), 1, 1_000_000)?;
        between("phone.calls_per_minute", u64::from(self.calls_per_minute), 1, 1_000_000)?;
        between("phone.range_calls_per_hour", u64::from(self.range_calls_per_hour), 1, 1_000_000)?;
        match self.spend_per_day.parse::<Amount>() {
            Err(error) => return wrong("phone.spend_per_day", format!("is {:?}: {error}", self.spend_per_day)),
            Ok(Amount(..0)) => return wrong("phone.spend_per_day", "must not be less than 0"),
            Ok(_) => {}
        }
        if (1..32).contains(&self.operator_token.len()) {
            return wrong("phone.operator_token", "must have 32 characters or more, as `openssl rand -hex 32` makes them");
        }
        between("phone.forget_after", u64::from(self.forget_after), 0, 36_500)
    }

    /// Returns the rules of the ledger.
    ///
    /// # Panics
    ///
    /// Where the configuration was not checked.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let openings = Openings::new(&self.allow).expect("the configuration was checked");
        let Amount(spend_per_day) = self.spend_per_day.parse().expect("the configuration was checked");
        Rules {
            openings,
            currency: self.currency.clone(),
            calls: self.calls,
            calls_per_minute: self.calls_per_minute,
            range_calls_per_hour: self.range_calls_per_hour,
            spend_per_day,
        }
    }
}

/// Checks the emergency numbers and their trunk.
fn check_emergency(emergency: &Emergency, trunks: &[Trunk]) -> Result<(), ConfigError> {
    let field = "phone.emergency";
    let is_short = |number: &&String| (2..=6).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    if let Some(number) = emergency.numbers.iter().find(|number| !is_short(number)) {
        return wrong(field, format!("has {number:?}; an emergency number has 2 to 6 digits"));
    }
    if !emergency.trunk.is_empty() && !trunks.iter().any(|trunk| trunk.name == emergency.trunk) {
        return wrong(field, format!("names the trunk {:?}, and there is no such [[trunk]]", emergency.trunk));
    }
    match trunks.iter().find(|trunk| emergency.numbers.iter().any(|number| trunk.has_extension(number))) {
        Some(trunk) => wrong("trunk.extensions", format!("of trunk {:?} have an emergency number among them", trunk.name)),
        None => Ok(()),
    }
}
