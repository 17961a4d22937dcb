//! The embedded back end of Offhook, in one process: an edge that owns sockets, clock and storage, around the machines that own the rules.
//!
//! ```text
//! page ══ WebSocket ══ server ── proxy
//!                      edge       └──── b2bua ──┬── trunk ══ server ══ UDP, TCP, TLS ══ providers, SIP servers
//!                        │         calls that   ├── media ══ server ══ UDP ══ the same, and pages
//!                        │         leave pages  └── ledger  what they cost, and who may make them
//!                        ├── store     applications, users, numbers, credit, call records
//!                        └── assets    demo page and package
//! ```
//!
//! What is in this crate may touch the world. `proxy`, `b2bua`, `trunk`, `media`, `ledger` and `access` are crates of their own that know only
//! values.

pub mod config;
pub mod log;
pub mod metrics;
pub mod server;
pub mod store;
pub mod tls;
