//! The SIP side of the configuration: where we listen for other SIP servers, and which ones there are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, between, wrong};
use crate::media::{Codec, Security};
use crate::network::Network;
use crate::trunk::Wire;

/// Where SIP is spoken with other servers. Nothing is opened where there is no trunk and no open domain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trunks {
    /// Address to listen on.
    pub bind: IpAddr,
    /// Host name or address of ours that others are told; empty: `bind`.
    pub advertise: String,
    /// UDP port; 0: none.
    pub udp: u16,
    /// TCP port; 0: none.
    pub tcp: u16,
    /// TLS port, with the certificate of `[tls]`; 0: none.
    pub tls: u16,
    /// PEM file with the authorities that TLS trunks are checked by; empty: those of the system.
    pub authorities: PathBuf,
    /// Name servers that are asked where trunks are; empty: those of the system.
    pub nameservers: Vec<SocketAddr>,
    /// SIP domains that are called directly, by DNS, without a trunk.
    pub open_domains: Vec<String>,
}

/// How keys that are pressed are told to the SIP side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtmf {
    /// In the sound's stream (RFC 4733).
    #[default]
    Rfc4733,
    /// By SIP INFO.
    Info,
}

/// One provider or SIP server.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trunk {
    /// What it is called here.
    pub name: String,
    /// `HOST`, found by SRV, or `HOST:PORT`.
    pub address: String,
    /// UDP, TCP or TLS.
    pub transport: Wire,
    /// Requests of more than 1,300 octets go over TCP.
    pub large_over_tcp: bool,
    /// Its SIP domain, where that is not the host of `address`.
    pub domain: String,
    /// Name that we show to it.
    pub username: String,
    /// The password for that.
    pub password: String,
    /// Realm in which the password is shown; empty: the first that it names.
    pub realm: String,
    /// Whether we register with it.
    pub register: bool,
    /// Seconds that a registration is asked to last.
    pub expires: u32,
    /// Beginnings of the numbers that go over it: `+46`; `+` is all.
    pub prefixes: Vec<String>,
    /// SIP domains that go over it: `example.com`, `*.example.com`, `*`.
    pub domains: Vec<String>,
    /// Whether what is called over it may be a telephone; `None`: where it has prefixes or no domains, or is at the address of one that has
    /// prefixes.
    pub telephones: Option<bool>,
    /// Numbers at its domains that are none of telephones, though it reaches some: `1001`, `10??`.
    pub extensions: Vec<String>,
    /// The least is tried first.
    pub priority: u32,
    /// Its share among those of one priority.
    pub weight: u32,
    /// Numbers, or their beginnings, that may be shown as the caller's; empty: all.
    pub caller_ids: Vec<String>,
    /// Whether numbers are written with `+`.
    pub plus: bool,
    /// Codecs, the best first.
    pub codecs: Vec<Codec>,
    /// RTP or SRTP.
    pub security: Security,
    /// Address of ours that stands in SDP; none: that of `[media]`.
    pub media_address: Option<IpAddr>,
    /// Calls at once.
    pub calls: u32,
    /// Whether it sits behind NAT.
    pub nat: bool,
    /// Whether sound is sent to where its SDP says before any has come from there.
    pub eager: bool,
    /// How keys are told.
    pub dtmf: Dtmf,
    /// Networks that it sends from, besides `address`.
    pub from: Vec<Network>,
    /// Name that its certificate must have when it connects to us.
    pub tls_name: String,
    /// Name that it has to show to us.
    pub from_username: String,
    /// The password for that.
    pub from_password: String,
    /// Seconds between OPTIONS; 0: none.
    pub watch: u32,
    /// Milliseconds without any answer to an INVITE after which the next way is tried.
    pub silence: u64,
}

impl Default for Trunks {
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            advertise: String::new(),
            udp: 5060,
            tcp: 5060,
            tls: 5061,
            authorities: PathBuf::new(),
            nameservers: Vec::new(),
            open_domains: Vec::new(),
        }
    }
}

impl Default for Trunk {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: String::new(),
            transport: Wire::Udp,
            large_over_tcp: false,
            domain: String::new(),
            username: String::new(),
            password: String::new(),
            realm: String::new(),
            register: false,
            expires: 3_600,
            prefixes: Vec::new(),
            domains: Vec::new(),
            telephones: None,
            extensions: Vec::new(),
            priority: 0,
            weight: 1,
            caller_ids: Vec::new(),
            plus: true,
            codecs: vec![Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu],
            security: Security::None,
            media_address: None,
            calls: 30,
            nat: false,
            eager: false,
            dtmf: Dtmf::Rfc4733,
            from: Vec::new(),
            tls_name: String::new(),
            from_username: String::new(),
            from_password: String::new(),
            watch: 30,
            silence: 4_000,
        }
    }
}

