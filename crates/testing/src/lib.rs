//! Helpers for the tests of several crates.
//!
//! ```text
//! sip, ua, the SDK ─┐                     ┌ corpora, numbers   the messages of the RFCs, and reproducible random numbers
//! media, gateway ───┼── dev-dependency ──▶┤ descriptions       unusual ones that all readers have to accept
//!                   │                     ├ ladder, text       messages and calls in a readable form
//! proxy, b2bua ─────┤                     ├ phone, tone        RTP of a SIP phone; tones, and their detection in decoded sound
//! fuzz ─────────────┘                     ├ log                log lines of the state machines
//!                                         └ switch, world      the proxy in virtual time, with phones that send real SIP
//! ```
//!
//! The last two need the proxy and are behind the feature `switch`, the log is behind `log`; without them this crate depends only on `sip`, and
//! compiles to wasm, too. It does not depend on the SDK: tests with real clients create these themselves.

pub mod corpora;
pub mod descriptions;
pub mod ladder;
#[cfg(feature = "log")]
pub mod log;
mod numbers;
pub mod phone;
#[cfg(feature = "switch")]
pub mod switch;
pub mod text;
pub mod tone;
#[cfg(feature = "switch")]
pub mod world;

pub use numbers::Numbers;
