//! One trunk: its configuration, where it is, how it is, and what we show to it.

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

/// How long it is still known by where it was: its calls may last.
const FORMER: Duration = Duration::from_secs(3600);
/// The most places where it was.
const PLACES: usize = 32;

pub(super) struct Peer {
    pub(super) id: TrunkId,
    pub(super) config: config::Trunk,
    /// Where it is: fixed, or what the resolver said last.
    pub(super) addresses: Vec<SocketAddr>,
    /// Where it was, and until when it is still known by that.
    former: BTreeMap<SocketAddr, Instant>,
    /// What the resolver said last, in ascending order.
    pub(super) told: Option<Vec<SocketAddr>>,
    /// Whether the resolver is being asked.
    pub(super) resolving: bool,
    pub(super) health: Health,
    /// What it asks us for.
    pub(super) authenticator: Option<Authenticator>,
    pub(super) registration: Registration,
    /// How often in a row registering failed.
    pub(super) refused: u32,
    /// Seconds that it wants a registration to last at least.
    pub(super) least: u32,
    /// Calls that run.
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
            told: None,
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

    /// Whether its address is one and not a name.
    pub(super) const fn is_fixed(&self) -> bool {
        self.fixed
    }

    /// It is somewhere else now.
    pub(super) fn is_at(&mut self, now: Instant, addresses: Vec<SocketAddr>) {
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

    /// How well an address is this trunk's: its very address and port, one of its networks or where it was, its address with another port; `None`: not.
    pub(super) fn knows(&self, source: SocketAddr) -> Option<u8> {
        if self.addresses.contains(&source) {
            return Some(2);
        }
        if self.former.contains_key(&source) || self.config.from.iter().any(|network| network.contains(source.ip())) {
            return Some(1);
        }
        self.addresses.iter().any(|known| known.ip() == source.ip()).then_some(0)
    }

    /// Whether it is only believed over TLS: it is spoken to over TLS itself, or its certificate tells who it is.
    pub(super) fn needs_tls(&self) -> bool {
        self.config.transport == Wire::Tls || !self.config.tls_name.is_empty()
    }
}
