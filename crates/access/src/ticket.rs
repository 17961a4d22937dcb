//! Credentials made by the back end of an application: user tickets and registration tokens (JWT, HS256 only).
//!
//! The signature is verified over the octets as received, in constant time, before anything that it covers is used.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use offhook_ua::time::Instant;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::parsing::Parsed;
use time::{PrimitiveDateTime, UtcDateTime, UtcOffset};

use crate::secret::{Secret, Use};

/// The largest difference between the clocks of the application's back end and of the gateway.
const LEEWAY: Duration = Duration::from_secs(60);
/// The longest ticket or token in octets.
const MAX_TOKEN: usize = 4096;
/// The longest user id in octets.
pub const MAX_USER: usize = 255;
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

const DAY_FORMAT: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]");
const ISO_FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
/// ISO 8601 with the zone `Z`, `+01:00`, `+0100` or `+01`, or without one.
const READ_FORMAT: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[year]-[month]-[day][first [T][t][ ]][hour]:[minute]:[second][optional [[first [.][,]][subsecond]]]\
     [optional [[first [Z][z][[offset_hour sign:mandatory][optional [[optional [:]][offset_minute]]]]]]]"
);

/// Base64 with or without padding: ticket generators differ.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// The content of a valid ticket or token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The user id.
    pub user: String,
    /// When the ticket or token expires.
    pub expires: Instant,
    /// For a ticket that was issued for a password: the revision of the password in the account.
    pub password: Option<u64>,
}

impl Verified {
    /// Returns when the ticket or token is rejected at last, with tolerance for clocks that differ.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.expires + LEEWAY
    }
}

/// Why a ticket or token is rejected. Its issuer is at fault, except that a wrong clock also causes `Expired` and `NotYet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum TokenError {
    /// Over 4,096 octets.
    TooLong,
    /// It has another number of parts than it should.
    Shape,
    /// A part is not Base64.
    Encoding,
    /// A part is not a JSON object.
    Json,
    /// Signed in another way than HS256.
    Algorithm,
    /// `kid` is not `hkdfv1-` and today or yesterday (UTC).
    Key,
    /// Not signed with the secret of the application.
    Signature,
    /// Made for another application.
    Application,
    /// There is no user id, or an invalid one.
    User,
    /// A time is missing or malformed, or the lifetime is not 1 second to 366 days.
    Time,
    /// It was issued in the future.
    NotYet,
    /// It has expired.
    Expired,
}

impl TokenError {
    /// Returns the reason as a constant phrase.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "token too long",
            Self::Shape => "not a ticket or token",
            Self::Encoding => "token is not Base64",
            Self::Json => "token is not JSON",
            Self::Algorithm => "token algorithm not allowed",
            Self::Key => "token key id unknown",
            Self::Signature => "token signature wrong",
            Self::Application => "token of another application",
            Self::User => "token without a valid user",
            Self::Time => "token without a valid time",
            Self::NotYet => "token from the future",
            Self::Expired => "token expired",
        }
    }
}

/// Returns a user ticket as the back end of an application makes it, with its key for tickets, valid for `expires_in` seconds.
#[must_use]
pub fn ticket(application_key: &str, secret: &[u8], user: &str, now: Instant, expires_in: u32) -> String {
    sign(secret, &data(application_key, user, now, expires_in))
}

/// Like [`ticket`], for a user who has authenticated with a password: the ticket is valid until the password is changed.
#[must_use]
pub fn ticket_for_password(
    application_key: &str,
    secret: &[u8],
    user: &str,
    now: Instant,
    expires_in: u32,
    revision: u64,
) -> String {
    let mut data = data(application_key, user, now, expires_in);
    data["password"] = json!(revision);
    sign(secret, &data)
}

fn data(application_key: &str, user: &str, now: Instant, expires_in: u32) -> Value {
    json!({
        "identity": { "type": "username", "endpoint": user },
        "applicationKey": application_key,
        "created": iso(now),
        "expiresIn": expires_in,
    })
}

fn sign(secret: &[u8], data: &Value) -> String {
    let data = data.to_string();
    let signature = mac(secret, data.as_bytes());
    [STANDARD.encode(&data), STANDARD.encode(signature)].join(":")
}

/// Verifies a bearer token: a ticket or a JWT.
///
/// # Errors
///
/// As [`verify_ticket`] and [`verify_jwt`].
pub fn verify(application_key: &str, secret: &Secret, text: &str, now: Instant) -> Result<Verified, TokenError> {
    if text.contains(':') {
        secret.check(Use::Ticket, TokenError::Signature, |key| verify_ticket(application_key, key, text, now))
    } else {
        secret.check(Use::Jwt, TokenError::Signature, |key| verify_jwt(application_key, key, text, now))
    }
}