/// The passwords stay out of logs.
impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trunk").field("name", &self.name).field("address", &self.address).finish_non_exhaustive()
    }
}

impl Trunks {
    /// The host that others are told.
    #[must_use]
    pub fn host(&self) -> String {
        match self.bind {
            _ if !self.advertise.is_empty() => self.advertise.clone(),
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }
    }

    /// Whether the section can work with these trunks.
    pub(super) fn check(&self, trunks: &[Trunk], tls: bool) -> Result<(), ConfigError> {
        if trunks.is_empty() && self.open_domains.is_empty() {
            return Ok(());
        }
        if self.bind.is_unspecified() && self.advertise.is_empty() {
            return wrong("trunks.advertise", "is missing: `trunks.bind` is every address, and others have to be told one");
        }
        if !is_host(&self.host()) {
            return wrong("trunks.advertise", "must be a host name or an address; IPv6 in brackets");
        }
        if self.open_domains.iter().any(|domain| !is_host(domain)) {
            return wrong("trunks.open_domains", "must be host names");
        }
        for (index, trunk) in trunks.iter().enumerate() {
            if trunks[..index].iter().any(|other| other.name == trunk.name) {
                return wrong("trunk.name", format!("is {:?} twice", trunk.name));
            }
            trunk.check(self, tls)?;
        }
        Ok(())
    }
}

impl Trunk {
    /// Host and port of `address`; a host that is an IPv6 address has no brackets.
    #[must_use]
    pub fn place(&self) -> (&str, Option<u16>) {
        if let Ok(address) = self.address.parse::<SocketAddr>() {
            let (host, _) = self.address.rsplit_once(':').unwrap_or((&self.address, ""));
            return (host.trim_matches(['[', ']']), Some(address.port()));
        }
        match self.address.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, port.parse().ok()),
            _ => (self.address.trim_matches(['[', ']']), None),
        }
    }

    /// Its SIP domain, as URIs have it.
    #[must_use]
    pub fn home(&self) -> String {
        match self.place().0 {
            _ if !self.domain.is_empty() => self.domain.clone(),
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        }
    }

    /// Whether it names this number as an extension.
    #[must_use]
    pub fn has_extension(&self, number: &str) -> bool {
        let digit = |(wanted, is): (u8, u8)| wanted == is || (wanted == b'?' && is.is_ascii_digit());
        self.extensions.iter().any(|one| one.len() == number.len() && one.bytes().zip(number.bytes()).all(digit))
    }

    fn check(&self, ours: &Trunks, tls: bool) -> Result<(), ConfigError> {
        let named = |message: &str| format!("of trunk {:?} {message}", self.name);
        if self.name.is_empty() || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
            return wrong("trunk.name", format!("is {:?}; it must be letters, digits, `.`, `-` and `_`", self.name));
        }
        let (host, port) = self.place();
        let port_torn = self.address.rsplit_once(':').is_some_and(|(_, tail)| !tail.contains(']')) && port.is_none();
        if !is_host(&self.home()) || host.is_empty() || (port_torn && host.parse::<IpAddr>().is_err()) {
            return wrong("trunk.address", named("must be HOST or HOST:PORT"));
        }
        if self.transport == Wire::Udp && ours.udp == 0 {
            return wrong("trunk.transport", named("is udp, and `trunks.udp` is 0"));
        }
        if !self.tls_name.is_empty() && (ours.tls == 0 || !tls) {
            return wrong("trunk.tls_name", named("needs `trunks.tls` and a certificate in [tls]"));
        }
        if self.register && self.username.is_empty() {
            return wrong("trunk.username", named("is missing: `register` needs it"));
        }
        if self.from_username.is_empty() != self.from_password.is_empty() {
            return wrong("trunk.from_password", named("and `from_username` come together"));
        }
        self.check_routes(named)
    }

    fn check_routes(&self, named: impl Fn(&str) -> String) -> Result<(), ConfigError> {
        let is_number = |text: &String| text.strip_prefix('+').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        if !self.prefixes.iter().all(is_number) {
            return wrong("trunk.prefixes", named("must begin with + and have digits after it"));
        }
        if !self.caller_ids.iter().all(is_number) {
            return wrong("trunk.caller_ids", named("must begin with + and have digits after it"));
        }
        if !self.domains.iter().all(|domain| domain == "*" || is_host(domain.strip_prefix("*.").unwrap_or(domain))) {
            return wrong("trunk.domains", named("must be host names, *.HOST or *"));
        }
        let is_extension = |one: &String| (1..=6).contains(&one.len()) && one.bytes().all(|b| b.is_ascii_digit() || b == b'?');
        if !self.extensions.iter().all(is_extension) {
            return wrong("trunk.extensions", named("must be 1 to 6 digits each; `?` is any digit"));
        }
        if self.codecs.is_empty() {
            return wrong("trunk.codecs", named("must not be empty"));
        }
        between("trunk.weight", u64::from(self.weight), 0, 65_535)?;
        between("trunk.calls", u64::from(self.calls), 0, 100_000)?;
        between("trunk.expires", u64::from(self.expires), 60, 86_400)?;
        between("trunk.watch", u64::from(self.watch), 0, 3_600)?;
        between("trunk.silence", self.silence, 500, 4_000)
    }
}

