//! The options of `new SinchClient(…)`: see `SinchClientConfig` in `types.d.ts`.

use std::rc::Rc;
use std::time::Duration;

use js_sys::{Array, Error as JsError, Function, Object, Reflect};
use wasm_bindgen::convert::TryFromJsValue;
use wasm_bindgen::prelude::*;
use web_sys::{MediaStream, Url};

use super::error::type_error;
use crate::client::{Config, IceServer};
use crate::web::dom::{as_stream, uuid, window};

/// The options that are not in the client's [`Config`].
pub struct Options {
    /// The name of the application at the server.
    pub application_key: String,
    /// The object that the page gave.
    pub capabilities: JsValue,
    /// Whether there are calls at all.
    pub calling: bool,
    /// Whether there is a message client.
    pub messaging: bool,
    /// Whether calls between users have video.
    pub video: bool,
    /// The secret with which the page signs its own tickets.
    pub application_secret: Option<String>,
    /// The stream that incoming calls send instead of the microphone.
    pub custom_stream: Option<MediaStream>,
    /// The logger.
    pub on_log_message: Option<Function>,
    /// The logger of the signalling.
    pub on_log_mxp_message: Option<Function>,
    /// The origin for HTTP requests; `None` for a page that has no origin and names no server.
    pub http: Option<String>,
}

/// Reads the argument of the constructor.
///
/// # Errors
/// A `TypeError` that names the option.
pub fn read(given: &JsValue) -> Result<(Options, Config), JsValue> {
    let Some(given) = own(given) else {
        return Err(type_error("new SinchClient(config): config is an object with an applicationKey"));
    };
    let application_key: String = option(&given, "applicationKey")?.ok_or_else(|| type_error("applicationKey is missing"))?;
    let servers = servers(&given, &application_key)?;
    let capabilities = Reflect::get(&given, &"capabilities".into())?;
    let can = own(&capabilities).unwrap_or_default();
    let (calling, video) = (flag(&can, "calling"), flag(&can, "video"));
    let defaults = Config::default();
    let activate = flag(&given, "startActiveConnection");
    let config = Config {
        servers: servers.iter().map(|server| server.web_socket.clone()).collect(),
        domain: option(&given, "domain")?.or(servers.first().map(|server| server.host.clone())).unwrap_or_default(),
        instance: option(&given, "instanceId")?.unwrap_or_else(uuid),
        ice_servers: Rc::new(ice_servers(&given)?),
        relay_only: option::<String>(&given, "iceTransportPolicy")?.as_deref() == Some("relay"),
        progress_timeout: millis(&given, "progressTimeout")?.unwrap_or(defaults.progress_timeout),
        answer_timeout: millis(&given, "answerTimeout")?.unwrap_or(defaults.answer_timeout),
        candidate_wait: millis(&given, "candidateWait")?.unwrap_or(defaults.candidate_wait),
        token_refresh: millis(&given, "tokenRefreshMs")?.unwrap_or(defaults.token_refresh),
        connect_while_ringing: option(&given, "connectWhileRinging")?.unwrap_or(defaults.connect_while_ringing),
        active: activate || flag(&given, "supportActiveConnection"),
        activate,
        multi_call: flag(&can, "multiCall"),
        video,
        ..defaults
    };
    let options = Options {
        application_secret: option(&given, "applicationSecret")?,
        custom_stream: stream(Reflect::get(&given, &"customStream".into())?).map_err(type_error)?,
        on_log_message: option(&given, "onLogMessage")?,
        on_log_mxp_message: option(&given, "onLogMxpMessage")?,
        http: servers.into_iter().next().map(|server| server.http),
        application_key,
        capabilities,
        calling,
        messaging: flag(&can, "messaging"),
        video,
    };
    Ok((options, config))
}

/// Returns the own properties of an object, without those that a page adds to `Object.prototype`.
fn own(given: &JsValue) -> Option<Object> {
    let bare = Object::<JsValue>::create(JsValue::NULL.unchecked_ref());
    given.is_object().then(|| Object::assign(&bare, given.unchecked_ref()))
}