/// Verifies a user ticket: `base64(JSON):base64(HMAC-SHA256(secret, JSON))`.
///
/// # Errors
///
/// Where it was not made with `secret` for this application, names no user, or is not valid at `now` give or take a minute.
pub fn verify_ticket(application_key: &str, secret: &[u8], text: &str, now: Instant) -> Result<Verified, TokenError> {
    bounded(text)?;
    let (data, signature) = text.split_once(':').ok_or(TokenError::Shape)?;
    let data = LENIENT.decode(data).map_err(|_| TokenError::Encoding)?;
    let signature = LENIENT.decode(signature).map_err(|_| TokenError::Encoding)?;
    verify_mac(secret, &data, &signature)?;
    let data = object(&data)?;
    if data.get("applicationKey").and_then(Value::as_str) != Some(application_key) {
        return Err(TokenError::Application);
    }
    let identity = data.get("identity").and_then(Value::as_object).ok_or(TokenError::User)?;
    if identity.get("type").and_then(Value::as_str) != Some("username") {
        return Err(TokenError::User);
    }
    let user = user_id(identity.get("endpoint").and_then(Value::as_str).unwrap_or_default())?;
    let created = data.get("created").and_then(Value::as_str).and_then(read_iso).ok_or(TokenError::Time)?;
    let life =
        data.get("expiresIn").and_then(Value::as_u64).filter(|life| (1..=YEAR.as_secs()).contains(life)).ok_or(TokenError::Time)?;
    let expires = created + Duration::from_secs(life);
    window(now, created, expires)?;
    Ok(Verified { user, expires, password: data.get("password").and_then(Value::as_u64) })
}

/// Verifies a registration token: a JWT signed with HS256 and the day's key, `HMAC-SHA256(secret, "YYYYMMDD")`.
///
/// # Errors
///
/// Where it was not made with `secret` for this application, names no user, or is not valid at `now` give or take a minute.
pub fn verify_jwt(application_key: &str, secret: &[u8], text: &str, now: Instant) -> Result<Verified, TokenError> {
    bounded(text)?;
    let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Shape)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Shape)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Encoding);
    let header = object(&decode(header)?)?;
    // The header names the key, but cannot bring one: jwk, jku and x5u are ignored.
    if header.get("alg").and_then(Value::as_str) != Some("HS256") || header.contains_key("crit") {
        return Err(TokenError::Algorithm);
    }
    let day = header.get("kid").and_then(Value::as_str).and_then(|kid| kid.strip_prefix("hkdfv1-")).ok_or(TokenError::Key)?;
    verify_mac(&mac(secret, day.as_bytes()), signed.as_bytes(), &decode(signature)?)?;
    // The expiry is checked before the day of the key: a page that returns after days gets `Expired`, which is not a failed attempt.
    let verified = verify_claims(application_key, &object(&decode(claims)?)?, now)?;
    let near = [now, now - DAY, now + LEEWAY].iter().any(|at| day_of(*at) == day);
    if near { Ok(verified) } else { Err(TokenError::Key) }
}

fn verify_claims(application_key: &str, claims: &Map<String, Value>, now: Instant) -> Result<Verified, TokenError> {
    let issuer = format!("//rtc.sinch.com/applications/{application_key}");
    if claims.get("iss").and_then(Value::as_str) != Some(&issuer) {
        return Err(TokenError::Application);
    }
    let subject = claims.get("sub").and_then(Value::as_str).ok_or(TokenError::User)?;
    let subject = subject.strip_prefix(&issuer).and_then(|rest| rest.strip_prefix("/users/")).ok_or(TokenError::User)?;
    let user = user_id(subject)?;
    let time = |name: &str| claims.get(name).map(seconds);
    let issued = time("iat").flatten().ok_or(TokenError::Time)?;
    let expires = time("exp").flatten().ok_or(TokenError::Time)?;
    if expires <= issued || expires - issued > YEAR {
        return Err(TokenError::Time);
    }
    window(now, issued, expires)?;
    match time("nbf") {
        Some(None) => Err(TokenError::Time),
        Some(Some(start)) if start > now + LEEWAY => Err(TokenError::NotYet),
        _ => Ok(Verified { user, expires, password: None }),
    }
}

fn bounded(text: &str) -> Result<(), TokenError> {
    if text.len() > MAX_TOKEN { Err(TokenError::TooLong) } else { Ok(()) }
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, TokenError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(TokenError::Json),
    }
}

fn user_id(text: &str) -> Result<String, TokenError> {
    let fits = !text.is_empty() && text.len() <= MAX_USER && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned()).ok_or(TokenError::User)
}

fn window(now: Instant, from: Instant, until: Instant) -> Result<(), TokenError> {
    if from > now + LEEWAY {
        Err(TokenError::NotYet)
    } else if now >= until + LEEWAY {
        Err(TokenError::Expired)
    } else {
        Ok(())
    }
}

fn keyed(key: &[u8], data: &[u8]) -> Hmac<Sha256> {
    let mut hash = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    hash.update(data);
    hash
}

fn mac(key: &[u8], data: &[u8]) -> [u8; 32] {
    keyed(key, data).finalize().into_bytes().into()
}

fn verify_mac(key: &[u8], data: &[u8], signature: &[u8]) -> Result<(), TokenError> {
    keyed(key, data).verify_slice(signature).map_err(|_| TokenError::Signature)
}

