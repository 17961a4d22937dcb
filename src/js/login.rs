//! The login objects that `start()` takes.

use wasm_bindgen::prelude::*;

use super::error::bad_argument;
use super::text;
use crate::client::{Login, Session};
use crate::hash::hmac;
use crate::text::concat;
use crate::web::dom::{
    call_of, call0, call1, dict, get, get_in, get_string, global, global_value, is, items, list1, new0, new1, own, string, try_call,
};

/// Reads a login object.
///
/// # Errors
/// A `SinchError` (5, 6003).
pub fn read(given: &JsValue, application_key: &str, secret: &str) -> Result<Login, JsValue> {
    if !given.is_object() {
        return Err(bad_argument("start(login): login is an object"));
    }
    let mut reader = Reader { given, fault: None };
    let login = reader.login(application_key, secret);
    match reader.fault {
        Some(fault) => Err(fault),
        None => login,
    }
}

struct Reader<'a> {
    given: &'a JsValue,
    /// The first that was found.
    fault: Option<JsValue>,
}

/// Whom a token of a login object is for; empty where that cannot be told.
type UserOf = fn(&JsValue, &str) -> String;

/// The names of tokens, whom each is for, and what is said where that cannot be told.
const TOKENS: [(&str, UserOf, &str); 3] = [
    ("userTicket", |_, token| ticket_user(token), "The user ticket cannot be read"),
    ("token", |_, token| jwt_user(token), "The token cannot be read"),
    ("authorization", authorized_user, "The login object names no user"),
];

impl Reader<'_> {
    fn login(&mut self, application_key: &str, secret: &str) -> Result<Login, JsValue> {
        for (key, user_of, fault) in TOKENS {
            if let Some(token) = self.field(key) {
                let user = user_of(self.given, &token);
                return if user.is_empty() { Err(bad_argument(fault)) } else { Ok(with_token(user, token)) };
            }
        }
        if let Some(session_id) = self.field("sessionId") {
            let (user_id, session_secret) = (self.need("userId"), self.need("sessionSecret"));
            if session_id == "bearer" {
                return Ok(with_token(user_id, session_secret));
            }
            return Ok(Login::Session(Session { user_id, session_id, session_secret }));
        }
        for key in ["username", "email", "number"] {
            if let Some(user) = self.field(key) {
                if !secret.is_empty() && own(self.given, "password").is_undefined() {
                    return sign(user, application_key, secret, self.given);
                }
                return Ok(Login::Password { user, password: self.need("password") });
            }
        }
        Err(bad_argument("The login object has a userTicket, a token, a username with password, or a session"))
    }

    fn need(&mut self, key: &str) -> String {
        self.field(key).unwrap_or_else(|| {
            self.refuse(&["The login object has no ", key]);
            String::new()
        })
    }

    /// A field that is there must say something.
    fn field(&mut self, key: &str) -> Option<String> {
        let value = own(self.given, key);
        if value.is_undefined() {
            return None;
        }
        let text = text(&value);
        if text.is_empty() || text.bytes().any(|byte| byte < b' ') {
            self.refuse(&["The login object's ", key, " is empty or has control characters"]);
        }
        Some(text)
    }

    fn refuse(&mut self, words: &[&str]) {
        if self.fault.is_none() {
            self.fault = Some(bad_argument(&concat(words)));
        }
    }
}

fn with_token(user: String, token: String) -> Login {
    let lasts = lasts(&token);
    Login::Token { user, token, lasts }
}

/// How long a ticket or JWT is good for from now on, ms. Where by the clock of this machine it is over, or has not begun, that clock is wrong,
/// or the server will say so: then it counts from now.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be positive; a cast saturates")]
fn lasts(token: &str) -> Option<u64> {
    let number = |value: JsValue| value.as_f64().unwrap_or(f64::NAN);
    let (made, life) = if token.contains(':') {
        let data = json(&part(token, ":", "0"));
        (number(call_of("Date", "parse", get(&data, "created"))), number(get(&data, "expiresIn")) * 1000.0)
    } else {
        let claims = json(&part(token, ".", "1"));
        let made = number(get(&claims, "iat"));
        (made * 1000.0, (number(get(&claims, "exp")) - made) * 1000.0)
    };
    let left = made + life - number(call_of("Date", "now", JsValue::UNDEFINED));
    let left = if left > 0.0 && left < life { left } else { life };
    (left > 0.0).then_some(left as u64)
}

