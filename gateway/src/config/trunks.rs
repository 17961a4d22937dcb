//! The SIP part of the configuration: ports for other SIP servers, and the trunks to them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use offhook_ledger::Number;
use offhook_trunk::{Trunk, Wire};
use serde::{Deserialize, Serialize};

use super::{ConfigError, between, wrong};

/// `[trunks]`: the ports for SIP with other servers. None is opened where there is no trunk and no open domain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trunks {
    /// Address to listen on.
    pub bind: IpAddr,
    /// The host name or address of the gateway for others; empty: `bind`.
    pub advertise: String,
    /// UDP port; 0: none.
    pub udp: u16,
    /// TCP port; 0: none.
    pub tcp: u16,
    /// TLS port, with the certificate of `[tls]`; 0: none.
    pub tls: u16,
    /// PEM file with the certificate authorities for TLS trunks; empty: those of the system.
    pub authorities: PathBuf,
    /// DNS servers; empty: those of the system.
    pub nameservers: Vec<SocketAddr>,
    /// SIP domains that are called directly, by DNS, without a trunk.
    pub open_domains: Vec<String>,
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

impl Trunks {
    /// Returns the host name of the gateway for others.
    #[must_use]
    pub fn host(&self) -> String {
        match self.bind {
            _ if !self.advertise.is_empty() => self.advertise.clone(),
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }
    }

    /// Checks that the section is valid with these trunks.
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
            check_trunk(trunk, self, tls)?;
        }
        Ok(())
    }
}

/// Checks the values of a trunk, given the ports of the gateway and whether it has a certificate.
fn check_trunk(trunk: &Trunk, ours: &Trunks, tls: bool) -> Result<(), ConfigError> {
    let named = |message: &str| format!("of trunk {:?} {message}", trunk.name);
    if trunk.name.is_empty() || !trunk.name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
        return wrong("trunk.name", format!("is {:?}; it must be letters, digits, `.`, `-` and `_`", trunk.name));
    }
    let (host, port) = trunk.place();
    let port_torn = trunk.address.rsplit_once(':').is_some_and(|(_, tail)| !tail.contains(']')) && port.is_none();
    if !is_host(&trunk.home()) || host.is_empty() || (port_torn && host.parse::<IpAddr>().is_err()) {
        return wrong("trunk.address", named("must be HOST or HOST:PORT"));
    }
    if trunk.transport == Wire::Udp && ours.udp == 0 {
        return wrong("trunk.transport", named("is udp, and `trunks.udp` is 0"));
    }
    if !trunk.tls_name.is_empty() && (ours.tls == 0 || !tls) {
        return wrong("trunk.tls_name", named("needs `trunks.tls` and a certificate in [tls]"));
    }
    if trunk.register && trunk.username.is_empty() {
        return wrong("trunk.username", named("is missing: `register` needs it"));
    }
    if !trunk.number.is_empty() && Number::parse(&trunk.number).is_err() {
        return wrong("trunk.number", named("must be a telephone number, as +46701234567"));
    }
    if trunk.from_username.is_empty() != trunk.from_password.is_empty() {
        return wrong("trunk.from_password", named("and `from_username` come together"));
    }
    check_routes(trunk, named)
}

fn check_routes(trunk: &Trunk, named: impl Fn(&str) -> String) -> Result<(), ConfigError> {
    let is_number = |text: &String| text.strip_prefix('+').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    if !trunk.prefixes.iter().all(is_number) {
        return wrong("trunk.prefixes", named("must begin with + and have digits after it"));
    }
    if !trunk.caller_ids.iter().all(is_number) {
        return wrong("trunk.caller_ids", named("must begin with + and have digits after it"));
    }
    if !trunk.domains.iter().all(|domain| domain == "*" || is_host(domain.strip_prefix("*.").unwrap_or(domain))) {
        return wrong("trunk.domains", named("must be host names, *.HOST or *"));
    }
    let is_extension = |one: &String| (1..=6).contains(&one.len()) && one.bytes().all(|b| b.is_ascii_digit() || b == b'?');
    if !trunk.extensions.iter().all(is_extension) {
        return wrong("trunk.extensions", named("must be 1 to 6 digits each; `?` is any digit"));
    }
    if trunk.codecs.is_empty() {
        return wrong("trunk.codecs", named("must not be empty"));
    }
    between("trunk.weight", u64::from(trunk.weight), 0, 65_535)?;
    between("trunk.calls", u64::from(trunk.calls), 0, 100_000)?;
    between("trunk.expires", u64::from(trunk.expires), 60, 86_400)?;
    between("trunk.watch", u64::from(trunk.watch), 0, 3_600)?;
    between("trunk.silence", trunk.silence, 500, 4_000)
}

/// Whether a text can be the host of a SIP URI.
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
    fn an_address_may_be_a_name_or_an_address_with_or_without_port() {
        for address in
            ["sip.example.com", "sip.example.com:5070", "192.0.2.1", "192.0.2.1:5070", "[2001:db8::1]:5070", "[2001:db8::1]"]
        {
            let trunk = Trunk { name: "a".into(), address: address.into(), ..Trunk::default() };
            check_trunk(&trunk, &Trunks::default(), false).expect(address);
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
            ("name = \"a\"\naddress = \"a\"\nnumber = \"0701234567\"", "trunk.number"),
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
}
