//! Where a SIP server is: SRV, then A and AAAA (RFC 3263).

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;
use offhook::random::Random;
use tokio::time::timeout;
use tracing::debug;

use crate::store;
use crate::trunk::{Wire, order};

/// How long all questions for one name may take; less than the trunks wait.
const PATIENCE: Duration = Duration::from_millis(3_500);
/// The most servers of one name.
const SERVERS: usize = 8;

/// Asks the resolver of the system, and keeps what it says for as long as it holds.
pub(super) struct Resolver {
    dns: TokioResolver,
    /// Whether only addresses of this family can be reached from ours.
    family: Option<bool>,
    random: Mutex<Random>,
}

/// One server of a name, and for how many seconds that holds.
struct Server {
    priority: u16,
    weight: u16,
    host: String,
    port: u16,
    ttl: u32,
}

impl Resolver {
    pub(super) fn new(bind: IpAddr) -> Result<Self, NetError> {
        let dns = TokioResolver::builder_tokio()?.build()?;
        let seed = store::random(32).try_into().expect("32 octets were asked for");
        // A socket on every IPv6 address reaches IPv4, too.
        let family = if bind.is_ipv6() && bind.is_unspecified() { None } else { Some(bind.is_ipv4()) };
        Ok(Self { dns, family, random: Mutex::new(Random::new(seed)) })
    }

    /// Addresses in the order in which they are to be tried, each with the seconds that it holds; none where nothing is known in time.
    pub(super) async fn addresses(&self, host: &str, port: Option<u16>, wire: Wire) -> Vec<(SocketAddr, u32)> {
        let found = timeout(PATIENCE, self.look_up(host, port, wire)).await.unwrap_or_default();
        debug!(host, ?found, "looked up");
        found
    }

    async fn look_up(&self, host: &str, port: Option<u16>, wire: Wire) -> Vec<(SocketAddr, u32)> {
        let mut servers = if port.is_none() { self.servers(host, wire).await } else { Vec::new() };
        if servers.is_empty() {
            let port = port.unwrap_or(wire.default_port());
            servers.push(Server { priority: 0, weight: 0, host: host.to_owned(), port, ttl: u32::MAX });
        }
        let mut addresses = Vec::new();
        for server in servers.into_iter().take(SERVERS) {
            let Ok(found) = self.dns.lookup_ip(server.host.as_str()).await else { continue };
            let records = found.as_lookup().answers().iter();
            for record in records {
                let ip = match &record.data {
                    RData::A(a) => IpAddr::V4(a.0),
                    RData::AAAA(aaaa) => IpAddr::V6(aaaa.0),
                    _ => continue,
                };
                if self.family.is_none_or(|v4| ip.is_ipv4() == v4) {
                    addresses.push((SocketAddr::new(ip, server.port), server.ttl.min(record.ttl)));
                }
            }
        }
        addresses
    }

    /// What SRV says (RFC 3263, 4.2), in order.
    async fn servers(&self, host: &str, wire: Wire) -> Vec<Server> {
        let service = ["_sip._udp.", "_sip._tcp.", "_sips._tcp."][wire as usize];
        // The name is whole: the search list of the system is not for it.
        let name = format!("{service}{}.", host.trim_end_matches('.'));
        let Ok(found) = self.dns.srv_lookup(name).await else { return Vec::new() };
        let server = |record: &hickory_resolver::proto::rr::Record| match &record.data {
            RData::SRV(srv) => Some(Server {
                priority: srv.priority,
                weight: srv.weight,
                host: srv.target.to_ascii(),
                port: srv.port,
                ttl: record.ttl,
            }),
            _ => None,
        };
        let servers = found.answers().iter().filter_map(server).collect();
        let mut random = self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        order(servers, |server| server.priority, |server| u64::from(server.weight), &mut random)
    }
}
