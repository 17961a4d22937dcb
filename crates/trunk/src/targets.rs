//! Where a request goes: to the trunk's addresses, in a dialog to the one that the trunk named, but never to any other host.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_sip::{Message, Name, NameAddr, StatusCode, Uri};
use tracing::{info, warn};

use super::outbound::JobId;
use super::{ConnectionId, Output, ResolveId, Timer, Trunks, Wire};

/// Time-out of the resolver.
const QUERY: Duration = Duration::from_secs(4);
/// The least and the most time between two look-ups of one trunk, s; and the time after a failure.
const TTL: (u32, u32) = (5, 3_600);
const AGAIN: Duration = Duration::from_secs(5);
/// The size of a request beyond which it may go over TCP (RFC 3261, 18.1.1), less what Via and credentials add.
const LARGE: usize = 1_300 - 200;

/// The next hop, and how it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hop {
    pub(super) trunk: usize,
    pub(super) wire: Wire,
    /// Where datagrams go, or where a connection can be opened when `connection` is gone.
    pub(super) address: SocketAddr,
    /// The connection; `None`: a datagram, or one that is still to be opened.
    pub(super) connection: Option<ConnectionId>,
    /// The number of the source of a request that may be forged.
    pub(super) source: Option<u64>,
}

impl Hop {
    /// Returns the hop to an address of a trunk, without a connection.
    pub(super) const fn to(trunk: usize, wire: Wire, address: SocketAddr) -> Self {
        Self { trunk, wire, address, connection: None, source: None }
    }
}

/// What the resolver is asked for.
pub(super) enum Query {
    /// The addresses of a trunk.
    Trunk(usize),
    /// The next hop of a request in a dialog.
    Hop(JobId, Wire),
}

/// The next hop of a request, as far as it is known.
pub(super) enum Next {
    /// The path of the dialog.
    Known(Hop),
    At(Wire, SocketAddr),
    Named(Wire, String, Option<u16>),
    /// Any address of the trunk.
    Trunk(Wire),
}

impl Trunks {
    /// Sends a request to its next hop, once the addresses are known. They stay the same for all its attempts.
    pub(super) fn route(&mut self, id: JobId, next: Next) {
        let Some(trunk) = self.jobs.get(&id).map(|job| job.trunk) else { return };
        match next {
            Next::Known(hop) => self.set_targets(id, vec![hop]),
            Next::At(wire, address) => self.set_targets(id, vec![Hop::to(trunk, wire, address)]),
            Next::Named(wire, host, port) => self.resolve(Query::Hop(id, wire), host, port, wire),
            Next::Trunk(wire) => self.target_trunk(id, wire),
        }
    }

    fn target_trunk(&mut self, id: JobId, wire: Wire) {
        let Some(trunk) = self.jobs.get(&id).map(|job| job.trunk) else { return };
        let peer = &self.peers[trunk];
        if peer.addresses.is_empty() {
            // It goes on with the answer of the resolver.
            if !peer.resolving {
                self.look_up(trunk);
            }
            return;
        }
        let mut addresses = peer.addresses.clone();
        peer.health.order(self.now, &mut addresses);
        let hops = addresses.into_iter().map(|address| Hop::to(trunk, wire, address));
        self.set_targets(id, hops.collect());
    }

    fn set_targets(&mut self, id: JobId, hops: Vec<Hop>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let large = job.text.len() > LARGE && self.peers[job.trunk].config.large_over_tcp;
        for hop in hops {
            if large && hop.wire == Wire::Udp {
                job.targets.push_back(Hop { wire: Wire::Tcp, ..hop });
            }
            // Without TCP a large request goes over UDP all the same, in fragments: most networks pass them, and the other choice is
            // no call.
            job.targets.push_back(hop);
        }
        self.attempt(id, false);
    }

