//! A trunk as the operator has configured it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use offhook_access::network::Network;
use offhook_sip::{Codec, Security};
use serde::{Deserialize, Serialize};

use super::Wire;

/// How DTMF digits are sent to the SIP side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtmf {
    /// In the audio stream (RFC 4733).
    #[default]
    Rfc4733,
    /// By SIP INFO.
    Info,
}

/// One provider or SIP server.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// `HOST`, found by SRV, or `HOST:PORT`.
    pub address: String,
    /// UDP, TCP or TLS.
    pub transport: Wire,
    /// Requests of more than 1,300 octets go over TCP.
    pub large_over_tcp: bool,
    /// Its SIP domain, where that is not the host of `address`.
    pub domain: String,
    /// User name of our credentials.
    pub username: String,
    /// The password for that.
    pub password: String,
    /// Realm in which the password is used; empty: the first one that it names.
    pub realm: String,
    /// The number that a call to our own Contact is for, where the provider names none; empty: none.
    pub number: String,
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
    /// Whether media are sent to the address in its SDP before any have come from there.
    pub eager: bool,
    /// How DTMF digits are sent.
    pub dtmf: Dtmf,
    /// Networks that it sends from, besides `address`.
    pub from: Vec<Network>,
    /// Name that its certificate must have when it connects to us.
    pub tls_name: String,
    /// User name of the credentials that it has to show.
    pub from_username: String,
    /// The password for that.
    pub from_password: String,
    /// Seconds between OPTIONS; 0: none.
    pub watch: u32,
    /// Milliseconds without any response to an INVITE after which the next address or trunk is tried.
    pub silence: u64,
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
            number: String::new(),
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let trunk = Trunk { password: "canary".into(), from_password: "canary".into(), ..Trunk::default() };
        assert!(!format!("{trunk:?}").contains("canary"));
    }
}
