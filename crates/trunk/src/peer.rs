//! One trunk: its configuration, addresses, health, credentials and registration.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_ua::authentication::{Authenticator, Credentials};
use offhook_ua::random::Random;
use offhook_ua::registration::Registration;
use offhook_ua::time::Instant;

use super::health::Health;
use super::{TrunkId, Wire};
use crate::config;

/// How long it is still known by a former address: its calls may last.
const FORMER: Duration = Duration::from_secs(3600);
/// The most former addresses.
const PLACES: usize = 32;

pub(super) struct Peer {
    pub(super) id: TrunkId,
    pub(super) config: config::Trunk,
    /// Its addresses: fixed, or as last resolved.
    pub(super) addresses: Vec<SocketAddr>,
    /// Its former addresses, and until when it is known by them.
    former: BTreeMap<SocketAddr, Instant>,
    /// The last answer of the resolver, in ascending order.
    pub(super) resolved: Option<Vec<SocketAddr>>,
    /// Whether the resolver has been asked.
    pub(super) resolving: bool,
    pub(super) health: Health,
    /// Answers its challenges.
    pub(super) authenticator: Option<Authenticator>,
    pub(super) registration: Registration,
    /// How many registrations have failed in a row.
    pub(super) refused: u32,
    /// Its Min-Expires, s.
    pub(super) least: u32,
    /// How many calls run over it.
    pub(super) calls: u32,
    fixed: bool,
}

impl Peer {
    pub(super) fn new(config: config::Trunk, random: &mut Random) -> Self {
        let (host, port) = config.place();
        let port = port.unwrap_or(config.transport.default_port());
        let addresses: Vec<SocketAddr> = host.parse().map(|ip: IpAddr| SocketAddr::new(ip, port)).into_iter().collect();
        let password = Credentials::Password { user: config.username.clone(), password: config.password.clone() };
        Self {
            id: TrunkId(config.name.clone()),
            fixed: !addresses.is_empty(),
            addresses,
            former: BTreeMap::new(),
            resolved: None,
            resolving: false,
            health: Health::default(),
            authenticator: (!config.username.is_empty()).then(|| Authenticator::new(password)),
            registration: Registration::new(random.token(), random.token()),
            refused: 0,
            least: 0,
            calls: 0,
            config,
        }
    }

    /// Whether its address is an IP address and no name.
    pub(super) const fn is_fixed(&self) -> bool {
        self.fixed
    }

    /// Takes new addresses in.
    pub(super) fn moved_to(&mut self, now: Instant, addresses: Vec<SocketAddr>) {
        for left in std::mem::replace(&mut self.addresses, addresses) {
            if self.former.len() < PLACES {
                self.former.insert(left, now + FORMER);
            }
        }
        self.former.retain(|address, until| *until > now && !self.addresses.contains(address));
    }

    pub(super) const fn is_full(&self) -> bool {
        self.calls >= self.config.calls
    }

    /// Returns how well a source fits this trunk: 2 for its address and port, 1 for its networks and former addresses, 0 for its address with
    /// another port; `None`: not.
    pub(super) fn knows(&self, source: SocketAddr) -> Option<u8> {
        if self.addresses.contains(&source) {
            return Some(2);
        }
        if self.former.contains_key(&source) || self.config.from.iter().any(|network| network.contains(source.ip())) {
            return Some(1);
        }
        self.addresses.iter().any(|known| known.ip() == source.ip()).then_some(0)
    }

    /// Whether its messages count only over TLS: it is reached over TLS, or known by its certificate.
    pub(super) fn needs_tls(&self) -> bool {
        self.config.transport == Wire::Tls || !self.config.tls_name.is_empty()
    }
}