/// Whether this can stand in a SIP URI as its host.
fn is_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(|host| host.parse::<IpAddr>().is_ok());
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    address || (!host.is_empty() && host.len() <= 253 && host.chars().all(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn an_address_is_host_and_port() {
        for (address, host, port, home) in [
            ("sip.example.com", "sip.example.com", None, "sip.example.com"),
            ("sip.example.com:5070", "sip.example.com", Some(5070), "sip.example.com"),
            ("192.0.2.1", "192.0.2.1", None, "192.0.2.1"),
            ("192.0.2.1:5070", "192.0.2.1", Some(5070), "192.0.2.1"),
            ("[2001:db8::1]:5070", "2001:db8::1", Some(5070), "[2001:db8::1]"),
            ("[2001:db8::1]", "2001:db8::1", None, "[2001:db8::1]"),
        ] {
            let trunk = Trunk { name: "a".into(), address: address.into(), ..Trunk::default() };
            assert_eq!((trunk.place(), trunk.home().as_str()), ((host, port), home));
            trunk.check(&Trunks::default(), false).expect(address);
        }
    }

    #[test]
    fn the_example_of_a_trunk_has_every_field_and_works() {
        let example: String = include_str!("../../offhook.toml")
            .lines()
            .skip_while(|line| *line != "#[[trunk]]")
            .take_while(|line| line.starts_with('#'))
            .filter(|line| !line.starts_with("# "))
            .map(|line| format!("{}\n", &line[1..]))
            .collect();
        let config = Config::parse(&example).expect("the example is valid");
        config.check().expect("it works");
        let named = |text: &toml::Value| text["trunk"][0].as_table().expect("a trunk").keys().cloned().collect::<Vec<_>>();
        let mut all = config.clone();
        all.trunk[0].media_address = Some([192, 0, 2, 1].into());
        all.trunk[0].telephones = Some(true);
        let all = toml::Value::try_from(all).expect("TOML");
        assert_eq!(named(&toml::from_str(&example).expect("TOML")), named(&all));
    }

    #[test]
    fn a_trunk_that_cannot_work_is_named() {
        for (text, field) in [
            ("address = \"a\"", "trunk.name"),
            ("name = \"a\"", "trunk.address"),
            ("name = \"a\"\naddress = \"a b\"", "trunk.address"),
            ("name = \"a\"\naddress = \"a:70000\"", "trunk.address"),
            ("name = \"a\"\naddress = \"a\"\nprefixes = [\"46\"]", "trunk.prefixes"),
            ("name = \"a\"\naddress = \"a\"\ndomains = [\"a*\"]", "trunk.domains"),
            ("name = \"a\"\naddress = \"a\"\ncodecs = []", "trunk.codecs"),
            ("name = \"a\"\naddress = \"a\"\nextensions = [\"+46\"]", "trunk.extensions"),
            ("name = \"a\"\naddress = \"a\"\nextensions = [\"0046????\"]", "trunk.extensions"),
            ("name = \"a\"\naddress = \"a\"\nregister = true", "trunk.username"),
            ("name = \"a\"\naddress = \"a\"\nfrom_username = \"u\"", "trunk.from_password"),
            ("name = \"a\"\naddress = \"a\"\ntls_name = \"u\"", "trunk.tls_name"),
            ("name = \"a\"\naddress = \"a\"\nsilence = 9000", "trunk.silence"),
            ("name = \"a\"\naddress = \"a\"\n[[trunk]]\nname = \"a\"\naddress = \"b\"", "trunk.name"),
            ("name = \"a\"\naddress = \"a\"\n[trunks]\nbind = \"0.0.0.0\"", "trunks.advertise"),
        ] {
            let config = Config::parse(&format!("[[trunk]]\n{text}")).expect(text);
            let error = config.check().expect_err(text).to_string();
            assert!(error.contains(&format!("`{field}`")), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let trunk = Trunk { password: "canary".into(), from_password: "canary".into(), ..Trunk::default() };
        assert!(!format!("{trunk:?}").contains("canary"));
    }
}