/// A login object for a ticket or JWT by itself; what is no string is one already.
pub fn object_of(given: JsValue) -> JsValue {
    match given.as_string() {
        Some(token) => dict().with(if token.contains(':') { "userTicket" } else { "token" }, given).into(),
        None => given,
    }
}

/// The user of what `newUser` gives: `user.identities[…].endpoint`, one of type `username` before others; else that of the ticket.
fn authorized_user(given: &JsValue, token: &str) -> String {
    let mut user = String::new();
    for identity in &items(get_in(given, "user", "identities")) {
        let named = is(identity, "type", "username");
        if named || user.is_empty() {
            user = get_string(identity, "endpoint");
        }
        if named {
            break;
        }
    }
    if user.is_empty() { ticket_user(token) } else { user }
}

/// The user of a ticket, `base64(JSON):base64(signature)`.
fn ticket_user(ticket: &str) -> String {
    let data = json(&part(ticket, ":", "0"));
    string(&get_in(&data, "identity", "endpoint"))
}

/// The user of a JWT: its subject, `//rtc.sinch.com/applications/KEY/users/USER` or the user alone.
fn jwt_user(token: &str) -> String {
    let subject = get_string(&json(&part(token, ".", "1")), "sub");
    string(&call0(&split(&subject, "/users/"), "pop"))
}

/// One of the parts between separators; empty where there are fewer.
fn part(text: &str, separator: &str, which: &str) -> String {
    get_string(&split(text, separator), which)
}

fn split(text: &str, separator: &str) -> JsValue {
    call1(&new1("String", text.into()), "split", separator.into())
}

/// The value that it is the JSON of; `undefined` where it is none.
fn json(base64: &str) -> JsValue {
    call_of("JSON", "parse", String::from_utf8(decode(base64)).unwrap_or_default().into())
}

/// The bytes of Base64 in either alphabet, with or without padding; none where it is not Base64.
fn decode(base64: &str) -> Vec<u8> {
    let mut standard = String::new();
    for c in base64.chars() {
        standard.push(match c {
            '-' => '+',
            '_' => '/',
            c => c,
        });
    }
    let latin = string(&call1(&global(), "atob", standard.into()));
    let mut bytes = Vec::new();
    for c in latin.chars() {
        bytes.push(u8::try_from(u32::from(c)).unwrap_or_default());
    }
    bytes
}

fn encode(bytes: &[u8]) -> String {
    let mut latin = String::new();
    for byte in bytes {
        latin.push(char::from(*byte));
    }
    string(&call1(&global(), "btoa", latin.into()))
}

/// How long a ticket is good for where the page does not say, s.
const TICKET_SECONDS: f64 = 86_400.0;

/// A ticket signed here, with the secret of the application: for demonstrations and back ends.
fn sign(user: String, application_key: &str, secret: &str, given: &JsValue) -> Result<Login, JsValue> {
    let seconds = own(given, "expiresIn").as_f64().unwrap_or(TICKET_SECONDS);
    let identity = dict().with("type", "username".into()).with("endpoint", user.as_str().into());
    let data = dict()
        .with("identity", identity.into())
        .with("applicationKey", application_key.into())
        .with("created", call0(&new0("Date"), "toJSON"))
        .with("expiresIn", seconds.into());
    let data = stringify(data.into())?;
    let key = decode(secret);
    if key.is_empty() {
        return Err(bad_argument("applicationSecret is base64"));
    }
    let signature = encode(&hmac(&key, data.as_bytes()));
    Ok(with_token(user, concat(&[&encode(data.as_bytes()), ":", &signature])))
}

/// A value as JSON.
///
/// # Errors
/// What it throws: of a value that refers to itself.
pub fn stringify(value: JsValue) -> Result<String, JsValue> {
    Ok(string(&try_call(&global_value("JSON"), "stringify", list1(value))?))
}
