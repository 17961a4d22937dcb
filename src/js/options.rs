//! The options of `new SinchClient(…)`, read by their own keys.

use js_sys::{Array, Function};
use wasm_bindgen::prelude::*;
use web_sys::MediaStream;

use super::error::type_error;
use crate::client::{Config, IceServer};
use crate::random::Random;
use crate::web::dom::{call1, get, get_string, global, global_value, items, new1, own, seed, string as text};

/// What the page chose.
pub struct Options {
    /// The name of the application at the server.
    pub application_key: String,
    /// The object as it was given.
    pub capabilities: JsValue,
    /// Whether calls are wanted.
    pub calling: bool,
    /// With it the page signs its own tickets.
    pub application_secret: Option<String>,
    /// What incoming calls send instead of the microphone.
    pub custom: Option<MediaStream>,
    /// Gets log messages.
    pub on_log: Option<Function>,
    /// Gets the signalling.
    pub on_message: Option<Function>,
    /// The server for plain requests: `https://host`.
    pub http: String,
    /// What there is for the client to know.
    pub config: Config,
}

/// Reads the argument of the constructor. A page that has no origin and names no server gets a client without servers.
///
/// # Errors
/// A `TypeError` that names the option.
pub fn read(given: &JsValue) -> Result<Options, JsValue> {
    if !given.is_object() {
        return Err(type_error("new SinchClient(config): config is an object with an applicationKey"));
    }
    let application_key = own(given, "applicationKey").and_then(|key| key.as_string());
    let application_key = application_key.ok_or_else(|| type_error("applicationKey is a string"))?;
    let capabilities = own(given, "capabilities").unwrap_or_default();
    let capable = |name| own(&capabilities, name).is_some_and(|value| value.is_truthy());
    let servers = Servers::read(given, &application_key)?;
    let config = Config { multi_call: capable("multiCall"), video: capable("video"), ..configure(given, &servers)? };
    Ok(Options {
        calling: capable("calling"),
        capabilities,
        application_secret: string(given, "applicationSecret")?,
        custom: stream(&own(given, "customStream").unwrap_or_default())?,
        on_log: function(given, "onLogMessage")?,
        on_message: function(given, "onLogMxpMessage")?,
        http: servers.http,
        application_key,
        config,
    })
}

fn configure(given: &JsValue, servers: &Servers) -> Result<Config, JsValue> {
    let activate = flag(given, "startActiveConnection", false);
    let mut config = Config {
        servers: servers.urls.clone(),
        domain: string(given, "domain")?.unwrap_or_else(|| servers.host.clone()),
        instance: string(given, "instanceId")?.unwrap_or_else(|| Random::new(seed()).uuid()),
        relay_only: string(given, "iceTransportPolicy")?.as_deref() == Some("relay"),
        active: activate || flag(given, "supportActiveConnection", false),
        activate,
        connect_while_ringing: flag(given, "connectWhileRinging", true),
        ..Config::default()
    };
    let times = [
        ("progressTimeout", &mut config.progress_timeout),
        ("answerTimeout", &mut config.answer_timeout),
        ("candidateWait", &mut config.candidate_wait),
    ];
    for (key, time) in times {
        if let Some(millis) = millis(given, key)? {
            *time = millis;
        }
    }
    if let Some(list) = own(given, "iceServers") {
        for server in items(&list_of(&list)) {
            config.ice_servers.push(ice_server(&server)?);
        }
    }
    Ok(config)
}

/// Where the server is.
#[derive(Default)]
struct Servers {
    urls: Vec<String>,
    host: String,
    http: String,
}

