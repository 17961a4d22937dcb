//! Tickets and registration tokens: the published vectors, and everything that must not pass.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use offhook_access::secret::Secret;
use offhook_access::ticket::{TokenError, ticket, verify, verify_jwt, verify_ticket};
use offhook_ua::time::Instant;
use serde_json::{Value, json};
use sha2::Sha256;

use offhook_testing::corpora::FILES;

const KEY: &str = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";
/// 2018-01-02T03:04:05Z.
const NOW: u64 = 1_514_862_245_000;

fn secret() -> Vec<u8> {
    STANDARD.decode("ax8hTTQJF0OPXL32r1LHMA==").unwrap()
}

fn now() -> Instant {
    Instant::from_millis(NOW)
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut hash = Hmac::<Sha256>::new_from_slice(key).unwrap();
    hash.update(data);
    hash.finalize().into_bytes().to_vec()
}

/// A token over any header and claims, rightly signed with the key of `day`.
fn signed(header: &str, claims: &str, day: &str) -> String {
    let text = [URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims)].join(".");
    let signature = mac(&mac(&secret(), day.as_bytes()), text.as_bytes());
    [text, URL_SAFE_NO_PAD.encode(signature)].join(".")
}

fn header() -> Value {
    json!({"alg": "HS256", "kid": "hkdfv1-20180102"})
}

fn claims() -> Value {
    let issuer = format!("//rtc.sinch.com/applications/{KEY}");
    let subject = format!("{issuer}/users/foo");
    json!({"iss": issuer, "sub": subject, "iat": NOW / 1000, "exp": NOW / 1000 + 600, "nonce": "6b438bda-2d5c-4e8c-92b0-39f20a94b34e"})
}

fn jwt(change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (mut header, mut claims) = (header(), claims());
    change(&mut header, &mut claims);
    let day = header["kid"].as_str().and_then(|kid| kid.strip_prefix("hkdfv1-")).unwrap_or("20180102").to_owned();
    signed(&header.to_string(), &claims.to_string(), &day)
}

fn check(token: &str) -> Result<String, TokenError> {
    verify_jwt(KEY, &secret(), token, now()).map(|verified| verified.user)
}

/// A ticket over any text, rightly signed.
fn ticket_of(data: &str) -> String {
    [STANDARD.encode(data), STANDARD.encode(mac(&secret(), data.as_bytes()))].join(":")
}

fn check_ticket(text: &str) -> Result<String, TokenError> {
    verify_ticket(KEY, &secret(), text, now()).map(|verified| verified.user)
}

fn ticket_with(created: &str, life: &str) -> String {
    ticket_of(&format!(
        r#"{{"identity":{{"type":"username","endpoint":"foo"}},"expiresIn":{life},"applicationKey":"{KEY}","created":{created}}}"#
    ))
}

#[test]
fn the_published_vector_holds() {
    assert_eq!(STANDARD.encode(mac(&secret(), b"20180102")), "AZj5EsS8S7wb06xr5jERqPHsraQt3w/+Ih5EfrhisBQ=");
    let header = r#"{"alg":"HS256","kid":"hkdfv1-20180102"}"#;
    let claims = format!(
        r#"{{"iss":"//rtc.sinch.com/applications/{KEY}","sub":"//rtc.sinch.com/applications/{KEY}/users/foo","iat":1514862245,"exp":1514862845,"nonce":"6b438bda-2d5c-4e8c-92b0-39f20a94b34e"}}"#
    );
    let token = signed(header, &claims, "20180102");
    assert!(token.ends_with(".EUltTTD4fxhkwCgLgj6qSQXKawpwQ952Ywm3OwQSARo"), "{token}");
    assert_eq!(check(&token), Ok("foo".into()));
    let token = verify(KEY, &Secret::shared(secret()), &token, now()).unwrap();
    assert_eq!((token.user.as_str(), token.expires), ("foo", now() + Duration::from_secs(600)));
}

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn published_signatures_of_applications_hold() {
    let (_, text) = FILES.iter().find(|(path, _)| *path == "sinch-signing/vectors.json").expect("it is among the corpora");
    let vectors: Value = serde_json::from_slice(text).unwrap();
    for vector in vectors.as_array().unwrap() {
        let secret = STANDARD.decode(vector["applicationSecret"].as_str().unwrap()).unwrap();
        let signature = STANDARD.encode(mac(&secret, vector["stringToSign"].as_str().unwrap().as_bytes()));
        assert_eq!(signature, vector["signature"]);
    }
}

