//! The configuration: defaults, then the file, then the environment and the flags. An error names the field that is wrong.

mod limits;
mod media;
mod number;
mod phone;
mod trunks;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use offhook_access::network::Network;
use offhook_trunk::Trunk;

pub use limits::Limits;
pub use media::Media;
pub use number::Number;
pub use phone::Phone;
pub use trunks::Trunks;

/// The whole configuration. `gateway/offhook.toml` describes each field.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Certificate and key; with none the gateway serves http and ws.
    pub tls: Tls,
    /// Storage and accounts.
    pub data: Data,
    /// The SIP side.
    pub sip: Sip,
    /// STUN and TURN for the pages.
    pub ice: Ice,
    /// Ports for other SIP servers.
    pub trunks: Trunks,
    /// Providers and other SIP servers.
    pub trunk: Vec<Trunk>,
    /// Telephone numbers of applications.
    pub number: Vec<Number>,
    /// Calls that cost money.
    pub phone: Phone,
    /// Media of calls between pages and SIP.
    pub media: Media,
    /// Limits of single addresses, connections and users.
    pub limits: Limits,
    /// The log on standard error.
    pub log: Log,
    /// Health and metrics.
    pub metrics: Metrics,
    /// Static files.
    pub files: Files,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Address; loopback by default.
    pub bind: IpAddr,
    /// Port; 0: a free one.
    pub port: u16,
    /// Another port on 127.0.0.1 for functions that only this machine may use; 0: none.
    pub local_port: u16,
    /// Whether to serve http and ws on an address that other machines can reach.
    pub allow_plain: bool,
    /// How long running calls may last after SIGTERM, seconds.
    pub drain_timeout: u64,
    /// Reverse proxies whose `X-Forwarded-For` is used: addresses and networks.
    pub trusted_proxies: Vec<Network>,
}

/// Certificate and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate chain; empty: no TLS.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Storage and accounts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Folder of the database.
    pub folder: PathBuf,
    /// Whether this machine may use the application `demo` and its tickets.
    pub demo: bool,
    /// Application of a page that names none.
    pub default_application: String,
    /// How long a ticket is valid for the demo, a new user or a sign-in by password, seconds.
    pub ticket_lifetime: u32,
    /// Whether WebSockets without an Origin header (programs, not pages) are also accepted from other machines.
    pub allow_missing_origin: bool,
}

/// The SIP side.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    /// Domain and digest realm, which the hashes of passwords depend on.
    pub domain: String,
    /// How long a call waits for a device of a known user who has none, milliseconds.
    pub hold_offline: u64,
}

/// STUN and TURN.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ice {
    /// `stun:` and `turn:` URLs.
    pub servers: Vec<String>,
    /// The secret shared with coturn (`static-auth-secret`); empty: pages get TURN servers without credentials.
    pub turn_secret: String,
    /// How long a TURN credential is valid, seconds.
    pub turn_ttl: u32,
}

/// The log on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`; user names and numbers are masked at `info` and above.
    pub level: Level,
    /// `text` or `json`.
    pub format: Format,
}

/// The log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Faults that the operator has to repair.
    Error,
    /// Faults that the operator may have to repair.
    Warn,
    /// Registrations and calls.
    Info,
    /// Each connection.
    Debug,
    /// Everything.
    Trace,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For humans.
    Text,
    /// One JSON object on each line.
    Json,
}

/// Health and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Whether other machines may request `/metrics`.
    pub public: bool,
}

/// Static files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// The folder of the demo page, instead of the one in the binary.
    pub www: PathBuf,
    /// The folder of the built package, instead of the one in the binary.
    pub package: PathBuf,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            local_port: 0,
            allow_plain: false,
            drain_timeout: 30,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("offhook-data"),
            demo: true,
            default_application: "demo".into(),
            ticket_lifetime: 86_400,
            allow_missing_origin: false,
        }
    }
}

impl Default for Sip {
    fn default() -> Self {
        Self { domain: "localhost".into(), hold_offline: 10_500 }
    }
}

