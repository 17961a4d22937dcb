//! Requests signed by the back end of an application: `Authorization: application KEY:SIGNATURE`, as in Sinch's REST API.
//!
//! The signature covers method, body, content type, time and path, so none of them can be changed on the way; the time and a list of the
//! signatures seen prevent replay of requests that change something.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use offhook_ua::time::Instant;
use percent_encoding::percent_decode_str;
use sha2::Sha256;

use crate::ticket::read_iso;

/// The largest difference between the clocks of client and gateway; a signature is valid for twice as long.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// The largest number of signatures that are stored for an application.
const REMEMBERED: usize = 60_000;

/// How much longer signatures are stored while there is room: when the wall clock is put back, old ones become valid again.
const STEP: Duration = Duration::from_secs(3600);

/// The parts of a request that are signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Such as `POST`.
    pub method: &'a str,
    /// The path with its query, as sent.
    pub path: &'a str,
    /// The header `Content-Type`, as sent; empty where there is none.
    pub content_type: &'a str,
    /// The header `x-timestamp`, as sent: ISO 8601.
    pub timestamp: &'a str,
    /// The octets of the body.
    pub body: &'a [u8],
}

/// Why a signed request is rejected. The client is at fault in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// The signature does not match the request and the secret.
    Wrong,
    /// The time is missing or off by more than five minutes.
    Time,
    /// The request was received before.
    Replayed,
    /// There were more requests within ten minutes than can be stored.
    TooMany,
}

impl Signed<'_> {
    /// Returns the signature in Base64.
    #[must_use]
    pub fn sign(&self, secret: &[u8]) -> String {
        STANDARD.encode(self.keyed(secret).finalize().into_bytes())
    }

    /// Verifies `signature` in constant time, and returns its octets. It may be over the path as sent, or over the unescaped path.
    fn verify(&self, secret: &[u8], signature: &str) -> Result<Vec<u8>, SignatureError> {
        let octets = STANDARD.decode(signature).map_err(|_| SignatureError::Wrong)?;
        let is_over = |path: &str| Signed { path, ..*self }.keyed(secret).verify_slice(&octets).is_ok();
        let right = is_over(self.path) || unescaped(self.path).is_some_and(|path| is_over(&path));
        if right { Ok(octets) } else { Err(SignatureError::Wrong) }
    }

    /// Whether it changes nothing (RFC 9110, 9.2.1): then there is no harm in a replay, and two within a millisecond are equal.
    fn is_safe(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }

    /// Returns the code over method, MD5 of the body, content type, time and path, one line each.
    fn keyed(&self, secret: &[u8]) -> Hmac<Sha256> {
        let hash = if self.body.is_empty() { String::new() } else { STANDARD.encode(Md5::digest(self.body)) };
        let time = format!("x-timestamp:{}", self.timestamp);
        let text = [self.method, hash.as_str(), self.content_type, time.as_str(), self.path].join("\n");
        let mut keyed = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        keyed.update(text.as_bytes());
        keyed
    }
}

/// Returns the path and query without escapes, as some clients sign it. `None` where there are none, and where that could be the text of
/// another path or query, as with an escaped `/` or `&`, or in the query `+`, which stands for a blank there: a signature is for one request.
fn unescaped(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return None;
    }
    let is_plain = |escape: &str, marks: &[u8]| {
        let octet = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        octet.is_some_and(|octet| !octet.is_ascii_control() && !marks.contains(&octet))
    };
    let are_plain = |part: &str, marks: &[u8]| part.split('%').skip(1).all(|escape| is_plain(escape, marks));
    let (before, query) = path.split_once('?').unwrap_or((path, ""));
    if are_plain(before, b"/?#&=%") && are_plain(query, b"/?#&=%+") { percent_decode_str(path).decode_utf8().ok() } else { None }
}

/// The signatures that were received lately, for each application.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<String, Signatures>);

#[derive(Debug, Default)]
struct Signatures {
    all: BTreeSet<Vec<u8>>,
    /// The signatures in the order of arrival, with the time of arrival.
    order: VecDeque<(Instant, Vec<u8>)>,
}