#[test]
fn our_own_tickets_pass_and_run_out() {
    let text = ticket(KEY, &secret(), "anna ü", now(), 60);
    assert_eq!(check_ticket(&text), Ok("anna ü".into()));
    let at = |millis| verify_ticket(KEY, &secret(), &text, Instant::from_millis(millis)).map(|verified| verified.expires);
    assert_eq!(at(NOW + 119_999), Ok(now() + Duration::from_secs(60)));
    assert_eq!(at(NOW + 120_000), Err(TokenError::Expired));
    assert_eq!(at(NOW - 60_000), Ok(now() + Duration::from_secs(60)));
    assert_eq!(at(NOW - 60_001), Err(TokenError::NotYet));
}

#[test]
fn tickets_of_many_generators_pass() {
    for created in [
        "2018-01-02T03:04:05.000Z",
        "2018-01-02T03:04:05",
        "2018-01-02T03:04:05.123456",
        "2018-01-02 03:04:05",
        "2018-01-02T04:04:05+01:00",
    ] {
        assert_eq!(check_ticket(&ticket_with(&format!("{created:?}"), "3600")), Ok("foo".into()), "{created}");
    }
    let spaced = ticket_of(&format!(
        "{{ \"identity\" : {{\"type\": \"username\",\n \"endpoint\": \"foo\"}}, \"applicationKey\": \"{KEY}\", \"created\": \"2018-01-02T03:04:05\", \"expiresIn\": 86400 }}"
    ));
    assert_eq!(check_ticket(&spaced), Ok("foo".into()));
    assert_eq!(check_ticket(&spaced.replace('=', "")), Ok("foo".into()), "without padding");
}

