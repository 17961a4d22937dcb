//! The embedded back end of Offhook, in one process: an edge that owns sockets, clock and storage, and a switch that owns the rules.
//!
//! ```text
//! page ══ WebSocket ══ server ── hub ── registrar
//!                      edge       └──── bridge ──┬── trunk ══ server ══ UDP, TCP, TLS ══ providers, SIP servers
//!                        │         calls that    ├── media ══ server ══ UDP ══ the same, and pages
//!                        │         leave pages   └── ledger  what they cost, and who may make them
//!                        ├── store     applications, users, numbers, credit, call records
//!                        └── assets    demo page and package
//! ```
//!
//! [`server`] and [`store`] may touch the world; all others know only values. The machines among them are [`hub`], [`bridge`], [`trunk`] and
//! [`media`].

pub mod bridge;
pub mod bucket;
pub mod config;
pub mod hub;
pub mod ledger;
pub mod log;
pub mod media;
pub mod metrics;
pub mod network;
pub mod nonce;
pub mod proofs;
pub mod registrar;
pub mod secret;
pub mod server;
pub mod signature;
pub mod silent;
pub mod store;
pub mod telephone;
pub mod test_number;
pub mod ticket;
pub mod timers;
pub mod tls;
pub mod trunk;
pub mod wall;
