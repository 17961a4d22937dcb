//! Proof of identity made by an application's own back end: user tickets and registration tokens (JWT, HS256 only).
//!
//! Both are checked over the very bytes that were signed, in constant time, before anything in them is believed.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use offhook_ua::time::Instant;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::secret::{Secret, Use};

/// How far the clocks of the application's back end and of this machine may differ.
const LEEWAY: Duration = Duration::from_secs(60);
/// The longest ticket or token in octets.
const MAX_TOKEN: usize = 4096;
/// The longest user id in octets.
pub const MAX_USER: usize = 255;
const DAY: Duration = Duration::from_secs(86_400);
const DAY_MS: u64 = 86_400_000;
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// Tickets come from many generators: with and without padding.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Whom a valid ticket or token names, and how long it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The user id.
    pub user: String,
    /// When the ticket or token runs out.
    pub expires: Instant,
    /// Of a ticket that was given for a password: which password that was (the revision of the account).
    pub password: Option<u64>,
}

impl Verified {
    /// From when on nobody is believed because of it: the clocks may differ.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.expires + LEEWAY
    }
}

/// Why a ticket or token is refused. Its maker is at fault, but for `Expired` and `NotYet`, which a wrong clock makes, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Over 4,096 octets.
    TooLong,
    /// Not the parts that it should have.
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
    /// No user id, or one that cannot be.
    User,
    /// A time is missing or cannot be read, or the life is not 1 second to 366 days.
    Time,
    /// Made in the future.
    NotYet,
    /// Run out.
    Expired,
}

impl TokenError {
    /// One constant phrase.
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

impl std::fmt::Display for TokenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for TokenError {}

/// A user ticket, as an application's back end makes it with its key for tickets: valid for `expires_in` seconds.
#[must_use]
pub fn ticket(application_key: &str, secret: &[u8], user: &str, now: Instant, expires_in: u32) -> String {
    sign(secret, &data(application_key, user, now, expires_in))
}

/// The same for somebody who has shown a password: the ticket is good for as long as that is the password.
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

/// Checks what follows `Bearer`: a ticket or a token.
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

/// Checks a user ticket: `base64(JSON):base64(HMAC-SHA256(secret, JSON))`.
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

/// Checks a registration token: a JWT signed with HS256 and the day's key, `HMAC-SHA256(secret, "YYYYMMDD")`.
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
    // The header only says which of our keys it was; it never brings one (jwk, jku, x5u are not read).
    if header.get("alg").and_then(Value::as_str) != Some("HS256") || header.contains_key("crit") {
        return Err(TokenError::Algorithm);
    }
    let day = header.get("kid").and_then(Value::as_str).and_then(|kid| kid.strip_prefix("hkdfv1-")).ok_or(TokenError::Key)?;
    verify_mac(&mac(secret, day.as_bytes()), signed.as_bytes(), &decode(signature)?)?;
    // First of all whether it has run out: a page that comes back after days does not guess.
    let verified = verify_claims(application_key, &object(&decode(claims)?)?, now)?;
    let near = [now, now - DAY, now + LEEWAY].iter().any(|at| day_of(*at) == day);
    if near { Ok(verified) } else { Err(TokenError::Key) }
}

fn verify_claims(application_key: &str, claims: &Map<String, Value>, now: Instant) -> Result<Verified, TokenError> {
    let issuer = ["//rtc.sinch.com/applications/", application_key].concat();
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

/// `YYYYMMDD`, UTC.
fn day_of(at: Instant) -> String {
    let (year, month, day) = civil(at.millis() / DAY_MS);
    format!("{year:04}{month:02}{day:02}")
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
#[must_use]
pub fn iso(at: Instant) -> String {
    let (year, month, day) = civil(at.millis() / DAY_MS);
    let (hour, minute) = (at.millis() / 3_600_000 % 24, at.millis() / 60_000 % 60);
    let (second, milli) = (at.millis() / 1000 % 60, at.millis() % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Reads ISO 8601 as the ticket generators of many languages print it: `T` or a blank, with or without a fraction; without a zone
/// it is UTC.
pub(crate) fn read_iso(text: &str) -> Option<Instant> {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten()
    };
    let sign = |at: usize| text.as_bytes().get(at).copied();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let separated = sign(4) == Some(b'-') && sign(7) == Some(b'-') && sign(13) == Some(b':') && sign(16) == Some(b':');
    let joined = matches!(sign(10), Some(b'T' | b't' | b' '));
    let real = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !(separated && joined && real && hour < 24 && minute < 60 && second <= 60) {
        return None;
    }
    let (millis, zone) = fraction(text.get(19..)?)?;
    let local = days(year, month, day)? * DAY_MS + (hour * 3600 + minute * 60 + second) * 1000 + millis;
    local.checked_add_signed(-offset(zone)?).map(Instant::from_millis)
}

/// Milliseconds of `.123456`, and what follows.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(rest) = text.strip_prefix(['.', ',']) else { return Some((0, text)) };
    let end = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, zone) = rest.split_at_checked(end)?;
    let millis = digits.bytes().chain(*b"000").take(3).fold(0, |millis, digit| millis * 10 + u64::from(digit - b'0'));
    (!digits.is_empty()).then_some((millis, zone))
}

/// Milliseconds east of Greenwich: of nothing, `Z`, `+01:00`, `+0100` or `+01`.
fn offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, digits) = zone.strip_prefix('+').map(|rest| (1, rest)).or_else(|| zone.strip_prefix('-').map(|rest| (-1, rest)))?;
    let digits = digits.replacen(':', "", 1);
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Some(0), |rest| rest.parse().ok())?;
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// Year, month and day of the Gregorian calendar, `days` days after 1970-01-01 (months counted from March make leap days last).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, of_year - (153 * from_march + 2) / 5 + 1)
}

/// The inverse of [`civil`]; `None` for a day that the month does not have.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = (era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year).checked_sub(719_468)?;
    (civil(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::{civil, days, iso, read_iso};
    use offhook_ua::time::Instant;

    #[test]
    fn dates_go_there_and_back() {
        for day in (0..80_000).step_by(7) {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, m, d), Some(day));
        }
        assert_eq!(days(2023, 2, 29), None);
        let at = Instant::from_millis(1_514_862_245_678);
        assert_eq!(iso(at), "2018-01-02T03:04:05.678Z");
        assert_eq!(read_iso(&iso(at)), Some(at));
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
        ] {
            assert_eq!(read_iso(text), None, "{text}");
        }
    }
}
