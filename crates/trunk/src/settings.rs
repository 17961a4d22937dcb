//! What the operator has set, as the trunks need it.

use offhook_access::proofs::Proofs;
use offhook_sip::Branch;

use super::{Trunk, Wire};

/// Our own domain, host and ports, and the trunks.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Our SIP domain and the realm of our challenges.
    pub domain: String,
    /// Our host in Via and Contact.
    pub host: String,
    /// Our ports for UDP, TCP and TLS; 0: none.
    pub ports: [u16; 3],
    /// The trunks of the configuration.
    pub trunks: Vec<Trunk>,
    /// Domains that are called without a trunk of the configuration.
    pub open_domains: Vec<String>,
    /// Budgets of failed proofs of identity, shared with proxy and HTTP.
    pub proofs: Proofs,
}

impl Settings {
    /// Whether there is no trunk and no such domain.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trunks.is_empty() && self.open_domains.is_empty()
    }

    /// Returns the trunks, and after them one for each open domain, named `@domain`.
    pub(super) fn all(&self) -> impl Iterator<Item = Trunk> {
        let open = self.open_domains.iter().map(|domain| Trunk {
            name: format!("@{domain}"),
            address: domain.clone(),
            domains: vec![domain.clone()],
            priority: u32::MAX,
            watch: 0,
            ..Trunk::default()
        });
        self.trunks.iter().cloned().chain(open)
    }

    /// Returns the value of our Via with that branch.
    pub(super) fn via(&self, wire: Wire, branch: &Branch) -> String {
        format!("SIP/2.0/{} {};branch={};rport", wire.name(), self.host_port(wire), branch.as_str())
    }

    /// Returns the URI of our Contact.
    pub(super) fn contact_uri(&self, wire: Wire, user: &str) -> String {
        let user = if user.is_empty() { String::new() } else { format!("{}@", offhook_sip::escape_user(user)) };
        let transport = ["", ";transport=tcp", ";transport=tls"][wire as usize];
        format!("sip:{user}{}{transport}", self.host_port(wire))
    }

    fn host_port(&self, wire: Wire) -> String {
        match self.ports[wire as usize] {
            0 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        }
    }
}

impl Wire {
    /// Returns the name in Via.
    pub(super) const fn name(self) -> &'static str {
        ["UDP", "TCP", "TLS"][self as usize]
    }

    /// Returns the port where none is named.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        [5060, 5060, 5061][self as usize]
    }
}
