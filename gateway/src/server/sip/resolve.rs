//! The addresses of a SIP server: SRV, then A and AAAA (RFC 3263).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use offhook_trunk::{Wire, order};
use offhook_ua::random::Random;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::config::Trunks;
use crate::store;

/// Time-out of all queries for one name; shorter than that of the trunks.
const PATIENCE: Duration = Duration::from_millis(3_500);
/// Time-out of one DNS server, before another one, or the same again, is asked.
const ONE: Duration = Duration::from_secs(1);
/// The largest number of servers of one name.
const SERVERS: usize = 8;

/// A resolver, with the configured DNS servers or those of the system; it caches answers for their time to live.
pub(super) struct Resolver {
    dns: TokioResolver,
    random: Mutex<Random>,
}

/// One server of a name, and the time to live of the answer, s.
struct Server {
    priority: u16,
    weight: u16,
    host: String,
    port: u16,
    ttl: u32,
}

impl Resolver {
    pub(super) fn new(own: &Trunks) -> Result<Self, NetError> {
        let mut builder = if own.nameservers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = own.nameservers.iter().copied().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = ONE;
        // Only addresses that the socket can reach; one on every IPv6 address reaches IPv4, too.
        options.ip_strategy = match own.bind {
            IpAddr::V4(_) => LookupIpStrategy::Ipv4Only,
            IpAddr::V6(bind) if bind.is_unspecified() => LookupIpStrategy::Ipv4AndIpv6,
            IpAddr::V6(_) => LookupIpStrategy::Ipv6Only,
        };
        let seed = store::random(32).try_into().expect("32 octets were asked for");
        Ok(Self { dns: builder.build()?, random: Mutex::new(Random::new(seed)) })
    }

    /// Returns the addresses in the order in which they have to be tried, each with its time to live, s: those that were found in
    /// time.
    pub(super) async fn addresses(&self, host: &str, port: Option<u16>, wire: Wire) -> Vec<(SocketAddr, u32)> {
        let until = Instant::now() + PATIENCE;
        let mut servers = Vec::new();
        if port.is_none() {
            servers = timeout_at(until, self.servers(host, wire)).await.unwrap_or_default();
        }
        if servers.is_empty() {
            let port = port.unwrap_or(wire.default_port());
            servers.push(Server { priority: 0, weight: 0, host: host.to_owned(), port, ttl: u32::MAX });
        }
        // All at once, so that one silent DNS server does not delay the other names.
        let mut asked = JoinSet::new();
        for (place, server) in servers.into_iter().take(SERVERS).enumerate() {
            let dns = self.dns.clone();
            asked.spawn(async move { (place, look_up(&dns, &server).await) });
        }
        let mut found = BTreeMap::new();
        while let Ok(Some(answer)) = timeout_at(until, asked.join_next()).await {
            found.extend(answer);
        }
        let addresses = found.into_values().flatten().collect();
        debug!(host, ?addresses, "looked up");
        addresses
    }

    /// Returns the servers by SRV (RFC 3263, 4.2), in order.
    async fn servers(&self, host: &str, wire: Wire) -> Vec<Server> {
        let service = ["_sip._udp.", "_sip._tcp.", "_sips._tcp."][wire as usize];
        // The name is complete: the search list of the system is not used.
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

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server.connections.iter_mut().for_each(|connection| connection.port = address.port());
    server
}

/// Returns the addresses of one server.
async fn look_up(dns: &TokioResolver, server: &Server) -> Vec<(SocketAddr, u32)> {
    let Ok(found) = dns.lookup_ip(server.host.as_str()).await else { return Vec::new() };
    let address = |record: &hickory_resolver::proto::rr::Record| {
        let ip = match &record.data {
            RData::A(a) => IpAddr::V4(a.0),
            RData::AAAA(aaaa) => IpAddr::V6(aaaa.0),
            _ => return None,
        };
        Some((SocketAddr::new(ip, server.port), server.ttl.min(record.ttl)))
    };
    found.as_lookup().answers().iter().filter_map(address).collect()
}