impl Servers {
    /// `server`, else `urlObj.calling` or `urlObj.base`, else where the page came from.
    fn read(given: &JsValue, application_key: &str) -> Result<Self, JsValue> {
        let mut servers = Self::default();
        let places = own(given, "urlObj").unwrap_or_default();
        let named = own(given, "server").or_else(|| own(&places, "calling")).or_else(|| own(&places, "base"));
        let Some(named) = named else {
            let origin = get_string(&global_value("location"), "origin");
            // A page from a file has none; `start` says so.
            let _ = servers.add(&origin, application_key);
            return Ok(servers);
        };
        for url in items(&list_of(&named)) {
            let added = url.as_string().and_then(|url| servers.add(&url, application_key));
            added.ok_or_else(|| type_error("server is a ws, wss, http or https URL, or a list of them"))?;
        }
        Ok(servers)
    }

    /// A WebSocket URL is taken as it is; of others only the origin counts.
    fn add(&mut self, address: &str, application_key: &str) -> Option<()> {
        let url = new1("URL", address.into());
        let host = get_string(&url, "host");
        let protocol = get_string(&url, "protocol");
        let (plain, secure) = (matches!(&*protocol, "http:" | "ws:"), matches!(&*protocol, "https:" | "wss:"));
        if host.is_empty() || !(plain || secure) {
            return None;
        }
        let tail = if secure { "s://" } else { "://" };
        if self.urls.is_empty() {
            self.host = get_string(&url, "hostname");
            self.http = ["http", tail, &host].concat();
        }
        self.urls.push(if protocol.starts_with("ws") {
            address.to_owned()
        } else {
            ["ws", tail, &host, "/sip?key=", &escaped(application_key)].concat()
        });
        Some(())
    }
}

/// A list as it is, anything else as a list of one.
fn list_of(value: &JsValue) -> Array {
    value.dyn_ref::<Array>().cloned().unwrap_or_else(|| Array::of1(value))
}

fn ice_server(given: &JsValue) -> Result<IceServer, JsValue> {
    let urls = own(given, "urls").or_else(|| own(given, "url")).unwrap_or_default();
    let mut server =
        IceServer { urls: Vec::new(), username: get_string(given, "username"), credential: get_string(given, "credential") };
    for url in items(&list_of(&urls)) {
        let url = url.as_string().ok_or_else(|| type_error("iceServers is a list of RTCIceServer objects"))?;
        server.urls.push(url);
    }
    Ok(server)
}

/// Text as a part of a URL.
pub fn escaped(part: &str) -> String {
    text(&call1(&global(), "encodeURIComponent", part.into()).unwrap_or_default())
}

/// A `MediaStream`, or nothing.
///
/// # Errors
/// A `TypeError` for anything else.
pub fn stream(given: &JsValue) -> Result<Option<MediaStream>, JsValue> {
    if given.is_undefined() || given.is_null() {
        return Ok(None);
    }
    // By what it can do, as it may come from another frame.
    if get(given, "getTracks").is_function() {
        return Ok(Some(given.clone().unchecked_into()));
    }
    Err(type_error("customStream is a MediaStream"))
}

fn flag(given: &JsValue, key: &str, otherwise: bool) -> bool {
    own(given, key).map_or(otherwise, |value| value.is_truthy())
}

fn string(given: &JsValue, key: &str) -> Result<Option<String>, JsValue> {
    let wrong = || type_error(&[key, " is a string"].concat());
    own(given, key).map(|value| value.as_string().ok_or_else(wrong)).transpose()
}

fn function(given: &JsValue, key: &str) -> Result<Option<Function>, JsValue> {
    let wrong = |_| type_error(&[key, " is a function"].concat());
    own(given, key).map(|value| value.dyn_into().map_err(wrong)).transpose()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a small positive number")]
fn millis(given: &JsValue, key: &str) -> Result<Option<u64>, JsValue> {
    let Some(value) = own(given, key) else { return Ok(None) };
    match value.as_f64() {
        Some(number) if (0.0..=2e9).contains(&number) => Ok(Some(number as u64)),
        _ => Err(type_error(&[key, " is a number of milliseconds"].concat())),
    }
}
