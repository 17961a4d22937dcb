//! The embedded back end of Offhook, in one process: sockets, clock and storage around the state machines.
//!
//! ```text
//! page ══ WebSocket ══ server ── proxy
//!                      I/O        └──── b2bua ──┬── trunk ══ server ══ UDP, TCP, TLS ══ providers, SIP servers
//!                        │         calls that   ├── media ══ server ══ UDP ══ the same, and pages
//!                        │         leave pages  └── ledger  billing
//!                        ├── store     applications, users, numbers, credit, call records
//!                        └── assets    demo page and package
//! ```
//!
//! Only this crate does input and output. `proxy`, `b2bua`, `trunk`, `media`, `ledger` and `access` are crates of state machines
//! over values.

pub mod config;
pub mod log;
pub mod metrics;
pub mod server;
pub mod store;
pub mod tls;
