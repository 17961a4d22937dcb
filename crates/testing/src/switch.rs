//! Settings of the proxy for tests: its domain, and an application with tickets.

use std::collections::BTreeMap;
use std::time::Duration;

use offhook_access::proofs::Proofs;
use offhook_access::secret::Secret;
use offhook_access::ticket::ticket;
use offhook_proxy::{Application, Settings};
use offhook_ua::time::Instant;

/// The SIP domain.
pub const DOMAIN: &str = "calls.example";
/// The key of the application.
pub const KEY: &str = "demo";
/// The secret of the application.
pub const SECRET: &[u8] = b"a secret of the application";

/// Returns settings for tests: no TURN, and limits that tests do not reach by accident.
#[must_use]
pub fn settings() -> Settings {
    Settings {
        domain: DOMAIN.into(),
        applications: BTreeMap::from([(KEY.into(), Application { key: KEY.into(), secret: Secret::shared(SECRET.to_vec()) })]),
        ice_servers: Vec::new(),
        turn_secret: None,
        turn_ttl: 600,
        hold_offline: Duration::from_millis(10_500),
        emergency: vec!["112".into(), "911".into()],
        per_second: 0,
        user_per_second: 0,
        max_silent: 1_000,
        max_connections_per_user: 20,
        max_calls_per_user: 10,
        max_waiting_per_caller: 5,
        proofs: Proofs::default(),
        b2bua: false,
    }
}

/// Returns a ticket of a user of the application, made at `date` and valid for an hour.
#[must_use]
pub fn ticket_of(user: &str, date: Instant) -> String {
    ticket(KEY, SECRET, user, date, 3600)
}