impl Default for Ice {
    fn default() -> Self {
        Self { servers: Vec::new(), turn_secret: String::new(), turn_ttl: 86_400 }
    }
}

/// Keeps the secret out of logs.
impl fmt::Debug for Ice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ice").field("servers", &self.servers).field("turn_ttl", &self.turn_ttl).finish_non_exhaustive()
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, format: Format::Text }
    }
}

/// Flags and environment variables that override the file.
#[derive(Args, Clone, Debug, Default)]
pub struct Overrides {
    /// Configuration file (TOML) [default: none]
    #[arg(long, short, env = "OFFHOOK_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Port to listen on; 0 takes a free one [default: 8080]
    #[arg(long, short, env = "OFFHOOK_PORT", global = true)]
    pub port: Option<u16>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, env = "OFFHOOK_BIND", value_name = "ADDRESS", global = true)]
    pub bind: Option<IpAddr>,
    /// Folder of the database [default: offhook-data]
    #[arg(long, short, env = "OFFHOOK_DATA", value_name = "FOLDER", global = true)]
    pub data: Option<PathBuf>,
    /// SIP domain and digest realm [default: localhost]
    #[arg(long, env = "OFFHOOK_DOMAIN", global = true)]
    pub domain: Option<String>,
    /// PEM file with the certificate chain: turns TLS on
    #[arg(long, env = "OFFHOOK_TLS_CERTIFICATE", value_name = "FILE", global = true)]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the private key
    #[arg(long, env = "OFFHOOK_TLS_KEY", value_name = "FILE", global = true)]
    pub tls_key: Option<PathBuf>,
    /// Serve http and ws on an address that others can reach
    #[arg(long, env = "OFFHOOK_ALLOW_PLAIN", global = true)]
    pub allow_plain: bool,
    /// Secret shared with coturn (only by environment: flags can be seen by every user of the machine)
    #[arg(skip = turn_secret_from_environment())]
    pub turn_secret: Option<String>,
    /// Secret of the operator for the REST API (only by environment, too)
    #[arg(skip = operator_token_from_environment())]
    pub operator_token: Option<String>,
    /// Folder with the demo page, in place of the one in the binary
    #[arg(long, env = "OFFHOOK_WWW", value_name = "FOLDER", global = true)]
    pub www: Option<PathBuf>,
    /// Folder with the built package, in place of the one in the binary
    #[arg(long, env = "OFFHOOK_PACKAGE", value_name = "FOLDER", global = true)]
    pub package: Option<PathBuf>,
    /// How much to log [default: info]
    #[arg(long, env = "OFFHOOK_LOG", value_name = "LEVEL", global = true)]
    pub log: Option<Level>,
    /// How a log line looks [default: text]
    #[arg(long, env = "OFFHOOK_LOG_FORMAT", value_name = "FORMAT", global = true)]
    pub log_format: Option<Format>,
}

/// `OFFHOOK_TURN_SECRET`, where it is set.
fn turn_secret_from_environment() -> Option<String> {
    std::env::var("OFFHOOK_TURN_SECRET").ok()
}

/// `OFFHOOK_OPERATOR_TOKEN`, where it is set.
fn operator_token_from_environment() -> Option<String> {
    std::env::var("OFFHOOK_OPERATOR_TOKEN").ok()
}

/// Why a configuration is rejected. The operator is at fault in every case.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file is not TOML, or has an unknown field or a value of another type. The message names line and field.
    #[error("the configuration {0} is wrong: {1}")]
    Parse(PathBuf, String),
    /// The value of this field is not valid.
    #[error("the configuration is wrong: `{0}` {1}")]
    Field(&'static str, String),
}

