//! What pages are connected to: the gateway's real proxy with a store beside it, or a pair of others ([`super::trunk`]).

use offhook_proxy::{Account, ConnId, Input, Output, Proxy, QueryId, Record};
use offhook_sip::{Algorithm, ha1};
use offhook_testing::switch::{DOMAIN, KEY, settings};
use offhook_ua::random::Random;
use offhook_ua::time::Instant;

use super::trunk::Trunk;

pub const PASSWORD: &str = "a password";

/// The number of a WebSocket.
pub type Wire = u64;

pub enum Server {
    Gateway(Box<Proxy>),
    Trunk(Box<Trunk>),
}

/// The outputs of a server.
pub enum Said {
    Send(Wire, String),
    Close(Wire, u16),
    /// From one proxy to the other, by UDP: which one gets it.
    Datagram(usize, String),
    Lookup(QueryId, String),
    Record(Record),
}

impl Server {
    pub fn gateway(seed: [u8; 32]) -> Self {
        Self::Gateway(Box::new(Proxy::new(settings(), seed)))
    }

    pub fn trunk(seed: [u8; 32]) -> Self {
        Self::Trunk(Box::new(Trunk::new(Random::new(seed))))
    }

    pub fn opened(&mut self, now: Instant, wire: Wire) {
        if let Self::Gateway(proxy) = self {
            proxy.handle(now, Input::Opened { conn: ConnId(wire), peer: [127, 0, 0, 1].into(), application: KEY.into() });
        }
    }

    /// `edge`: which of the two proxies the page is connected to.
    pub fn received(&mut self, now: Instant, wire: Wire, edge: usize, text: String) {
        match self {
            Self::Gateway(proxy) => proxy.handle(now, Input::Received { conn: ConnId(wire), text }),
            Self::Trunk(trunk) => trunk.received(now, wire, edge, &text),
        }
    }

    pub fn datagram(&mut self, now: Instant, edge: usize, text: &str) {
        if let Self::Trunk(trunk) = self {
            trunk.datagram(now, edge, text);
        }
    }

    pub fn closed(&mut self, now: Instant, wire: Wire, left: bool) {
        match self {
            Self::Gateway(proxy) => proxy.handle(now, Input::Closed { conn: ConnId(wire), left }),
            Self::Trunk(trunk) => trunk.closed(wire),
        }
    }

    pub fn account(&mut self, now: Instant, query: QueryId, account: Option<Account>) {
        if let Self::Gateway(proxy) = self {
            proxy.handle(now, Input::Account { query, account });
        }
    }

    pub fn timeout(&mut self, now: Instant) {
        match self {
            Self::Gateway(proxy) => proxy.handle(now, Input::Timeout),
            Self::Trunk(trunk) => trunk.timeout(now),
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Gateway(proxy) => proxy.deadline(),
            Self::Trunk(trunk) => trunk.deadline(),
        }
    }

    pub fn poll(&mut self) -> Option<Said> {
        match self {
            Self::Gateway(proxy) => loop {
                return Some(match proxy.poll()? {
                    Output::Send { conn, text } => Said::Send(conn.0, text),
                    Output::Close { conn, code, .. } => Said::Close(conn.0, code),
                    Output::Lookup { query, user, .. } => Said::Lookup(query, user),
                    Output::Record(record) => Said::Record(record),
                    Output::Seen { .. } | Output::ToB2bua { .. } => continue,
                });
            },
            Self::Trunk(trunk) => trunk.poll(),
        }
    }

    /// The state that it still has.
    pub fn footprint(&self) -> usize {
        match self {
            Self::Gateway(proxy) => proxy.calls() + proxy.devices() + proxy.footprint(),
            Self::Trunk(trunk) => trunk.footprint(),
        }
    }
}

/// What the store has of every user.
pub fn account(user: &str) -> Account {
    let hash = |algorithm| Some(ha1(algorithm, user, DOMAIN, PASSWORD));
    Account { ha1_sha256: hash(Algorithm::Sha256), ha1_md5: hash(Algorithm::Md5), ..Account::default() }
}
