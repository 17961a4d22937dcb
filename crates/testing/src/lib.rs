//! What the tests of several crates share.
//!
//! ```text
//! sip, ua, the SDK ─┐                     ┌ corpora, numbers   the messages of the RFCs, damaged in the same way in every run
//! media, gateway ───┼── dev-dependency ──▶┤ descriptions       odd ones that everybody takes
//!                   │                     ├ ladder, text       what a person reads of a call
//! proxy, b2bua ─────┤                     ├ phone, tone        a plain phone's RTP, and sound that is found again in what came of it
//! fuzz ─────────────┘                     └ switch, world      the proxy in virtual time, with phones that write real SIP
//! ```
//!
//! The last two need the proxy and come with the feature `switch`; without it this crate needs no more than `sip`, and is wasm, too. It
//! does not depend on the SDK: tests with real clients build these themselves.

pub mod corpora;
pub mod descriptions;
pub mod ladder;
mod numbers;
pub mod phone;
#[cfg(feature = "switch")]
pub mod switch;
pub mod text;
pub mod tone;
#[cfg(feature = "switch")]
pub mod world;

pub use numbers::Numbers;
