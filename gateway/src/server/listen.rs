//! Accepting connections: place, TLS, then HTTP, each with its time-out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::limit::Place;
use super::origin::forwarded_for;
use super::socket::{Progress, Socket};
use super::{Peer, Phase, Shared};
use crate::tls::Certificate;

/// The largest size of a request line with its headers, octets, and the largest number of headers.
const HEAD: (usize, usize) = (16 * 1024, 64);

/// Connections that may wait to be accepted. Where the queue is full a new one is seen only when it retries, a second later.
const BACKLOG: u32 = 4096;

/// Returns a listening socket.
///
/// # Errors
/// Where the address is not local, or in use.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The settings for new connections.
#[derive(Clone)]
pub struct Front {
    router: Router,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    /// Whether the port is for this machine alone.
    private: bool,
    handshake: Duration,
    message: Duration,
}

impl Front {
    /// Returns the settings with a certificate: TLS only.
    pub fn new(shared: &Arc<Shared>, router: Router, certificate: Option<Arc<Certificate>>, private: bool) -> Self {
        Self {
            router,
            tls: certificate.map(|certificate| TlsAcceptor::from(certificate.server())),
            shared: Arc::clone(shared),
            private,
            handshake: Duration::from_millis(shared.config.limits.handshake_timeout),
            message: Duration::from_millis(shared.config.limits.message_timeout),
        }
    }

    /// Returns the settings for this machine alone, without TLS.
    pub fn for_this_machine(&self) -> Self {
        Self { tls: None, private: true, ..self.clone() }
    }

    /// Accepts connections until aborted.
    pub async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match self.place(peer.ip()) {
                    Ok(place) => {
                        let id = place.id();
                        let task = tokio::spawn(self.clone().greet(stream, peer, place));
                        self.shared.places.served_by(id, task.abort_handle());
                    }
                    Err(reason) => {
                        // No response: a client with this many connections does not need one.
                        debug!(reason, "refused");
                        self.shared.metrics.refused(reason);
                    }
                },
                // Mostly "too many open files": an immediate retry would only use CPU time.
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn place(&self, peer: IpAddr) -> Result<Place, &'static str> {
        if self.shared.is_proxy(peer) { self.shared.places.take_unnamed() } else { self.shared.places.take(peer) }
    }

    /// Waits for the first octet. A client that sends nothing takes up a socket and no more: to serve one takes ten times as much.
    async fn greet(self, stream: TcpStream, peer: SocketAddr, place: Place) {
        match tokio::time::timeout(self.handshake, stream.peek(&mut [0])).await {
            Ok(Ok(0)) => {}
            Ok(Ok(_)) => Box::pin(self.serve(stream, peer, place)).await,
            Ok(Err(error)) => debug!(%error, "connection failed"),
            Err(_) => self.shared.metrics.refused("silence"),
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr, place: Place) {
        // Signalling is small messages that must be sent at once.
        drop(stream.set_nodelay(true));
        let (progress, place_id) = (Progress::new(), place.id());
        let socket = Socket::new(stream, place, Arc::clone(&progress), self.message);
        let address = peer.ip().to_canonical();
        let peer = Peer { address, proxied: self.shared.is_proxy(address), private: self.private, place: place_id, progress };
        let Some(tls) = self.tls.clone() else { return self.http(socket, peer).await };
        match tokio::time::timeout(self.handshake, tls.accept(socket)).await {
            Ok(Ok(stream)) => self.http(stream, peer).await,
            Ok(Err(error)) => {
                debug!(%error, "TLS handshake failed");
                self.shared.metrics.refused("TLS handshake");
            }
            Err(_) => self.shared.metrics.refused("slow handshake"),
        }
    }

    async fn http(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let mut phase = self.shared.phase.clone();
        let (router, shared) = (self.router, Arc::clone(&self.shared));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let mut peer = peer.clone();
            shared.places.stays(peer.place);
            if peer.proxied {
                peer.address = forwarded_for(peer.address, request.headers(), |address| shared.is_proxy(address));
            }
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.handshake)
            .max_buf_size(HEAD.0)
            .max_headers(HEAD.1)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        tokio::select! {
            result = connection => if let Err(error) = result {
                if error.is_timeout() {
                    self.shared.metrics.refused("slow head");
                }
                debug!(%error, "connection failed");
            },
            () = stopped(&mut phase) => {}
        }
    }
}

async fn stopped(phase: &mut watch::Receiver<Phase>) {
    drop(phase.wait_for(|phase| *phase == Phase::Stopped).await.map(drop));
}