impl Seen {
    /// Verifies a request of `application`. The signature of one that may change something is stored if it is valid, so that nobody without
    /// the secret can fill the memory. `now` is the monotonic clock, `date` the wall clock.
    ///
    /// # Errors
    ///
    /// Where the request is rejected.
    pub fn admit(
        &mut self,
        (now, date): (Instant, Instant),
        application: &str,
        secret: &[u8],
        signed: &Signed<'_>,
        signature: &str,
    ) -> Result<(), SignatureError> {
        let octets = signed.verify(secret, signature)?;
        let at = read_iso(signed.timestamp).ok_or(SignatureError::Time)?;
        if date - at > TOLERANCE || at - date > TOLERANCE {
            return Err(SignatureError::Time);
        }
        if signed.is_safe() {
            return Ok(());
        }
        let seen = self.0.entry(application.to_owned()).or_default();
        let life = 2 * TOLERANCE + if seen.all.len() < REMEMBERED { STEP } else { Duration::ZERO };
        while let Some((_, old)) = seen.order.pop_front_if(|(came, _)| now - *came > life) {
            seen.all.remove(&old);
        }
        if seen.all.contains(&octets) {
            return Err(SignatureError::Replayed);
        }
        if seen.all.len() >= REMEMBERED {
            return Err(SignatureError::TooMany);
        }
        seen.order.push_back((now, octets.clone()));
        seen.all.insert(octets);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "JViE5vDor0Sw3WllZka15Q==";
    const MESSAGE: Signed<'_> = Signed {
        method: "POST",
        path: "/v1/sms/+46700000000",
        content_type: "application/json",
        timestamp: "2014-06-04T13:41:58Z",
        body: br#"{"message":"Hello world"}"#,
    };
    const SIGNATURE: &str = "qDXMwzfaxCRS849c/2R0hg0nphgdHciTo7OdM6MsdnM=";

    #[test]
    fn the_published_examples_are_met() {
        assert_eq!(MESSAGE.sign(&secret(SECRET)), SIGNATURE);
        let callback = Signed {
            path: "/sinch/callback/ace",
            timestamp: "2014-09-24T10:59:41Z",
            body: br#"{"event":"ace","callid":"822aa4b7-05b4-4d83-87c7-1f835ee0b6f6_257","timestamp":"2014-09-24T10:59:41Z","version":1}"#,
            ..MESSAGE
        };
        assert_eq!(callback.sign(&secret("BeIukql3pTKJ8RGL5zo0DA==")), "Tg6fMyo8mj9pYfWQ9ssbx3Tc1BNC87IEygAfLbJqZb4=");
    }

    #[test]
    fn a_signed_request_is_accepted_once() {
        let mut seen = Seen::default();
        let mut admit = |millis: i64| seen.admit((moment(millis), moment(millis)), "shop", &secret(SECRET), &MESSAGE, SIGNATURE);
        assert_eq!(admit(-300_001), Err(SignatureError::Time));
        assert_eq!(admit(300_001), Err(SignatureError::Time));
        assert_eq!(admit(-300_000), Ok(()));
        assert_eq!(admit(0), Err(SignatureError::Replayed));
        assert_eq!(admit(300_000), Err(SignatureError::Replayed));
        assert_eq!(admit(300_001), Err(SignatureError::Time));
    }

    /// The wall clock is put back by an hour, or ahead and back.
    #[test]
    fn a_signed_request_is_accepted_once_whatever_the_wall_clock_shows() {
        let (mut seen, key) = (Seen::default(), secret(SECRET));
        let mut admit = |passed: i64, shown: i64| seen.admit((moment(passed), moment(shown)), "shop", &key, &MESSAGE, SIGNATURE);
        assert_eq!(admit(0, 0), Ok(()));
        for (passed, shown) in [(3_600_000, 0), (3_600_001, 3_600_001), (3_600_002, 2)] {
            let refused = if shown < 300_000 { SignatureError::Replayed } else { SignatureError::Time };
            assert_eq!(admit(passed, shown), Err(refused), "{passed} {shown}");
        }
        let later = Signed { timestamp: "2014-06-04T12:41:58Z", ..MESSAGE };
        let admitted = seen.admit((moment(10), moment(-3_600_000)), "shop", &key, &later, &later.sign(&key));
        assert_eq!(admitted, Ok(()), "others are welcome at once");
    }

    #[test]
    fn what_changes_nothing_may_be_asked_twice() {
        let (mut seen, key) = (Seen::default(), secret(SECRET));
        for method in ["GET", "HEAD"] {
            let signed = Signed { method, body: b"", ..MESSAGE };
            let signature = signed.sign(&key);
            let mut admit = |millis| seen.admit((moment(millis), moment(millis)), "shop", &key, &signed, &signature);
            assert_eq!([admit(0), admit(0), admit(300_001)], [Ok(()), Ok(()), Err(SignatureError::Time)], "{method}");
        }
        assert!(seen.0.is_empty(), "nothing is remembered");
    }