    /// Returns the next hop (RFC 3261, 12.2.1.1): the topmost Route or the Request-URI, where that is an address of the trunk; else the trunk:
    /// nothing is sent to other hosts that a trunk names.
    pub(super) fn next_hop(&self, trunk: usize, message: &Message<'_>) -> Next {
        let peer = &self.peers[trunk];
        let wire = peer.config.transport;
        if message.to().ok().and_then(|to| to.tag()).is_none() {
            return Next::Trunk(wire);
        }
        if let Some(hop) = message.call_id().ok().and_then(|call_id| self.paths.of(trunk, call_id)) {
            return Next::Known(hop);
        }
        let route = message.all(Name::Route).next().and_then(|route| NameAddr::parse(route).ok()).map(|route| route.uri);
        let Some(uri) = route.or_else(|| Uri::parse(message.uri()?).ok()).filter(Uri::is_sip) else { return Next::Trunk(wire) };
        let wire = match uri.params.get("transport") {
            _ if wire == Wire::Tls => wire,
            Some(name) if name.eq_ignore_ascii_case("tcp") => Wire::Tcp,
            Some(name) if name.eq_ignore_ascii_case("udp") => Wire::Udp,
            _ => wire,
        };
        match uri.host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => {
                let address = SocketAddr::new(ip, uri.port.unwrap_or(wire.default_port()));
                if peer.knows(address).is_some() { Next::At(wire, address) } else { Next::Trunk(wire) }
            }
            Err(_) if uri.host.eq_ignore_ascii_case(peer.config.place().0) => Next::Trunk(wire),
            Err(_) => Next::Named(wire, uri.host.to_owned(), uri.port),
        }
    }

    /// Looks the addresses of a trunk up.
    pub(super) fn look_up(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        peer.resolving = true;
        let (host, port) = peer.config.place();
        let (host, wire) = (host.to_owned(), peer.config.transport);
        self.resolve(Query::Trunk(index), host, port, wire);
    }

    fn resolve(&mut self, what: Query, host: String, port: Option<u16>, wire: Wire) {
        let query = ResolveId(self.next());
        self.queries.insert(query, what);
        self.timers.set(Timer::Query(query), self.now + QUERY);
        self.push(Output::Resolve { query, host, port, wire });
    }

    /// Takes an answer of the resolver in; no address: it has none, or did not answer in time.
    pub(super) fn resolved(&mut self, query: ResolveId, addresses: &[(SocketAddr, u32)]) {
        self.timers.clear(&Timer::Query(query));
        match self.queries.remove(&query) {
            Some(Query::Trunk(index)) => self.trunk_resolved(index, addresses),
            Some(Query::Hop(id, wire)) => {
                let Some(trunk) = self.jobs.get(&id).filter(|job| job.awaits_address()).map(|job| job.trunk) else { return };
                let own = addresses.iter().map(|(address, _)| *address).filter(|a| self.peers[trunk].knows(*a).is_some());
                let hops: Vec<Hop> = own.map(|address| Hop::to(trunk, wire, address)).collect();
                if hops.is_empty() { self.target_trunk(id, wire) } else { self.set_targets(id, hops) }
            }
            None => {}
        }
    }

    /// Takes the addresses of a trunk in. Where the resolver fails, those from before stay: running calls and new ones go on.
    fn trunk_resolved(&mut self, index: usize, addresses: &[(SocketAddr, u32)]) {
        let peer = &mut self.peers[index];
        peer.resolving = false;
        let ttl = addresses.iter().map(|(_, ttl)| *ttl).min();
        let wait = ttl.map_or(AGAIN, |ttl| Duration::from_secs(ttl.clamp(TTL.0, TTL.1).into()));
        self.timers.set(Timer::Addresses(index), self.now + wait);
        let mut told: Vec<SocketAddr> = addresses.iter().map(|(address, _)| *address).collect();
        if !told.is_empty() {
            peer.moved_to(self.now, told.clone());
        }
        told.sort_unstable();
        if peer.resolved.as_ref() != Some(&told) {
            if told.is_empty() {
                warn!(trunk = peer.id.0, "the trunk's name cannot be looked up, or has no address");
            } else {
                info!(trunk = peer.id.0, addresses = ?told, "the trunk was looked up");
            }
            peer.resolved = Some(told);
        }
        let peer = &self.peers[index];
        let found = !peer.addresses.is_empty();
        let wire = peer.config.transport;
        let waiting = self.jobs.iter().filter(|(_, job)| job.trunk == index && job.awaits_address());
        for id in waiting.map(|(id, _)| *id).collect::<Vec<JobId>>() {
            if found { self.target_trunk(id, wire) } else { self.fail(id, StatusCode::SERVICE_UNAVAILABLE) }
        }
    }
}
