//! The state machines of a user agent (RFC 3261): transactions, dialogs, reliable responses, forks, session timers, credentials and the
//! registration. They handle messages and timers, and neither media nor the browser.
//!
//! ```text
//! sip ◀── ua ◀── the SDK's client, the gateway
//!
//! handle(now, what came), send(…) ──▶ Transactions, Dialog, Registration, Authenticator ──▶ poll(): what to do; deadline(): when to wake
//! ```
//!
//! The time ([`time`]) and the seed of random values ([`random`]) are arguments. After each call the driver polls until nothing is left to do, and
//! then asks for the deadline.
//!
//! [`Transactions`](transaction::Transactions), [`Dialog`](dialog::Dialog), [`Registration`](registration::Registration),
//! [`Authenticator`](authentication::Authenticator) and [`SessionTimer`](session_timer::SessionTimer) have examples.

pub mod authentication;
pub mod dialog;
pub mod forks;
pub mod glare;
pub mod log;
pub mod random;
pub mod registration;
pub mod reliable;
pub mod session_timer;
pub mod time;
pub mod timers;
pub mod transaction;
pub mod uas;
pub mod wall;

use std::time::Duration;

/// T1, the round-trip estimate: 500 ms (RFC 3261, 17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// T2, the longest interval between two retransmissions: 4 s.
pub const T2: Duration = Duration::from_secs(4);
/// T4, the longest that a message stays in the network: 5 s.
pub const T4: Duration = Duration::from_secs(5);
/// The time-out of a transaction: 64 * T1 = 32 s.
pub const TIMEOUT: Duration = Duration::from_secs(32);