    #[test]
    fn the_path_is_signed_as_sent_or_unescaped() {
        let key = secret(SECRET);
        let verify = |sent, signed| {
            let signature = Signed { path: signed, ..MESSAGE }.sign(&key);
            Signed { path: sent, ..MESSAGE }.verify(&key, &signature).is_ok()
        };
        for (sent, unescaped) in [("/id/a%20b", "/id/a b"), ("/id/%2B46?x=%c3%a5", "/id/+46?x=å"), ("/%61", "/a")] {
            assert!(verify(sent, sent) && verify(sent, unescaped), "{sent}");
        }
        for (sent, other) in [
            ("/id/a%2Fb", "/id/a/b"),
            ("/id%3Fkey=shop", "/id?key=shop"),
            ("/id?a=1%26b=2", "/id?a=1&b=2"),
            ("/id?a%3D1", "/id?a=1"),
            ("/id%23a", "/id#a"),
            ("/id/a%2520b", "/id/a%20b"),
            ("/id/a%2520b", "/id/a b"),
            ("/id/a%20b%2fc", "/id/a b/c"),
            ("/id/a b", "/id/a%20b"),
            ("/id/a%0Ab", "/id/a\nb"),
            ("/id/a%20b%", "/id/a b%"),
            ("/id/a+b", "/id/a b"),
            ("/id?x=a%2Bb", "/id?x=a+b"),
            ("/id/%2B46?x=a%2Bb", "/id/+46?x=a+b"),
            ("/id/%ff", "/id/\u{fffd}"),
        ] {
            assert!(!verify(sent, other), "{sent} is not {other}");
        }
        let body = Signed { path: "/id/a b", body: b"{}", ..MESSAGE }.sign(&key);
        assert!(Signed { path: "/id/a%20b", ..MESSAGE }.verify(&key, &body).is_err(), "all else is signed as before");
    }

    #[test]
    fn an_application_is_remembered_by_itself_and_so_long_as_needed() {
        let mut seen = Seen::default();
        let key = secret(SECRET);
        for n in 0..REMEMBERED {
            let path = format!("/{n}");
            let signed = Signed { path: &path, ..MESSAGE };
            assert_eq!(seen.admit((moment(0), moment(0)), "shop", &key, &signed, &signed.sign(&key)), Ok(()));
        }
        assert_eq!(seen.admit((moment(0), moment(0)), "shop", &key, &MESSAGE, SIGNATURE), Err(SignatureError::TooMany));
        assert_eq!(seen.admit((moment(0), moment(0)), "other", &key, &MESSAGE, SIGNATURE), Ok(()));
        let later = Signed { timestamp: "2014-06-04T13:51:59Z", ..MESSAGE };
        assert_eq!(seen.admit((moment(601_000), moment(601_000)), "shop", &key, &later, &later.sign(&key)), Ok(()));
        assert_eq!(seen.0["shop"].all.len(), 1);
    }

    /// Each bit of all that is signed and of the signature, for thirty bodies.
    #[test]
    fn a_hundred_thousand_flipped_bits_are_refused() {
        let key = secret(SECRET);
        let mut refused = 0;
        for round in 0..30u8 {
            let body = [round; 350];
            let signed = Signed { body: &body, ..MESSAGE };
            let signature = signed.sign(&key);
            let mut refuse = |signed: &Signed<'_>, signature: &str| {
                assert_eq!(signed.verify(&key, signature), Err(SignatureError::Wrong), "{signed:?} {signature}");
                refused += 1;
            };
            flips(&body).for_each(|body| refuse(&Signed { body: &body, ..signed }, &signature));
            texts(signed.method).for_each(|method| refuse(&Signed { method: &method, ..signed }, &signature));
            texts(signed.path).for_each(|path| refuse(&Signed { path: &path, ..signed }, &signature));
            texts(signed.content_type).for_each(|kind| refuse(&Signed { content_type: &kind, ..signed }, &signature));
            texts(signed.timestamp).for_each(|time| refuse(&Signed { timestamp: &time, ..signed }, &signature));
            texts(&signature).for_each(|flipped| refuse(&signed, &flipped));
        }
        assert!(refused >= 100_000, "{refused}");
    }

    /// Only flips that are still UTF-8: header fields that are not are rejected earlier.
    fn texts(text: &str) -> impl Iterator<Item = String> {
        flips(text.as_bytes()).filter_map(|octets| String::from_utf8(octets).ok())
    }

    fn flips(octets: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..octets.len() * 8).map(|bit| {
            let mut flipped = octets.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        })
    }

    fn secret(text: &str) -> Vec<u8> {
        STANDARD.decode(text).expect("Base64")
    }

    /// The time `millis` after the message was signed.
    fn moment(millis: i64) -> Instant {
        let signed = read_iso(MESSAGE.timestamp).expect("a time").millis();
        Instant::from_millis(signed.saturating_add_signed(millis))
    }
}