/// `given[key]`; nothing where it is `undefined`.
fn option<T: TryFromJsValue>(given: &Object, key: &str) -> Result<Option<T>, JsValue> {
    let value = Reflect::get(given, &key.into())?;
    if value.is_undefined() {
        return Ok(None);
    }
    T::try_from_js_value(value).map(Some).map_err(|_| type_error(&format!("{key} has the wrong type")))
}

fn flag(given: &Object, key: &str) -> bool {
    Reflect::get(given, &key.into()).is_ok_and(|value| value.is_truthy())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a small positive number")]
fn millis(given: &Object, key: &str) -> Result<Option<Duration>, JsValue> {
    match option::<f64>(given, key)? {
        Some(number) if !(0.0..=2e9).contains(&number) => Err(type_error(&format!("{key} is a number of milliseconds"))),
        number => Ok(number.map(|number| Duration::from_millis(number as u64))),
    }
}

/// A string, or a list of them.
fn strings(given: &Object, key: &str) -> Result<Option<Vec<String>>, JsValue> {
    let value = Reflect::get(given, &key.into())?;
    if let Some(one) = value.as_string() {
        return Ok(Some(vec![one]));
    }
    option(given, key)
}

/// A server of the page: its origin for HTTP requests, and its WebSocket.
struct Server {
    http: String,
    host: String,
    web_socket: String,
}

/// Returns the servers of `server`, else `urlObj.calling` or `urlObj.base`, else the origin of the page. A page that has no origin and names no server gets
/// a client without servers, whose `start` fails.
fn servers(given: &Object, application_key: &str) -> Result<Vec<Server>, JsValue> {
    let places = option(given, "urlObj")?.unwrap_or_default();
    let named = match strings(given, "server")? {
        None => strings(&places, "calling")?.or(strings(&places, "base")?),
        named => named,
    };
    let Some(named) = named else {
        let origin = window().location().origin().unwrap_or_default();
        return Ok(server(&origin, application_key).into_iter().collect());
    };
    let read = |url: &String| {
        server(url, application_key).ok_or_else(|| type_error("server is a ws, wss, http or https URL, or a list of them"))
    };
    named.iter().map(read).collect()
}

/// Returns the server of a URL. A WebSocket URL is taken as it is; of others only the origin counts.
fn server(address: &str, application_key: &str) -> Option<Server> {
    let url = Url::new(address).ok()?;
    let (host, protocol) = (url.host(), url.protocol());
    let secure = match protocol.as_str() {
        "http:" | "ws:" => "",
        "https:" | "wss:" => "s",
        _ => return None,
    };
    if host.is_empty() {
        return None;
    }
    let web_socket = if protocol.starts_with("ws") {
        address.to_owned()
    } else {
        format!("ws{secure}://{host}/sip?key={}", escaped(application_key))
    };
    Some(Server { http: format!("http{secure}://{host}"), host: url.hostname(), web_socket })
}

fn ice_servers(given: &Object) -> Result<Vec<IceServer>, JsValue> {
    let list = option::<Array>(given, "iceServers")?.unwrap_or_default();
    list.iter().map(|given| ice_server(given.unchecked_ref())).collect::<Result<_, _>>().map_err(|error| {
        let reason = String::from(error.unchecked_into::<JsError>().message());
        type_error(&format!("iceServers is a list of RTCIceServer objects: {reason}"))
    })
}

fn ice_server(given: &Object) -> Result<IceServer, JsValue> {
    let urls = match strings(given, "urls")? {
        None => strings(given, "url")?,
        urls => urls,
    };
    Ok(IceServer {
        urls: urls.ok_or_else(|| type_error("urls is missing"))?,
        username: option(given, "username")?.unwrap_or_default(),
        credential: option(given, "credential")?.unwrap_or_default(),
    })
}

/// Returns text as a part of a URL.
#[must_use]
pub fn escaped(part: &str) -> String {
    js_sys::encode_uri_component(part).into()
}

/// A `MediaStream`, or nothing.
///
/// # Errors
/// What is wrong with anything else.
pub fn stream(given: JsValue) -> Result<Option<MediaStream>, &'static str> {
    if given.is_undefined() || given.is_null() {
        return Ok(None);
    }
    as_stream(given).map(Some).map_err(|_| "customStream is a MediaStream, such as getUserMedia gives")
}
