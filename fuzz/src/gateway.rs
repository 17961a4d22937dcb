//! What only the gateway reads: proofs of identity, the bodies of its HTTP calls, its configuration.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use offhook_access::secret::Secret;
use offhook_access::ticket;
use offhook_gateway::config::Config;
use offhook_gateway::server::body::{Login, TicketRequest};
use offhook_ua::time::Instant;
use sha2::Sha256;

const KEY: &str = "demo";
const SECRET: &[u8] = b"a secret of the application";
/// 2026-03-01T12:00:00Z.
const NOW: Instant = Instant::from_millis(1_772_366_400_000);

/// A user ticket: none that we did not sign is good.
pub fn ticket(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    forged(ticket::verify_ticket(KEY, SECRET, text, NOW));
    // The same words, signed: what they say is read only now.
    let signed = [STANDARD.encode(data), STANDARD.encode(mac(SECRET, data))].join(":");
    if let Ok(verified) = ticket::verify(KEY, &Secret::shared(SECRET.to_vec()), &signed, NOW) {
        sound(&verified);
    }
}

/// A registration token, likewise; the first line is its header, the rest its claims.
pub fn jwt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    forged(ticket::verify_jwt(KEY, SECRET, text, NOW));
    let (header, claims) = text.split_once('\n').unwrap_or((r#"{"alg":"HS256","kid":"hkdfv1-20260301"}"#, text));
    let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = URL_SAFE_NO_PAD.encode(mac(&mac(SECRET, b"20260301"), signed.as_bytes()));
    if let Ok(verified) = ticket::verify(KEY, &Secret::shared(SECRET.to_vec()), &[signed, signature].join("."), NOW) {
        sound(&verified);
    }
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut hash = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    hash.update(data);
    hash.finalize().into_bytes().to_vec()
}

fn forged(result: Result<ticket::Verified, ticket::TokenError>) {
    assert!(result.is_err(), "nobody can sign without the secret");
}

/// A good proof names somebody and has not run out.
fn sound(verified: &ticket::Verified) {
    assert!((1..=ticket::MAX_USER).contains(&verified.user.len()));
    assert!(verified.expires + Duration::from_secs(60) >= NOW);
}

/// The JSON bodies of the HTTP calls.
pub fn rest(data: &[u8]) {
    let _ = (Login::read(data), TicketRequest::read(data));
}

/// A configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(config) = Config::parse(text) {
        let _ = (config.check().map_err(|error| error.to_string()), config.address(), config.tls_on());
    }
}
