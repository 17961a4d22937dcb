//! The options of `new SinchClient(…)`, read by their own keys.

use wasm_bindgen::prelude::*;

use super::error::type_error;
use crate::client::{Config, IceServer};
use crate::web::MediaStream;
use crate::web::dom::{call_of, call1, get, get_in, get_string, global, items, list1, new1, own, string as text, uuid};

/// What the page chose.
#[derive(Default)]
pub struct Options {
    /// The name of the application at the server.
    pub application_key: String,
    /// The object as it was given.
    pub capabilities: JsValue,
    /// Whether calls are wanted.
    pub calling: bool,
    /// Whether calls between users have video.
    pub video: bool,
    /// With it the page signs its own tickets.
    pub application_secret: Option<String>,
    /// What incoming calls send instead of the microphone.
    pub custom: MediaStream,
    /// Gets log messages; `undefined` where nothing does.
    pub on_log: JsValue,
    /// Gets the signalling; `undefined` where nothing does.
    pub on_message: JsValue,
    /// The server for plain requests: `https://host`; empty where there is no server.
    pub http: String,
}

/// Reads the argument of the constructor, and what of it is for the client to know. A page that has no origin and names no server gets a
/// client without servers.
///
/// # Errors
/// A `TypeError` that names the option.
pub fn read(given: &JsValue) -> Result<(Options, Config), JsValue> {
    if !given.is_object() {
        return Err(type_error("new SinchClient(config): config is an object with an applicationKey"));
    }
    let (mut options, mut config) = (Options::default(), Config::default());
    // Each is written to where it belongs: to hand them on one by one would be more code than to read them.
    options.read(given, &mut config)?;
    configure(given, &mut config)?;
    if let Some(secret) = own(given, "applicationSecret") {
        let secret = secret.as_string().ok_or_else(|| wrong("applicationSecret", "string"))?;
        options.application_secret = Some(secret);
    }
    options.custom = stream(&own(given, "customStream").unwrap_or_default())?;
    function(given, "onLogMessage", &mut options.on_log)?;
    function(given, "onLogMxpMessage", &mut options.on_message)?;
    Ok((options, config))
}

fn configure(given: &JsValue, config: &mut Config) -> Result<(), JsValue> {
    string(given, "domain", &mut config.domain)?;
    config.instance = uuid();
    string(given, "instanceId", &mut config.instance)?;
    let mut policy = String::new();
    string(given, "iceTransportPolicy", &mut policy)?;
    config.relay_only = policy == "relay";
    flag(given, "startActiveConnection", &mut config.activate);
    config.active = config.activate;
    flag(given, "supportActiveConnection", &mut config.active);
    config.active |= config.activate;
    flag(given, "connectWhileRinging", &mut config.connect_while_ringing);
    millis(given, "progressTimeout", &mut config.progress_timeout)?;
    millis(given, "answerTimeout", &mut config.answer_timeout)?;
    millis(given, "candidateWait", &mut config.candidate_wait)?;
    if let Some(list) = own(given, "iceServers") {
        for server in list_of(list) {
            config.ice_servers.push(ice_server(&server)?);
        }
    }
    Ok(())
}

impl Options {
    fn read(&mut self, given: &JsValue, config: &mut Config) -> Result<(), JsValue> {
        let application_key = own(given, "applicationKey").and_then(|key| key.as_string());
        self.application_key = application_key.ok_or_else(|| wrong("applicationKey", "string"))?;
        self.capabilities = own(given, "capabilities").unwrap_or_default();
        flag(&self.capabilities, "calling", &mut self.calling);
        flag(&self.capabilities, "video", &mut self.video);
        flag(&self.capabilities, "multiCall", &mut config.multi_call);
        config.video = self.video;
        self.read_servers(given, config)
    }

    /// `server`, else `urlObj.calling` or `urlObj.base`, else where the page came from.
    fn read_servers(&mut self, given: &JsValue, config: &mut Config) -> Result<(), JsValue> {
        let places = own(given, "urlObj").unwrap_or_default();
        let named = own(given, "server").or_else(|| own(&places, "calling")).or_else(|| own(&places, "base"));
        let Some(named) = named else {
            let origin = text(&get_in(&global(), "location", "origin"));
            // A page from a file has none; `start` says so.
            let _ = self.add_server(&origin, config);
            return Ok(());
        };
        for url in list_of(named) {
            let added = url.as_string().and_then(|url| self.add_server(&url, config));
            added.ok_or_else(|| type_error("server is a ws, wss, http or https URL, or a list of them"))?;
        }
        Ok(())
    }

    /// A WebSocket URL is taken as it is; of others only the origin counts.
    fn add_server(&mut self, address: &str, config: &mut Config) -> Option<()> {
        let url = new1("URL", address.into());
        let host = get_string(&url, "host");
        let protocol = get_string(&url, "protocol");
        let (plain, secure) = (matches!(&*protocol, "http:" | "ws:"), matches!(&*protocol, "https:" | "wss:"));
        if host.is_empty() || !(plain || secure) {
            return None;
        }
        let tail = if secure { "s://" } else { "://" };
        if config.servers.is_empty() {
            config.domain = get_string(&url, "hostname");
            self.http = ["http", tail, &host].concat();
        }
        config.servers.push(if protocol.starts_with("ws") {
            address.to_owned()
        } else {
            ["ws", tail, &host, "/sip?key=", &escaped(&self.application_key)].concat()
        });
        Some(())
    }
}

/// A list as it is, anything else as a list of one.
fn list_of(value: JsValue) -> Vec<JsValue> {
    let listed = call_of("Array", "isArray", value.clone()).unwrap_or_default().is_truthy();
    items(if listed { value } else { list1(value) })
}

fn ice_server(given: &JsValue) -> Result<IceServer, JsValue> {
    let urls = own(given, "urls").or_else(|| own(given, "url")).unwrap_or_default();
    let mut server =
        IceServer { urls: Vec::new(), username: get_string(given, "username"), credential: get_string(given, "credential") };
    for url in list_of(urls) {
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
pub fn stream(given: &JsValue) -> Result<MediaStream, JsValue> {
    if given.is_undefined() || given.is_null() {
        return Ok(JsValue::UNDEFINED);
    }
    // By what it can do, as it may come from another frame.
    if get(given, "getTracks").is_function() {
        return Ok(given.clone());
    }
    Err(type_error("customStream is a MediaStream"))
}

fn wrong(key: &str, kind: &str) -> JsValue {
    type_error(&[key, " is a ", kind].concat())
}

fn flag(given: &JsValue, key: &str, into: &mut bool) {
    if let Some(value) = own(given, key) {
        *into = value.is_truthy();
    }
}

fn string(given: &JsValue, key: &str, into: &mut String) -> Result<(), JsValue> {
    if let Some(value) = own(given, key) {
        *into = value.as_string().ok_or_else(|| wrong(key, "string"))?;
    }
    Ok(())
}

fn function(given: &JsValue, key: &str, into: &mut JsValue) -> Result<(), JsValue> {
    if let Some(value) = own(given, key) {
        if !value.is_function() {
            return Err(wrong(key, "function"));
        }
        *into = value;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a small positive number")]
fn millis(given: &JsValue, key: &str, into: &mut u64) -> Result<(), JsValue> {
    let Some(value) = own(given, key) else { return Ok(()) };
    match value.as_f64() {
        Some(number) if (0.0..=2e9).contains(&number) => *into = number as u64,
        _ => return Err(wrong(key, "number of milliseconds")),
    }
    Ok(())
}
