//! Calls for web pages: a SIP user agent over WebSocket (RFC 7118) and WebRTC, as one state machine without clock, socket or
//! browser, and, on `wasm32`, the browser I/O and the JavaScript API around it.
//!
//! ```text
//! page ── js ── client ── ua ── sip ── web ══ WebSocket ══ server
//!         API   call     RFC 3261 text   browser
//!               state    state     ⇄      I/O
//!                      machines  values
//! ```
//!
//! `sip` and `ua` are crates of their own. Each module may use only those above it in the list below.

pub mod client;

#[cfg(target_arch = "wasm32")]
pub mod web;

#[cfg(target_arch = "wasm32")]
pub mod js;