impl Config {
    /// Loads file, environment and flags, and checks the result.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let mut config = match &overrides.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        config.apply(overrides);
        config.check()?;
        Ok(config)
    }

    /// Reads a file, without checking the values.
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read(path.into(), error))?;
        Self::parse(&text).map_err(|error| ConfigError::Parse(path.into(), error))
    }

    /// Parses a text, without checking the values; the error names the line.
    ///
    /// # Errors
    /// Where it is not TOML, has an unknown field or a value of another type.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }

    fn apply(&mut self, overrides: &Overrides) {
        fn set<T: Clone>(field: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                *field = value.clone();
            }
        }
        set(&mut self.listen.port, overrides.port.as_ref());
        set(&mut self.listen.bind, overrides.bind.as_ref());
        self.listen.allow_plain |= overrides.allow_plain;
        set(&mut self.data.folder, overrides.data.as_ref());
        set(&mut self.sip.domain, overrides.domain.as_ref());
        set(&mut self.tls.certificate, overrides.tls_certificate.as_ref());
        set(&mut self.tls.key, overrides.tls_key.as_ref());
        set(&mut self.ice.turn_secret, overrides.turn_secret.as_ref());
        set(&mut self.phone.operator_token, overrides.operator_token.as_ref());
        set(&mut self.files.www, overrides.www.as_ref());
        set(&mut self.files.package, overrides.package.as_ref());
        set(&mut self.log.level, overrides.log.as_ref());
        set(&mut self.log.format, overrides.log_format.as_ref());
    }

    /// Whether TLS is on.
    #[must_use]
    pub fn tls_on(&self) -> bool {
        !self.tls.certificate.as_os_str().is_empty()
    }

    /// Returns the address and port to listen on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.listen.bind, self.listen.port)
    }

    /// Returns the address and port for this machine alone.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        (self.listen.local_port > 0).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, self.listen.local_port)))
    }

    /// Whether any field shows that other machines use the gateway, perhaps through a proxy on this machine.
    #[must_use]
    pub fn is_public(&self) -> bool {
        let Listen { bind, allow_plain, trusted_proxies, .. } = &self.listen;
        let reached = !bind.is_loopback() || *allow_plain || !trusted_proxies.is_empty() || self.tls_on();
        reached || self.sip.domain != Sip::default().domain || self.data.allow_missing_origin || self.metrics.public
    }

    /// Checks that every value is valid.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_listen()?;
        self.check_names()?;
        self.ice.servers.iter().try_for_each(|url| check_ice(url))?;
        self.trunks.check(&self.trunk, self.tls_on())?;
        self.phone.check(&self.trunk)?;
        Number::check_all(&self.number)?;
        self.media.check()?;
        self.limits.check()
    }

    fn check_listen(&self) -> Result<(), ConfigError> {
        if self.tls_on() == self.tls.key.as_os_str().is_empty() {
            let field = if self.tls_on() { "tls.key" } else { "tls.certificate" };
            return wrong(field, "is missing: certificate and key come together");
        }
        if !self.tls_on() && !self.listen.bind.is_loopback() && !self.listen.allow_plain {
            return wrong(
                "listen.bind",
                "is an address that others can reach, and there is no TLS: set `tls.certificate` and `tls.key`, or \
                 `listen.allow_plain = true` where something in front adds TLS",
            );
        }
        if self.listen.local_port > 0 && self.listen.local_port == self.listen.port {
            return wrong("listen.local_port", "is the port of everybody, `listen.port`: name another one");
        }
        between("listen.drain_timeout", self.listen.drain_timeout, 0, 86_400)
    }

    fn check_names(&self) -> Result<(), ConfigError> {
        let domain = &self.sip.domain;
        let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if domain.is_empty() || domain.len() > 253 || !domain.chars().all(host) {
            return wrong("sip.domain", "must be a host name such as calls.example.com");
        }
        if self.data.folder.as_os_str().is_empty() {
            return wrong("data.folder", "must not be empty");
        }
        between("sip.hold_offline", self.sip.hold_offline, 0, 60_000)?;
        between("ice.turn_ttl", u64::from(self.ice.turn_ttl), 60, 604_800)?;
        between("data.ticket_lifetime", u64::from(self.data.ticket_lifetime), 60, 2_592_000)
    }
}

fn check_ice(url: &str) -> Result<(), ConfigError> {
    let known = ["stun:", "stuns:", "turn:", "turns:"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
    if known && url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"')) {
        return Ok(());
    }
    wrong("ice.servers", format!("has {url:?}; write stun:HOST:PORT or turn:HOST:PORT?transport=udp"))
}

