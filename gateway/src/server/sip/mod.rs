//! The sockets of trunks (UDP, TCP and TLS), DNS look-ups, and limits of received messages. No rule of SIP is here except the
//! framing of streams.
//!
//! ```text
//!   UDP ──────────── allowance of the address ──┐
//!   TCP, TLS ── place ── framing ───────────────┴─▶ Inputs ──▶ driver ── Trunks ── Output ──▶ Edge::perform ──▶ sockets, resolver
//! ```

mod connection;
mod resolve;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offhook_access::bucket::Bucket;
use offhook_trunk::{ConnectionId, Flow, Input, Output, Record, Wire};
use rustls::RootCertStore;
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::{debug, info, warn};

use self::resolve::Resolver;
use super::clock::Clock;
use super::listen;
use crate::config::{Config, Trunks};
use crate::metrics::Metrics;
use crate::tls::{self, Certificate, TlsError};

/// The length of the queue to the driver. Where it is full, datagrams are dropped, which SIP tolerates, and connections are not
/// read.
const QUEUE: usize = 1_024;
/// The length of the queue to a connection that does not read; one more message ends it.
const OUTBOX: usize = 256;
/// Datagrams in a second from one address (IPv6: from one /64): enough for a busy provider, and a limit for untrusted sources.
const PER_SECOND: u32 = 20_000;
/// The largest number of addresses that are counted at once.
const ADDRESSES: usize = 4_096;
/// The largest numbers of accepted connections: altogether, and from one address.
const CONNECTIONS: usize = 512;
const CONNECTIONS_PER_ADDRESS: usize = 32;

/// Why there are no sockets for trunks.
#[derive(Debug, Error)]
pub enum SipError {
    /// The address is in use or not local.
    #[error("cannot listen for SIP on {0}: {1}; see `trunks.bind`, `udp`, `tcp` and `tls`")]
    Bind(SocketAddr, std::io::Error),
    /// `trunks.authorities` cannot be read or used.
    #[error("`trunks.authorities`: {0}")]
    Tls(TlsError),
    /// There are no certificate authorities.
    #[error("the system has no authorities to check certificates by: set `trunks.authorities`")]
    NoAuthorities,
    /// The resolver cannot be created.
    #[error("there is no name server to ask: {0}; see `trunks.nameservers`")]
    Resolver(hickory_resolver::net::NetError),
}

/// The inputs for trunks, in order.
pub type Inputs = mpsc::Receiver<Input>;

/// The sockets. [`Edge::perform`] executes the outputs of the trunks; [`Inputs`] has the inputs.
pub struct Edge {
    shared: Arc<Shared>,
    udp: Option<Arc<UdpSocket>>,
}

/// The state that all connections share.
struct Shared {
    inputs: mpsc::Sender<Input>,
    /// The queues to the connections; removing one closes its connection.
    outboxes: Mutex<BTreeMap<ConnectionId, mpsc::Sender<String>>>,
    /// The last odd number, which accepted connections get.
    last: AtomicU64,
    taken: Mutex<BTreeMap<IpAddr, usize>>,
    all: AtomicUsize,
    bind: IpAddr,
    acceptor: Option<TlsAcceptor>,
    connector: TlsConnector,
    resolver: Resolver,
    metrics: Arc<Metrics>,
}

impl Shared {
    fn outboxes(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, mpsc::Sender<String>>> {
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the queue to a new connection.
    fn outbox(&self, connection: ConnectionId) -> mpsc::Receiver<String> {
        let (sender, inbox) = mpsc::channel(OUTBOX);
        self.outboxes().insert(connection, sender);
        inbox
    }

    async fn tell(&self, input: Input) {
        // An error means that the driver has ended, and everything with it.
        drop(self.inputs.send(input).await);
    }
}

impl Edge {
    /// Opens the configured sockets. To be called in a runtime.
    ///
    /// # Errors
    /// Where a socket cannot be opened, or there are no certificate authorities for TLS.
    pub async fn open(
        config: &Config,
        certificate: Option<&Arc<Certificate>>,
        metrics: Arc<Metrics>,
        clock: Arc<Clock>,
    ) -> Result<(Self, Inputs), SipError> {
        let own = &config.trunks;
        let authorities = Arc::new(tls::authorities(&own.authorities).map_err(SipError::Tls)?);
        let acceptor = certificate.filter(|_| own.tls > 0).map(|own| acceptor(own, &authorities)).transpose()?;
        let (inputs, receiver) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            inputs,
            outboxes: Mutex::default(),
            last: AtomicU64::new(1),
            taken: Mutex::default(),
            all: AtomicUsize::new(0),
            bind: own.bind,
            acceptor,
            connector: TlsConnector::from(tls::client(&authorities, certificate)),
            resolver: Resolver::new(own).map_err(SipError::Resolver)?,
            metrics,
        });
        let udp = open_udp(own, &shared, clock).await?;
        for (port, wire) in [(own.tcp, Wire::Tcp), (own.tls, Wire::Tls)] {
            if port > 0 && (wire == Wire::Tcp || shared.acceptor.is_some()) {
                let address = SocketAddr::new(own.bind, port);
                let listener = listen::bind(address).map_err(|error| SipError::Bind(address, error))?;
                tokio::spawn(accept(Arc::clone(&shared), listener, wire));
            }
        }
        info!(address = %own.bind, udp = own.udp, tcp = own.tcp, tls = own.tls, "ready for SIP");
        Ok((Self { shared, udp }, receiver))
    }