#[test]
fn bad_tickets_are_refused() {
    let good = ticket(KEY, &secret(), "foo", now(), 60);
    let (data, signature) = good.split_once(':').unwrap();
    let identity = |identity: &str, key: &str| {
        ticket_of(&format!(r#"{{"identity":{identity},"applicationKey":"{key}","created":"2018-01-02T03:04:05Z","expiresIn":60}}"#))
    };
    let foo = r#"{"type":"username","endpoint":"foo"}"#;
    let other = String::from_utf8(STANDARD.decode(data).unwrap()).unwrap().replace("foo", "bar");
    let cases = [
        ("empty", String::new(), TokenError::Shape),
        ("no signature", data.to_owned(), TokenError::Shape),
        ("empty signature", format!("{data}:"), TokenError::Signature),
        ("short signature", format!("{data}:{}", &signature[..20]), TokenError::Signature),
        ("signature of other data", format!("{}:{signature}", STANDARD.encode(other)), TokenError::Signature),
        ("other secret", ticket(KEY, b"x", "foo", now(), 60), TokenError::Signature),
        ("not Base64", format!("!{data}:{signature}"), TokenError::Encoding),
        ("signature not Base64", format!("{data}:!!!"), TokenError::Encoding),
        ("second colon", format!("{good}:x"), TokenError::Encoding),
        ("not JSON", ticket_of("hello"), TokenError::Json),
        ("JSON but no object", ticket_of("[1]"), TokenError::Json),
        ("deep JSON", ticket_of(&"[".repeat(2000)), TokenError::Json),
        ("no identity", identity("null", KEY), TokenError::User),
        ("identity of another type", identity(r#"{"type":"email","endpoint":"foo"}"#, KEY), TokenError::User),
        ("no endpoint", identity(r#"{"type":"username"}"#, KEY), TokenError::User),
        ("empty endpoint", identity(r#"{"type":"username","endpoint":""}"#, KEY), TokenError::User),
        ("endpoint a number", identity(r#"{"type":"username","endpoint":7}"#, KEY), TokenError::User),
        ("line end in the user", identity(r#"{"type":"username","endpoint":"a\r\nb"}"#, KEY), TokenError::User),
        ("long user", identity(&format!(r#"{{"type":"username","endpoint":"{}"}}"#, "x".repeat(256)), KEY), TokenError::User),
        ("other application", identity(foo, "other"), TokenError::Application),
        ("no created", ticket_with("null", "60"), TokenError::Time),
        ("created a number", ticket_with("1514862245", "60"), TokenError::Time),
        ("created no date", ticket_with("\"yesterday\"", "60"), TokenError::Time),
        ("life missing", ticket_with("\"2018-01-02T03:04:05Z\"", "null"), TokenError::Time),
        ("no life", ticket_with("\"2018-01-02T03:04:05Z\"", "0"), TokenError::Time),
        ("negative life", ticket_with("\"2018-01-02T03:04:05Z\"", "-60"), TokenError::Time),
        ("endless life", ticket_with("\"2018-01-02T03:04:05Z\"", "99999999999"), TokenError::Time),
        ("life a text", ticket_with("\"2018-01-02T03:04:05Z\"", "\"60\""), TokenError::Time),
        ("expired", ticket_with("\"2018-01-02T02:00:00Z\"", "60"), TokenError::Expired),
        ("from the future", ticket_with("\"2018-01-02T03:05:06Z\"", "60"), TokenError::NotYet),
        ("too long", "A".repeat(5000), TokenError::TooLong),
    ];
    for (name, text, error) in cases {
        assert_eq!(check_ticket(&text), Err(error), "{name}");
    }
}

#[test]
fn bad_tokens_are_refused() {
    let good = jwt(|_, _| {});
    assert_eq!(check(&good), Ok("foo".into()));
    let parts: Vec<&str> = good.split('.').collect();
    let flipped = |at: usize| {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let at = |seconds: i64| json!((NOW / 1000).checked_add_signed(seconds).unwrap());
    let plain = |header: &str| [URL_SAFE_NO_PAD.encode(header), parts[1].to_owned(), String::new()].join(".");
    let cases = [
        ("empty", String::new(), TokenError::Shape),
        ("one part", parts[0].to_owned(), TokenError::Shape),
        ("two parts", parts[..2].join("."), TokenError::Shape),
        ("four parts", format!("{good}.x"), TokenError::Encoding),
        ("alg none, no signature", plain(r#"{"alg":"none","kid":"hkdfv1-20180102"}"#), TokenError::Algorithm),
        ("alg None", jwt(|h, _| h["alg"] = json!("None")), TokenError::Algorithm),
        ("alg hs256", jwt(|h, _| h["alg"] = json!("hs256")), TokenError::Algorithm),
        ("alg HS512", jwt(|h, _| h["alg"] = json!("HS512")), TokenError::Algorithm),
        ("alg RS256", jwt(|h, _| h["alg"] = json!("RS256")), TokenError::Algorithm),
        ("alg a list", jwt(|h, _| h["alg"] = json!(["HS256"])), TokenError::Algorithm),
        ("no alg", jwt(|h, _| h["alg"] = Value::Null), TokenError::Algorithm),
        ("critical extension", jwt(|h, _| h["crit"] = json!(["exp"])), TokenError::Algorithm),
        ("no kid", jwt(|h, _| h["kid"] = Value::Null), TokenError::Key),
        ("bare day", jwt(|h, _| h["kid"] = json!("20180102")), TokenError::Key),
        ("other scheme", jwt(|h, _| h["kid"] = json!("hkdfv2-20180102")), TokenError::Key),
        ("path in kid", jwt(|h, _| h["kid"] = json!("hkdfv1-../../dev/null")), TokenError::Key),
        ("day before yesterday", jwt(|h, _| h["kid"] = json!("hkdfv1-20171231")), TokenError::Key),
        ("tomorrow", jwt(|h, _| h["kid"] = json!("hkdfv1-20180103")), TokenError::Key),
        ("key of another day", signed(&header().to_string(), &claims().to_string(), "20180101"), TokenError::Signature),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), TokenError::Signature),
        ("half a signature", good[..good.len() - 22].to_owned(), TokenError::Encoding),
        ("claims changed", flipped(parts[0].len() + 20), TokenError::Signature),
        ("signature changed", flipped(good.len() - 20), TokenError::Signature),
        ("padding", format!("{good}="), TokenError::Encoding),
        ("header not JSON", signed("hello", &claims().to_string(), "20180102"), TokenError::Json),
        ("claims not JSON", signed(&header().to_string(), "hello", "20180102"), TokenError::Json),
        ("claims a list", signed(&header().to_string(), "[]", "20180102"), TokenError::Json),
        ("no issuer", jwt(|_, c| c["iss"] = Value::Null), TokenError::Application),
        ("bare issuer", jwt(|_, c| c["iss"] = json!(KEY)), TokenError::Application),
        ("issuer of another", jwt(|_, c| c["iss"] = json!("//rtc.sinch.com/applications/other")), TokenError::Application),
        ("no subject", jwt(|_, c| c["sub"] = Value::Null), TokenError::User),
        ("bare subject", jwt(|_, c| c["sub"] = json!("foo")), TokenError::User),
        (
            "subject of another application",
            jwt(|_, c| c["sub"] = json!("//rtc.sinch.com/applications/other/users/foo")),
            TokenError::User,
        ),
        ("empty subject", jwt(|_, c| c["sub"] = json!(format!("//rtc.sinch.com/applications/{KEY}/users/"))), TokenError::User),
        ("no iat", jwt(|_, c| c["iat"] = Value::Null), TokenError::Time),
        ("no exp", jwt(|_, c| c["exp"] = Value::Null), TokenError::Time),
        ("exp a text", jwt(|_, c| c["exp"] = json!("1514862845")), TokenError::Time),
        ("exp before iat", jwt(|_, c| c["exp"] = at(-1)), TokenError::Time),
        ("exp beyond all time", jwt(|_, c| c["exp"] = json!(1e300)), TokenError::Time),
        ("negative iat", jwt(|_, c| c["iat"] = json!(-1)), TokenError::Time),
        ("expired", jwt(|_, c| (c["iat"], c["exp"]) = (at(-700), at(-60))), TokenError::Expired),
        ("from the future", jwt(|_, c| (c["iat"], c["exp"]) = (at(61), at(600))), TokenError::NotYet),
        ("not before", jwt(|_, c| c["nbf"] = at(61)), TokenError::NotYet),
        ("nbf a text", jwt(|_, c| c["nbf"] = json!("now")), TokenError::Time),
        ("too long", "A".repeat(5000), TokenError::TooLong),
    ];
    for (name, text, error) in cases {
        assert_eq!(check(&text), Err(error), "{name}");
    }
    assert_eq!(verify_jwt(KEY, b"other", &good, now()), Err(TokenError::Signature));
}

#[test]
fn yesterdays_key_and_a_clock_a_minute_off_pass() {
    assert!(check(&jwt(|h, _| h["kid"] = json!("hkdfv1-20180101"))).is_ok());
    assert!(check(&jwt(|_, c| (c["iat"], c["exp"]) = (json!(NOW / 1000 + 60), json!(NOW / 1000 + 660)))).is_ok());
    assert!(check(&jwt(|_, c| (c["iat"], c["exp"]) = (json!(NOW / 1000 - 600), json!(NOW / 1000 - 59)))).is_ok());
    assert!(check(&jwt(|h, _| h["type"] = json!("JWT"))).is_ok());
    // Half a minute before midnight, made on a machine whose clock is ahead.
    let eve = Instant::from_millis(NOW / 86_400_000 * 86_400_000 - 30_000);
    let token = jwt(|_, c| (c["iat"], c["exp"]) = (json!(eve.millis() / 1000 + 31), json!(eve.millis() / 1000 + 600)));
    assert!(verify_jwt(KEY, &secret(), &token, eve).is_ok());
}
