//! Calls for web pages: a SIP user agent over WebSocket (RFC 7118) and WebRTC, as one machine without clock, socket or browser,
//! and, on `wasm32`, the browser edge and the JavaScript face around it.
//!
//! ```text
//! page ── js ── client ── call ── signalling ── sip ── web ══ WebSocket ══ server
//!         face   one      what     RFC 3261     text    edge
//!               machine  the app   machines     ⇄
//!                         sees                 values
//! ```
//!
//! Each module may use only those above it in the list below.

pub mod text;
pub mod time;

pub mod hash;

pub mod random;

pub mod sip;

pub mod sdp;

pub mod signalling;

pub mod call;

pub mod client;

#[cfg(target_arch = "wasm32")]
pub mod web;

#[cfg(target_arch = "wasm32")]
pub mod js;
