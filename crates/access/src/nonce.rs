//! Nonces for digest challenges that need no state: a time stamp, and a message authentication code over it and the origin of the request.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use offhook_ua::time::Instant;
use sha2::Sha256;

/// How long a nonce is valid.
const LIFE: Duration = Duration::from_secs(300);

/// Returns a new nonce for requests from `place`: the connection or address that they come from.
#[must_use]
pub fn make(key: &[u8; 32], now: Instant, place: &[u8]) -> String {
    let time = now.millis().to_be_bytes();
    let mut bytes = time.to_vec();
    bytes.extend_from_slice(&code(key, now, place).finalize().into_bytes()[..16]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns when `nonce` was made; `None` unless [`make`] made it with this key and `place`, and it is at most five minutes old.
#[must_use]
pub fn check(key: &[u8; 32], now: Instant, place: &[u8], nonce: &str) -> Option<Instant> {
    let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
    let (time, mac) = bytes.split_first_chunk::<8>()?;
    let made = Instant::from_millis(u64::from_be_bytes(*time));
    if mac.len() != 16 || code(key, made, place).verify_truncated_left(mac).is_err() {
        return None;
    }
    (made <= now && now - made <= LIFE).then_some(made)
}

fn code(key: &[u8; 32], made: Instant, place: &[u8]) -> Hmac<Sha256> {
    let mut hash = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    hash.update(&made.millis().to_be_bytes());
    hash.update(place);
    hash
}