    /// Does what the trunks say; never waits. Events are for the B2BUA and not for here.
    pub fn perform(&self, output: Output) {
        match output {
            Output::Send { flow: Flow::Udp(address), text } => self.send(address, &text),
            Output::Send { flow: Flow::Connection(connection), text } => {
                self.shared.metrics.message_out();
                let mut outboxes = self.shared.outboxes();
                if outboxes.get(&connection).is_some_and(|outbox| outbox.try_send(text).is_err()) {
                    warn!(connection = connection.0, "a SIP connection was closed: its peer does not read");
                    outboxes.remove(&connection);
                }
            }
            Output::Connect { connection, peer, wire, name } => {
                let inbox = self.shared.outbox(connection);
                tokio::spawn(connection::connect(Arc::clone(&self.shared), connection, peer, wire, name, inbox));
            }
            Output::Disconnect { connection } => drop(self.shared.outboxes().remove(&connection)),
            Output::Resolve { query, host, port, wire } => {
                let shared = Arc::clone(&self.shared);
                tokio::spawn(async move {
                    let addresses = shared.resolver.addresses(&host, port, wire).await;
                    shared.tell(Input::Resolved { query, addresses }).await;
                });
            }
            Output::Record(Record::Untrusted { .. }) => self.shared.metrics.refused("untrusted"),
            Output::Event(_) => {}
        }
    }

    fn send(&self, address: SocketAddr, text: &str) {
        self.shared.metrics.message_out();
        let address = match address.ip() {
            IpAddr::V4(ip) if self.shared.bind.is_ipv6() => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
            _ => address,
        };
        // A message that cannot be sent is lost like any datagram, and will be retransmitted.
        if let Some(Err(error)) = self.udp.as_ref().map(|udp| udp.try_send_to(text.as_bytes(), address)) {
            debug!(%address, %error, "cannot send a datagram");
        }
    }
}

fn acceptor(certificate: &Arc<Certificate>, authorities: &Arc<RootCertStore>) -> Result<TlsAcceptor, SipError> {
    certificate.sip_server(authorities).map(TlsAcceptor::from).map_err(|_| SipError::NoAuthorities)
}

async fn open_udp(own: &Trunks, shared: &Arc<Shared>, clock: Arc<Clock>) -> Result<Option<Arc<UdpSocket>>, SipError> {
    if own.udp == 0 {
        return Ok(None);
    }
    let address = SocketAddr::new(own.bind, own.udp);
    let socket = Arc::new(UdpSocket::bind(address).await.map_err(|error| SipError::Bind(address, error))?);
    tokio::spawn(read_datagrams(Arc::clone(shared), Arc::clone(&socket), clock));
    Ok(Some(socket))
}

/// Passes datagrams on, within the limit of each address.
async fn read_datagrams(shared: Arc<Shared>, socket: Arc<UdpSocket>, clock: Arc<Clock>) {
    let mut buffer = vec![0; 65_536];
    let mut allowances: BTreeMap<IpAddr, Bucket> = BTreeMap::new();
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(read) => read,
            Err(error) => {
                // Mostly an ICMP error about an earlier datagram.
                debug!(%error, "cannot read a datagram");
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        let from = canonical(from);
        shared.metrics.message_in();
        let now = clock.now();
        if allowances.len() >= ADDRESSES {
            // With so many addresses, most are forged: none of them is worth storing.
            allowances.clear();
        }
        let allowance =
            allowances.entry(offhook_access::network::customer(from.ip())).or_insert_with(|| Bucket::new(now, PER_SECOND));
        let bytes = buffer[..length].to_vec();
        let passed =
            allowance.take(now, PER_SECOND) && shared.inputs.try_send(Input::Received { flow: Flow::Udp(from), bytes }).is_ok();
        if !passed {
            shared.metrics.refused("too many datagrams");
        }
    }
}

/// Returns an IPv4 address as such, also where the socket is for IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Accepts connections, within the limits.
async fn accept(shared: Arc<Shared>, listener: TcpListener, wire: Wire) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match Place::take(&shared, peer.ip()) {
                Some(place) => {
                    let connection = ConnectionId(shared.last.fetch_add(2, Ordering::Relaxed));
                    tokio::spawn(connection::accepted(Arc::clone(&shared), connection, stream, canonical(peer), wire, place));
                }
                None => shared.metrics.refused("too many SIP connections"),
            },
            Err(error) => {
                warn!(%error, "cannot accept a SIP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The place of one accepted connection; freed when dropped.
struct Place {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl Place {
    fn take(shared: &Arc<Shared>, address: IpAddr) -> Option<Self> {
        let address = offhook_access::network::customer(address);
        let mut taken = shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= CONNECTIONS_PER_ADDRESS || shared.all.load(Ordering::Relaxed) >= CONNECTIONS {
            return None;
        }
        *count += 1;
        shared.all.fetch_add(1, Ordering::Relaxed);
        Some(Self { shared: Arc::clone(shared), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
        self.shared.all.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