/// A NumericDate (RFC 7519, 2): seconds, perhaps with a fraction.
fn seconds(value: &Value) -> Option<Instant> {
    let seconds = value.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked above")]
    Some(Instant::from_millis((seconds * 1000.0) as u64))
}

/// Returns the day as `YYYYMMDD`, UTC.
fn day_of(at: Instant) -> String {
    formatted(at, DAY_FORMAT)
}

/// Returns the time as `YYYY-MM-DDTHH:MM:SS.mmmZ`; a time after the year 9999 is written as the last millisecond of that year.
#[must_use]
pub fn iso(at: Instant) -> String {
    formatted(at, ISO_FORMAT)
}

fn formatted(at: Instant, format: &[BorrowedFormatItem<'_>]) -> String {
    let date = UtcDateTime::from_unix_timestamp_nanos(i128::from(at.millis()) * 1_000_000).unwrap_or(UtcDateTime::MAX);
    date.format(format).expect("a moment has a date and a time of day")
}

/// Parses ISO 8601 as ticket generators in many languages write it: with `T` or a blank, with or without a fraction; without a zone it
/// is UTC.
pub(crate) fn read_iso(text: &str) -> Option<Instant> {
    let mut parsed = Parsed::new();
    let rest = parsed.parse_items(text.as_bytes(), READ_FORMAT).ok()?;
    if !rest.is_empty() || !text.starts_with(|sign: char| sign.is_ascii_digit()) {
        return None;
    }
    let leap = parsed.second() == Some(60);
    if leap {
        parsed.set_second(59)?;
    }
    let zone = parsed.offset_hour().map_or(Some(UtcOffset::UTC), |_| UtcOffset::try_from(parsed).ok())?;
    let nanos = PrimitiveDateTime::try_from(parsed).ok()?.assume_offset(zone).unix_timestamp_nanos();
    let millis = u64::try_from(nanos / 1_000_000).ok()?;
    Some(Instant::from_millis(millis + if leap { 1000 } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::{day_of, iso, read_iso};
    use offhook_ua::time::Instant;

    #[test]
    fn moments_of_known_dates() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_514_862_245_678, "2018-01-02T03:04:05.678Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            let at = Instant::from_millis(millis);
            assert_eq!((iso(at).as_str(), read_iso(text)), (text, Some(at)));
        }
        for millis in [253_402_300_800_000, u64::MAX] {
            assert_eq!(iso(Instant::from_millis(millis)), "9999-12-31T23:59:59.999Z", "{millis}");
        }
    }

    /// Each day of 1970 to 2100, at another time of day.
    #[test]
    fn dates_survive_writing_and_reading() {
        let mut days = 0;
        for year in 1970..=2100 {
            let february = if year % 4 == 0 && year != 2100 { 29 } else { 28 };
            for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
                for day in 1..=length {
                    let of_day = days * 7_654_321 % 86_400_000;
                    let (second, milli) = (of_day / 1000, of_day % 1000);
                    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
                    let at = Instant::from_millis(days * 86_400_000 + of_day);
                    let text = format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
                    assert_eq!((iso(at), read_iso(&text)), (text, Some(at)));
                    assert_eq!(day_of(at), format!("{year}{month:02}{day:02}"));
                    days += 1;
                }
                assert_eq!(read_iso(&format!("{year}-{month:02}-{:02}T00:00:00Z", length + 1)), None);
            }
        }
        assert_eq!(days, 47_847);
    }

    #[test]
    fn created_is_read_as_many_languages_print_it() {
        let second = Some(Instant::from_millis(1_514_862_245_000));
        for text in [
            "2018-01-02T03:04:05Z",
            "2018-01-02T03:04:05",
            "2018-01-02 03:04:05",
            "2018-01-02T03:04:05.000000",
            "2018-01-02T04:04:05+01:00",
            "2018-01-02T01:34:05-0130",
            "2018-01-02t03:04:05z",
            "2018-01-02T03:04:05.0000009Z",
            "2018-01-02T03:04:05+00",
            "2018-01-02T03:04:05,0001234567890123+0000",
        ] {
            assert_eq!(read_iso(text), second, "{text}");
        }
        for text in [
            "",
            "2018-01-02",
            "2018-13-02T03:04:05",
            "2018-02-30T03:04:05",
            "2018-01-02T03:04:05.Z",
            "2018-01-02T03:04:05X",
            "2018-01-02T25:04:05",
            "2018-01-02T03:60:05",
            "2018-01-02T03:04:61",
            "2018-01-02T03:04",
            "2018-01-02T03:04:05+:00",
            "2018-01-02T03:04:05+0:130",
            "2018-01-02T03:04:05+01:",
            "2018-01-02T03:04:05Z ",
            "+2018-01-02T03:04:05",
            "-2018-01-02T03:04:05",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
        ] {
            assert_eq!(read_iso(text), None, "{text}");
        }
        let leap = read_iso("2016-12-31T23:59:60Z");
        assert_eq!(leap, read_iso("2017-01-01T00:00:00Z"), "a leap second is the one after it");
        assert!(leap.is_some());
    }
}
