//! Accepting connections: a place, TLS, then HTTP, each with its deadline.

use std::net::SocketAddr;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::limit::{Place, Places};
use super::socket::{Progress, Socket};
use super::{Peer, Phase, Shared};
use crate::tls::Certificate;

/// Octets of a request line and its headers, and how many headers.
const HEAD: (usize, usize) = (16 * 1024, 64);

/// Everything that a new connection meets.
#[derive(Clone)]
pub struct Front {
    router: Router,
    tls: Option<TlsAcceptor>,
    places: Arc<Places>,
    shared: Arc<Shared>,
    handshake: Duration,
    message: Duration,
}

impl Front {
    /// With a certificate: TLS and nothing else.
    pub fn new(shared: &Arc<Shared>, router: Router, certificate: Option<Arc<Certificate>>, places: Arc<Places>) -> Self {
        Self {
            router,
            tls: certificate.map(|certificate| TlsAcceptor::from(certificate.server())),
            places,
            shared: Arc::clone(shared),
            handshake: Duration::from_millis(shared.config.limits.handshake_timeout),
            message: Duration::from_millis(shared.config.limits.message_timeout),
        }
    }

    /// Accepts until aborted.
    pub async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match self.places.take(peer.ip()) {
                    Ok(place) => drop(tokio::spawn(self.clone().serve(stream, peer, place))),
                    Err(reason) => {
                        // No answer: whoever has this many connections does not wait for one.
                        debug!(reason, "refused");
                        self.shared.metrics.refused(reason);
                    }
                },
                // Mostly "too many open files": trying again at once would only burn the processor.
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr, place: Place) {
        // Signalling is small messages that must leave at once.
        drop(stream.set_nodelay(true));
        let progress = Progress::new();
        let socket = Socket::new(stream, place, Arc::clone(&progress), self.message);
        let peer = Peer { address: peer.ip().to_canonical(), progress };
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
        let router = self.router;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
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
