//! Everything that reads bytes from outside, as functions that take any bytes and may not fail: they panic where a rule is broken.
//!
//! `text` reads one value, `client`, `hub`, `trunk` and `media` are whole machines that live a life written in the bytes, `gateway` has the formats that
//! only the gateway reads, `differential` asks a second parser of SIP.

mod client;
mod differential;
mod gateway;
mod hub;
mod media;
mod text;
mod trunk;

/// Takes any bytes, panics where a rule is broken.
pub type Target = fn(&[u8]);

/// The targets, by the names that `scripts/fuzz` knows.
pub const TARGETS: &[(&str, Target)] = &[
    ("message", text::message),
    ("uri", text::uri),
    ("header", text::header),
    ("challenge", text::challenge),
    ("sdp", text::sdp),
    ("fragment", text::fragment),
    ("client", client::client),
    ("hub", hub::hub),
    ("framing", trunk::framing),
    ("trunk", trunk::life),
    ("media", media::media),
    ("ticket", gateway::ticket),
    ("jwt", gateway::jwt),
    ("rest", gateway::rest),
    ("config", gateway::config),
    ("differential", differential::differential),
];
