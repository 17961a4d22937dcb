//! The login objects that `start()` takes: see `Login` in `types.d.ts`.

use std::time::Duration;

use js_sys::{Array, Date, JSON, Object, Reflect};
use offhook_sip::hash::hmac;
use wasm_bindgen::prelude::*;

use super::error::{bad_argument, object};
use super::text;
use crate::client::{Login, Session};
use crate::web::dom::{items, window};

/// How long a ticket is valid where the page does not say, s.
const TICKET_SECONDS: f64 = 86_400.0;

/// Reads a login object.
///
/// # Errors
/// A `SinchError` (5, 6003).
pub fn read(given: &JsValue, application_key: &str, secret: Option<&str>) -> Result<Login, JsValue> {
    if !given.is_object() {
        return Err(bad_argument("start(login): login is an object"));
    }
    let given: &Object = given.unchecked_ref();
    let token = |user: Option<String>, token, fault| {
        user.filter(|user| !user.is_empty()).map(|user| with_token(user, token)).ok_or_else(|| bad_argument(fault))
    };
    if let Some(ticket) = field(given, "userTicket")? {
        return token(
            ticket_user(&ticket),
            ticket,
            "The user ticket cannot be read: it is base64 of its JSON, a colon, and base64 of its signature",
        );
    }
    if let Some(jwt) = field(given, "token")? {
        return token(
            jwt_user(&jwt),
            jwt,
            "The token cannot be read: it is a JWT, three parts of base64 with dots between, whose claims name the user in `sub`",
        );
    }
    if let Some(ticket) = field(given, "authorization")? {
        return token(named_user(given).or_else(|| ticket_user(&ticket)), ticket, "The login object names no user");
    }
    if let Some(session_id) = field(given, "sessionId")? {
        let (user_id, session_secret) = (need(given, "userId")?, need(given, "sessionSecret")?);
        if session_id == "bearer" {
            return Ok(with_token(user_id, session_secret));
        }
        return Ok(Login::Session(Session { user_id, session_id, session_secret }));
    }
    for key in ["username", "email", "number"] {
        let Some(user) = field(given, key)? else { continue };
        return match (field(given, "password")?, secret) {
            (Some(password), _) => Ok(Login::Password { user, password }),
            (None, Some(secret)) => sign(user, application_key, secret, given),
            (None, None) => Err(bad_argument("The login object has no password")),
        };
    }
    Err(bad_argument("The login object has a userTicket, a token, a username with password, or a session"))
}

/// Returns a login object for a ticket or JWT by itself; a value that is no string is one already.
pub fn object_of(given: JsValue) -> JsValue {
    match given.as_string() {
        Some(token) => object(&[(if token.contains(':') { "userTicket" } else { "token" }, given)]).into(),
        None => given,
    }
}

fn with_token(user: String, token: String) -> Login {
    let lasts = lasts(&token);
    Login::Token { user, token, lasts }
}

/// Returns how long a ticket or JWT is valid from now on. Where by the clock of this computer it has expired, or is not valid yet, that clock is
/// wrong, or the server will say so: then it counts from now.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be positive; a cast saturates")]
fn lasts(token: &str) -> Option<Duration> {
    let now = Date::now();
    let (made, life) = if let Some((data, _)) = token.split_once(':') {
        let data = parse(data)?;
        (Date::parse(&at(&data, &["created"])?), number(&data, "expiresIn")? * 1000.0)
    } else {
        let claims = parse(token.split('.').nth(1)?)?;
        let made = number(&claims, "iat").map_or(now, |seconds| seconds * 1000.0);
        (made, number(&claims, "exp")? * 1000.0 - made)
    };
    let left = made + life - now;
    let left = if left > 0.0 && left < life { left } else { life };
    (left > 0.0).then(|| Duration::from_millis(left as u64))
}

fn number(value: &JsValue, key: &str) -> Option<f64> {
    inside(value, &[key])?.as_f64()
}

/// Rejects a field that is there and empty.
fn field(given: &Object, key: &str) -> Result<Option<String>, JsValue> {
    let value = Reflect::get(given, &key.into())?;
    if value.is_undefined() {
        return Ok(None);
    }
    let text = text(&value);
    if text.is_empty() || text.contains(|c: char| c < ' ') {
        return Err(bad_argument(format!("The login object's {key} is empty or has control characters")));
    }
    Ok(Some(text))
}

fn need(given: &Object, key: &str) -> Result<String, JsValue> {
    field(given, key)?.ok_or_else(|| bad_argument(format!("The login object has no {key}")))
}

/// Returns the string at the end of a path into an object.
fn at(value: &JsValue, path: &[&str]) -> Option<String> {
    inside(value, path)?.as_string()
}

fn inside(value: &JsValue, path: &[&str]) -> Option<JsValue> {
    path.iter().try_fold(value.clone(), |value, key| Reflect::get(&value, &(*key).into()).ok())
}

/// Returns the user in the result of `newUser`: `user.identities[…].endpoint`, one of type `username` before others.
fn named_user(given: &JsValue) -> Option<String> {
    let identities: Vec<JsValue> = items(&inside(given, &["user", "identities"])?.dyn_into::<Array>().ok()?).collect();
    let named = identities.iter().find(|identity| at(identity, &["type"]).as_deref() == Some("username"));
    at(named.or(identities.first())?, &["endpoint"])
}

/// The user of a ticket, `base64(JSON):base64(signature)`.
fn ticket_user(ticket: &str) -> Option<String> {
    at(&parse(ticket.split_once(':')?.0)?, &["identity", "endpoint"])
}

/// The user of a JWT: its subject, `//rtc.sinch.com/applications/KEY/users/USER` or the user alone.
fn jwt_user(token: &str) -> Option<String> {
    let subject = at(&parse(token.split('.').nth(1)?)?, &["sub"])?;
    subject.rsplit("/users/").next().map(str::to_owned)
}

/// Returns the value of JSON in Base64.
fn parse(base64: &str) -> Option<JsValue> {
    JSON::parse(&String::from_utf8(decode(base64)?).ok()?).ok()
}

/// The bytes of Base64 in either alphabet, with or without padding.
fn decode(base64: &str) -> Option<Vec<u8>> {
    let latin = window().atob(&base64.replace('-', "+").replace('_', "/")).ok()?;
    latin.chars().map(|c| u8::try_from(c).ok()).collect()
}

fn encode(bytes: &[u8]) -> String {
    let latin: String = bytes.iter().copied().map(char::from).collect();
    window().btoa(&latin).unwrap_or_default()
}

/// A ticket signed here, with the secret of the application: for demonstrations and back ends.
fn sign(user: String, application_key: &str, secret: &str, given: &Object) -> Result<Login, JsValue> {
    let expires_in = Reflect::get(given, &"expiresIn".into())?.as_f64().unwrap_or(TICKET_SECONDS);
    let identity = object(&[("type", "username".into()), ("endpoint", user.as_str().into())]);
    let ticket = object(&[
        ("identity", identity.into()),
        ("applicationKey", application_key.into()),
        ("created", Date::new_0().to_iso_string().into()),
        ("expiresIn", expires_in.into()),
    ]);
    let data: String = JSON::stringify(&ticket)?.into();
    let key = decode(secret).filter(|key| !key.is_empty()).ok_or_else(|| bad_argument("applicationSecret is base64"))?;
    Ok(with_token(user, format!("{}:{}", encode(data.as_bytes()), encode(&hmac(&key, data.as_bytes())))))
}
