//! One connection of a trunk, made or accepted, and served until one side closes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use offhook_trunk::{ConnectionId, Flow, Frame, Framer, Input, Wire};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::{Place, Shared};
use crate::tls;

/// Time-out of connecting, TLS included; shorter than a caller waits.
const CONNECT: Duration = Duration::from_secs(3);
/// Time-out of a blocked write, and of a message that was begun.
const SLOW: Duration = Duration::from_secs(10);
/// How long a peer may send nothing, at first and later.
const GREETING: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(1_800);

/// Connects and serves the connection. Reports that it is closed also where it was never established.
pub(super) async fn connect(
    shared: Arc<Shared>,
    connection: ConnectionId,
    peer: SocketAddr,
    wire: Wire,
    name: String,
    inbox: mpsc::Receiver<String>,
) {
    match timeout(CONNECT, dial(&shared, peer, wire, &name)).await {
        Ok(Ok(stream)) => {
            let names = Vec::new();
            shared.tell(Input::Opened { connection, peer, wire, names }).await;
            serve(&shared, connection, stream, inbox, IDLE).await;
        }
        Ok(Err(error)) => debug!(%peer, %error, "a SIP connection failed"),
        Err(_) => debug!(%peer, "time-out of a SIP connection"),
    }
    shared.outboxes().remove(&connection);
    shared.tell(Input::Closed { connection }).await;
}

/// Serves an accepted connection.
pub(super) async fn accepted(
    shared: Arc<Shared>,
    connection: ConnectionId,
    stream: TcpStream,
    peer: SocketAddr,
    wire: Wire,
    place: Place,
) {
    match timeout(CONNECT, greet(&shared, stream, wire)).await {
        Ok(Ok((stream, names))) => {
            let inbox = shared.outbox(connection);
            shared.tell(Input::Opened { connection, peer, wire, names }).await;
            serve(&shared, connection, stream, inbox, GREETING).await;
            shared.outboxes().remove(&connection);
            shared.tell(Input::Closed { connection }).await;
        }
        Ok(Err(error)) => debug!(%peer, %error, "a SIP connection failed"),
        Err(_) => shared.metrics.refused("slow handshake"),
    }
    drop(place);
}

/// A byte stream, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn dial(shared: &Shared, peer: SocketAddr, wire: Wire, name: &str) -> std::io::Result<Box<dyn Stream>> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if !shared.bind.is_unspecified() && shared.bind.is_ipv4() == peer.is_ipv4() {
        // Trunks identify the gateway by its address.
        socket.bind(SocketAddr::new(shared.bind, 0))?;
    }
    let stream = socket.connect(peer).await?;
    stream.set_nodelay(true)?;
    if wire != Wire::Tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
    Ok(Box::new(shared.connector.connect(name, stream).await?))
}

/// Adds TLS, where the port has it; returns the names that the peer's certificate proves.
async fn greet(shared: &Shared, stream: TcpStream, wire: Wire) -> std::io::Result<(Box<dyn Stream>, Vec<String>)> {
    stream.set_nodelay(true)?;
    match shared.acceptor.as_ref().filter(|_| wire == Wire::Tls) {
        None => Ok((Box::new(stream), Vec::new())),
        Some(acceptor) => {
            let stream = acceptor.accept(stream).await?;
            let names = tls::names(stream.get_ref().1.peer_certificates());
            Ok((Box::new(stream), names))
        }
    }
}

/// Reads and writes until the end. `first` is the time-out of the first message.
async fn serve(
    shared: &Shared,
    connection: ConnectionId,
    stream: Box<dyn Stream>,
    mut inbox: mpsc::Receiver<String>,
    first: Duration,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut reading = Reading { framer: Framer::default(), buffer: vec![0; 16_384], first: Some(Instant::now() + first) };
    loop {
        let alive = tokio::select! {
            read = reading.next(&mut reader) => match read {
                Some(frames) => take(shared, connection, frames, &mut writer).await,
                None => false,
            },
            text = inbox.recv() => match text {
                Some(text) => write(&mut writer, text.as_bytes()).await,
                None => false,
            },
        };
        if !alive {
            break;
        }
    }
    // Messages in the queue are written before the end.
    while let Ok(text) = inbox.try_recv() {
        if !write(&mut writer, text.as_bytes()).await {
            return;
        }
    }
    drop(timeout(SLOW, writer.shutdown()).await);
}

struct Reading {
    framer: Framer,
    buffer: Vec<u8>,
    /// Time-out of the first message; keep-alives do not count.
    first: Option<Instant>,
}

impl Reading {
    /// Returns the octets received; `None` at the end, for garbage, or after a time-out. May be cancelled at any time without loss.
    async fn next(&mut self, reader: &mut ReadHalf<Box<dyn Stream>>) -> Option<Vec<Frame>> {
        let usual = Instant::now() + if self.framer.is_within() { SLOW } else { IDLE };
        let end = self.first.map_or(usual, |first| first.min(usual));
        let length = timeout_at(end, reader.read(&mut self.buffer)).await.ok()?.ok().filter(|length| *length > 0)?;
        self.framer.push(&self.buffer[..length]);
        let mut frames = Vec::new();
        while let Some(frame) = self.framer.poll().ok()? {
            if matches!(frame, Frame::Message(_)) {
                self.first = None;
            }
            frames.push(frame);
        }
        Some(frames)
    }
}

/// Passes messages on, and answers keep-alives (RFC 5626, 4.4.1).
async fn take(shared: &Shared, connection: ConnectionId, frames: Vec<Frame>, writer: &mut WriteHalf<Box<dyn Stream>>) -> bool {
    for frame in frames {
        match frame {
            Frame::Message(bytes) => {
                shared.metrics.message_in();
                shared.tell(Input::Received { flow: Flow::Connection(connection), bytes }).await;
            }
            Frame::Ping if !write(writer, b"\r\n").await => return false,
            Frame::Ping => {}
        }
    }
    true
}

async fn write(writer: &mut WriteHalf<Box<dyn Stream>>, octets: &[u8]) -> bool {
    let all = async {
        writer.write_all(octets).await?;
        writer.flush().await
    };
    timeout(SLOW, all).await.is_ok_and(|written| written.is_ok())
}