fn between(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) { Ok(()) } else { wrong(field, format!("is {value}; it must be {least} to {most}")) }
}

fn wrong(field: &'static str, message: impl Into<String>) -> Result<(), ConfigError> {
    Err(ConfigError::Field(field, message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_is_the_default() {
        let example: Config = toml::from_str(include_str!("../../offhook.toml")).expect("the example is valid");
        assert_eq!(example, Config::default());
        example.check().expect("the defaults work");
    }

    #[test]
    fn the_example_has_every_field() {
        let example: toml::Value = toml::from_str(include_str!("../../offhook.toml")).expect("TOML");
        let all = toml::Value::try_from(Config::default()).expect("TOML");
        assert_eq!(fields(&example), fields(&all));
    }

    #[test]
    fn the_examples_of_the_documents_work() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let documents = std::fs::read_dir(folder).expect("the documents").flatten().map(|entry| entry.path());
        let texts: Vec<String> = documents.map(|path| std::fs::read_to_string(path).expect("a text")).collect();
        let blocks = texts.iter().flat_map(|text| text.split("```toml\n").skip(1));
        let examples: Vec<&str> = blocks.map(|rest| rest.split("```").next().unwrap_or_default()).collect();
        assert!(examples.len() > 5, "the examples are found: {examples:?}");
        for example in examples {
            let config = Config::parse(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
            config.check().unwrap_or_else(|error| panic!("{error}\n{example}"));
        }
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = toml::from_str::<Config>("[listen]\nprot = 1\n").expect_err("no such field").to_string();
        assert!(error.contains("prot") && error.contains("port"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_work_is_named() {
        for (text, field) in [
            ("[limits]\nmessage_bytes = 1", "limits.message_bytes"),
            ("[limits]\nidle_timeout = 1000", "limits.idle_timeout"),
            ("[listen]\nbind = \"0.0.0.0\"", "listen.bind"),
            ("[listen]\nlocal_port = 8080", "listen.local_port"),
            ("[sip]\ndomain = \"a b\"", "sip.domain"),
            ("[ice]\nservers = [\"http://x\"]", "ice.servers"),
            ("[phone]\nallow = [\"2\"]", "phone.allow"),
            ("[phone]\nspend_per_day = \"5,0\"", "phone.spend_per_day"),
            ("[phone]\noperator_token = \"secret\"", "phone.operator_token"),
            ("[phone]\nemergency = { trunk = \"none\" }", "phone.emergency"),
            ("[phone]\nemergency = { numbers = [\"+112\"] }", "phone.emergency"),
            ("[[trunk]]\nname = \"a\"\naddress = \"a\"\nextensions = [\"1??\"]", "trunk.extensions"),
            ("[[number]]\nnumber = \"0701234567\"", "number.number"),
            ("[[number]]\nnumber = \"+46701234567\"\n[[number]]\nnumber = \"+46701234567\"", "number.number"),
            ("[tls]\ncertificate = \"a.pem\"", "tls.key"),
            ("[tls]\nkey = \"a.pem\"", "tls.certificate"),
        ] {
            let config: Config = toml::from_str(text).expect("TOML");
            let error = config.check().expect_err(text).to_string();
            assert!(error.contains(&format!("`{field}`")), "{error}");
        }
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let mut config: Config = toml::from_str("[listen]\nport = 1\n[sip]\ndomain = \"a.example\"").expect("TOML");
        config.apply(&Overrides { port: Some(2), ..Overrides::default() });
        assert_eq!((config.listen.port, config.sip.domain.as_str()), (2, "a.example"));
    }

    fn fields(value: &toml::Value) -> Vec<String> {
        let table = value.as_table().expect("a table");
        let mut names: Vec<String> = table
            .iter()
            .flat_map(|(section, t)| t.as_table().into_iter().flatten().map(move |(k, _)| format!("{section}.{k}")))
            .collect();
        names.sort();
        names
    }
}
