//! Nonces of digest challenges that need no memory: time, connection, and a code that only the switch can make.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use offhook::time::Instant;
use sha2::Sha256;

use super::ConnId;

/// How long a nonce may be used, in milliseconds.
const LIFE: u64 = 300_000;

/// A new nonce for `conn`.
pub(super) fn make(key: &[u8; 32], now: Instant, conn: ConnId) -> String {
    let time = now.millis().to_be_bytes();
    let mut bytes = time.to_vec();
    bytes.extend_from_slice(&code(key, now, conn).finalize().into_bytes()[..16]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// When `nonce` was made, where it was made for `conn` and is not too old.
pub(super) fn check(key: &[u8; 32], now: Instant, conn: ConnId, nonce: &str) -> Option<Instant> {
    let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
    let (time, mac) = bytes.split_first_chunk::<8>()?;
    let made = Instant::from_millis(u64::from_be_bytes(*time));
    if mac.len() != 16 || code(key, made, conn).verify_truncated_left(mac).is_err() {
        return None;
    }
    (made <= now && now - made <= LIFE).then_some(made)
}

fn code(key: &[u8; 32], made: Instant, conn: ConnId) -> Hmac<Sha256> {
    let mut hash = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    hash.update(&made.millis().to_be_bytes());
    hash.update(&conn.0.to_be_bytes());
    hash
}
