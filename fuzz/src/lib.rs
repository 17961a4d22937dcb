//! Everything that reads bytes from outside, as functions that take any bytes and may not fail: they panic where a rule is broken.
//!
//! `text` reads one value, `client`, `proxy`, `trunk` and `media` are whole machines that live a life written in the bytes, `gateway` has the
//! formats that only the gateway reads, `differential` asks a second parser of SIP.

mod client;
mod differential;
mod gateway;
mod media;
mod proxy;
mod text;
mod trunk;

/// Takes any bytes, panics where a rule is broken.
pub type Target = fn(&[u8]);

/// The steps of a life: each is a byte that says what happens, two with a length, and as many octets; 64 at most.
fn steps(data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = data;
    let next = move || {
        let [step, high, low, after @ ..] = rest else { return None };
        let (octets, after) = after.split_at(after.len().min(usize::from(u16::from_be_bytes([*high, *low]))));
        rest = after;
        Some((*step, octets))
    };
    std::iter::from_fn(next).take(64)
}

/// The targets, by the names that `scripts/fuzz` knows.
pub const TARGETS: &[(&str, Target)] = &[
    ("message", text::message),
    ("uri", text::uri),
    ("header", text::header),
    ("challenge", text::challenge),
    ("sdp", text::sdp),
    ("fragment", text::fragment),
    ("client", client::client),
    ("proxy", proxy::proxy),
    ("framing", trunk::framing),
    ("trunk", trunk::life),
    ("media", media::media),
    ("ticket", gateway::ticket),
    ("jwt", gateway::jwt),
    ("rest", gateway::rest),
    ("config", gateway::config),
    ("differential", differential::differential),
];
