//! The options of `new SinchClient(…)`: see `SinchClientConfig` in `types.d.ts`.

use std::rc::Rc;
use std::time::Duration;

use js_sys::{Array, Error as JsError, Function, Object, Reflect, Symbol};
use wasm_bindgen::convert::TryFromJsValue;
use wasm_bindgen::prelude::*;
use web_sys::{MediaStream, Url};

use super::error::type_error;
use crate::client::{Config, IceServer, Page, Unnamed};
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
    /// The preferred server; `None` for a page that has no origin and names no server.
    pub server: Option<Server>,
    /// The server that the script came from, which is used in place of it if it is a gateway.
    pub unnamed: Option<Server>,
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
    let Places { servers, unnamed, sentence } = servers(&given, &application_key)?;
    let capabilities = Reflect::get(&given, &"capabilities".into())?;
    let can = own(&capabilities).unwrap_or_default();
    let (calling, video) = (flag(&can, "calling"), flag(&can, "video"));
    let defaults = Config::default();
    let domain: Option<String> = option(&given, "domain")?;
    let activate = flag(&given, "startActiveConnection");
    let config = Config {
        servers: servers.iter().map(|server| server.web_socket.clone()).collect(),
        domain: domain.clone().or(servers.first().map(|server| server.host.clone())).unwrap_or_default(),
        unnamed: unnamed
            .as_ref()
            .map(|server| Unnamed { url: server.web_socket.clone(), domain: domain.unwrap_or_else(|| server.host.clone()) }),
        page: Page {
            application: application_key.clone(),
            origin: window().origin(),
            secure: window().is_secure_context(),
            places: sentence,
        },
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
        server: servers.into_iter().next(),
        unnamed,
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

/// A server of the page.
#[derive(PartialEq)]
pub struct Server {
    /// Its origin, for HTTP requests.
    pub http: String,
    host: String,
    /// The URL of its WebSocket.
    pub web_socket: String,
}

/// Where the servers of a page are.
#[derive(Default)]
struct Places {
    servers: Vec<Server>,
    /// The server of the script, where nobody has named one and it is not the page's.
    unnamed: Option<Server>,
    /// Says where the addresses come from that nobody has named.
    sentence: String,
}

/// Returns the servers of `server`, else `urlObj.calling` or `urlObj.base`, else `data-server` of the script tag, else the origin of the page, and
/// that of the script. A page without any of them gets a client whose `start` fails.
fn servers(given: &Object, application_key: &str) -> Result<Places, JsValue> {
    let places = option(given, "urlObj")?.unwrap_or_default();
    let named = match strings(given, "server")? {
        None => strings(&places, "calling")?.or(strings(&places, "base")?),
        named => named,
    };
    let script = own(&Reflect::get(&js_sys::global(), &Symbol::for_(SCRIPT))?).unwrap_or_default();
    let (named, [name, more]) = match named {
        None => (strings(&script, "server")?, ["data-server", ""]),
        named => (named, ["server", ", or a list of them"]),
    };
    let Some(named) = named else {
        let page = server(&page_origin(), application_key);
        let came_from = option::<String>(&script, "src")?.and_then(|src| server(&src, application_key));
        return Ok(default_places(page, came_from));
    };
    let read = |url: &String| {
        server(url, application_key).ok_or_else(|| type_error(&format!("{name} is a ws, wss, http or https URL{more}")))
    };
    Ok(Places { servers: named.iter().map(read).collect::<Result<_, _>>()?, ..Places::default() })
}

/// The name of the symbol under which the classic script writes where it came from. No markup of a page can make a property of that name.
const SCRIPT: &str = "offhook.script";

/// Returns the servers of a page that names none.
fn default_places(page: Option<Server>, script: Option<Server>) -> Places {
    let unnamed = script.filter(|script| page.as_ref() != Some(script));
    let came = |server: &Option<Server>, what: &str| {
        let place = server.as_ref()?.http.split_once("://")?.1;
        Some(format!("{place} is where {what} came from"))
    };
    let all: Vec<String> = came(&unnamed, "the script").into_iter().chain(came(&page, "this page")).collect();
    let sentence = format!(
        "{}: if the server is elsewhere, name it with the option `server`, or with data-server on the script tag.",
        all.join(", ")
    );
    Places { servers: page.into_iter().collect(), unnamed, sentence }
}

fn page_origin() -> String {
    window().location().origin().unwrap_or_default()
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
