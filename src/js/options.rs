//! The options of `new SinchClient(…)`, read by their own keys.

use std::rc::Rc;

use wasm_bindgen::prelude::*;

use super::error::type_error;
use crate::client::{Config, IceServer};
use crate::text::concat;
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
    /// With it the page signs its own tickets; empty without.
    pub application_secret: String,
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
    let mut reader = Reader { given, fault: None };
    let (mut options, mut config) = (Options::default(), Config::default());
    reader.read(&mut options, &mut config);
    reader.configure(&mut config);
    match reader.fault {
        Some(fault) => Err(fault),
        None => Ok((options, config)),
    }
}

/// Reads options, each to where it belongs: to hand them on one by one would be more code than to read them.
struct Reader<'a> {
    given: &'a JsValue,
    /// The first that was found.
    fault: Option<JsValue>,
}

impl Reader<'_> {
    fn read(&mut self, options: &mut Options, config: &mut Config) {
        if !self.string("applicationKey", &mut options.application_key) {
            self.wrong("applicationKey", "string");
        }
        options.capabilities = own(self.given, "capabilities");
        flag(&options.capabilities, "calling", &mut options.calling);
        flag(&options.capabilities, "video", &mut options.video);
        flag(&options.capabilities, "multiCall", &mut config.multi_call);
        config.video = options.video;
        self.read_servers(options, config);
        self.string("applicationSecret", &mut options.application_secret);
        match stream(&own(self.given, "customStream")) {
            Ok(custom) => options.custom = custom,
            Err(_) => self.refuse(NO_STREAM),
        }
        self.function("onLogMessage", &mut options.on_log);
        self.function("onLogMxpMessage", &mut options.on_message);
    }

    /// `server`, else `urlObj.calling` or `urlObj.base`, else where the page came from.
    fn read_servers(&mut self, options: &mut Options, config: &mut Config) {
        let places = own(self.given, "urlObj");
        let named = either(own(self.given, "server"), &places, "calling");
        let named = either(named, &places, "base");
        if named.is_undefined() {
            let origin = text(&get_in(&global(), "location", "origin"));
            // A page from a file has none; `start` says so.
            options.add_server(&origin, config);
            return;
        }
        for url in &list_of(named) {
            if !options.add_server(&text(url), config) {
                self.refuse("server is a ws, wss, http or https URL, or a list of them");
            }
        }
    }

    fn configure(&mut self, config: &mut Config) {
        self.string("domain", &mut config.domain);
        config.instance = uuid();
        self.string("instanceId", &mut config.instance);
        let mut policy = String::new();
        self.string("iceTransportPolicy", &mut policy);
        config.relay_only = policy == "relay";
        flag(self.given, "startActiveConnection", &mut config.activate);
        config.active = config.activate;
        flag(self.given, "supportActiveConnection", &mut config.active);
        config.active |= config.activate;
        flag(self.given, "connectWhileRinging", &mut config.connect_while_ringing);
        self.millis("progressTimeout", &mut config.progress_timeout);
        self.millis("answerTimeout", &mut config.answer_timeout);
        self.millis("candidateWait", &mut config.candidate_wait);
        self.millis("tokenRefreshMs", &mut config.token_refresh);
        let list = own(self.given, "iceServers");
        if !list.is_undefined() {
            let mut servers = Vec::new();
            for server in &list_of(list) {
                servers.push(self.ice_server(server));
            }
            config.ice_servers = Rc::new(servers);
        }
    }

    fn ice_server(&mut self, given: &JsValue) -> IceServer {
        let urls = either(own(given, "urls"), given, "url");
        let mut server =
            IceServer { urls: Vec::new(), username: get_string(given, "username"), credential: get_string(given, "credential") };
        for url in &list_of(urls) {
            match url.as_string() {
                Some(url) => server.urls.push(url),
                None => self.refuse("iceServers is a list of RTCIceServer objects"),
            }
        }
        server
    }

    /// Whether there is one.
    fn string(&mut self, key: &str, into: &mut String) -> bool {
        let value = own(self.given, key);
        if value.is_undefined() {
            return false;
        }
        match value.as_string() {
            Some(text) => *into = text,
            None => self.wrong(key, "string"),
        }
        true
    }

    fn function(&mut self, key: &str, into: &mut JsValue) {
        let value = own(self.given, key);
        if !value.is_undefined() {
            if !value.is_function() {
                self.wrong(key, "function");
            }
            *into = value;
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a small positive number")]
    fn millis(&mut self, key: &str, into: &mut u64) {
        let value = own(self.given, key);
        if !value.is_undefined() {
            match value.as_f64() {
                Some(number) if (0.0..=2e9).contains(&number) => *into = number as u64,
                _ => self.wrong(key, "number of milliseconds"),
            }
        }
    }

    fn wrong(&mut self, key: &str, kind: &str) {
        self.refuse(&concat(&[key, " is a ", kind]));
    }

    fn refuse(&mut self, message: &str) {
        if self.fault.is_none() {
            self.fault = Some(type_error(message));
        }
    }
}

/// The protocols of a server, and what the two that it speaks have after `http` and `ws`.
const PROTOCOLS: [(&str, &str); 4] = [("http:", "://"), ("ws:", "://"), ("https:", "s://"), ("wss:", "s://")];

impl Options {
    /// A WebSocket URL is taken as it is; of others only the origin counts.
    fn add_server(&mut self, address: &str, config: &mut Config) -> bool {
        let url = new1("URL", address.into());
        let host = get_string(&url, "host");
        let protocol = get_string(&url, "protocol");
        let known = PROTOCOLS.iter().find(|(known, _)| *known == protocol && !host.is_empty());
        let Some((_, tail)) = known else { return false };
        if config.servers.is_empty() {
            config.domain = get_string(&url, "hostname");
            self.http = concat(&["http", tail, &host]);
        }
        config.servers.push(if protocol.starts_with("ws") {
            address.to_owned()
        } else {
            concat(&["ws", tail, &host, "/sip?key=", &escaped(&self.application_key)])
        });
        true
    }
}

/// `value`, or `object[key]` where it is `undefined`.
fn either(value: JsValue, object: &JsValue, key: &str) -> JsValue {
    if value.is_undefined() { own(object, key) } else { value }
}

/// A list as it is, anything else as a list of one.
fn list_of(value: JsValue) -> Vec<JsValue> {
    let listed = call_of("Array", "isArray", value.clone()).is_truthy();
    items(if listed { value } else { list1(value) })
}

/// Text as a part of a URL.
pub fn escaped(part: &str) -> String {
    text(&call1(&global(), "encodeURIComponent", part.into()))
}

const NO_STREAM: &str = "customStream is a MediaStream";

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
    Err(type_error(NO_STREAM))
}

fn flag(given: &JsValue, key: &str, into: &mut bool) {
    let value = own(given, key);
    if !value.is_undefined() {
        *into = value.is_truthy();
    }
}
