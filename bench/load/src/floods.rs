//! Floods of untrusted clients, in a process of their own: raw octets over many connections. Bounded in count and time, and only at an address
//! of this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::crowd::address;
use crate::phone::{DOMAIN, connect};

/// What the untrusted clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Nothing: what the users have when nobody disturbs them.
    Calm,
    /// REGISTER without credentials.
    Register,
    /// INVITE without credentials.
    Invite,
    /// REGISTER with made-up credentials.
    Guess,
    /// TCP connections on which nothing is said.
    HalfOpen,
    /// REGISTER, and no answer is ever read.
    SlowReaders,
    /// The head of a request, one octet a second.
    SlowHeads,
    /// A WebSocket message, one octet a second.
    SlowWriters,
    /// Messages of 64 KiB that are no SIP.
    BigFrames,
    /// A message without end in fragments of one octet.
    Fragments,
    /// WebSocket pings.
    Pings,
    /// Keep-alives: CR LF CR LF.
    LineEnds,
}

/// Every kind, with what the table calls it.
pub const KINDS: [(Kind, &str); 12] = [
    (Kind::Calm, "no flood"),
    (Kind::Register, "REGISTER"),
    (Kind::Invite, "INVITE"),
    (Kind::Guess, "made-up credentials"),
    (Kind::HalfOpen, "half-open sockets"),
    (Kind::SlowReaders, "slow readers"),
    (Kind::SlowHeads, "slow heads"),
    (Kind::SlowWriters, "slow writers"),
    (Kind::BigFrames, "big frames"),
    (Kind::Fragments, "fragments of 1 octet"),
    (Kind::Pings, "pings"),
    (Kind::LineEnds, "CRLF keep-alives"),
];

/// What became of a flood.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Flood {
    /// Messages or frames sent, or octets by slow writers.
    pub sent: usize,
    /// Connections made.
    pub connections: usize,
    /// Connections that could not be made, or were closed by the server.
    pub closed: usize,
}

/// The shape of a flood: how many connections, and how many messages a second on each.
#[derive(Clone, Copy)]
struct Shape {
    connections: usize,
    per_second: usize,
}

#[derive(Default)]
struct Counts {
    sent: AtomicUsize,
    connections: AtomicUsize,
    closed: AtomicUsize,
}

/// Floods `server` for `long`; no more than `most` connections at a time.
pub async fn flood(kind: Kind, server: SocketAddr, path: &str, long: Duration, most: usize) -> Flood {
    let shape = shape(kind, most);
    let (counts, end) = (Arc::new(Counts::default()), Instant::now() + long);
    let handshake: Arc<str> = format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
    )
    .into();
    let mut clients = JoinSet::new();
    for number in 0..shape.connections {
        let client = Client {
            kind,
            server,
            source: address(66, number / 100),
            handshake: Arc::clone(&handshake),
            counts: Arc::clone(&counts),
            number,
            per_second: shape.per_second,
        };
        clients.spawn(async move { drop(timeout(end - Instant::now(), client.live()).await) });
    }
    while clients.join_next().await.is_some() {}
    tokio::time::sleep_until(end).await;
    let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    Flood { sent: read(&counts.sent), connections: read(&counts.connections), closed: read(&counts.closed) }
}

/// 10,000 messages a second in all; of the slow ones as many connections as there may be.
fn shape(kind: Kind, most: usize) -> Shape {
    let shape = |connections: usize, per_second| Shape { connections: connections.min(most), per_second };
    match kind {
        Kind::Calm => shape(0, 1),
        Kind::HalfOpen | Kind::SlowHeads | Kind::SlowWriters => shape(10_000, 1),
        Kind::SlowReaders => shape(1_000, 10),
        Kind::BigFrames => shape(50, 20),
        Kind::Guess | Kind::Fragments | Kind::Pings | Kind::LineEnds => shape(100, 100),
        Kind::Register | Kind::Invite => shape(250, 40),
    }
}

struct Client {
    kind: Kind,
    server: SocketAddr,
    source: Ipv4Addr,
    handshake: Arc<str>,
    counts: Arc<Counts>,
    number: usize,
    per_second: usize,
}

impl Client {
    /// Connects, and does so again whenever a connection ends.
    async fn live(self) {
        // Not all in the same moment: ten thousand connects in one would fill the kernel's own queue.
        sleep(Duration::from_micros(self.number as u64 * 200)).await;
        loop {
            if self.once().await.is_err() {
                self.counts.closed.fetch_add(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn once(&self) -> std::io::Result<()> {
        let mut stream = connect(self.server, self.source).await?;
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        match self.kind {
            Kind::HalfOpen => return gone(&mut stream).await,
            Kind::SlowHeads => return self.trickle(stream, self.handshake.as_bytes()).await,
            _ => {}
        }
        stream.write_all(self.handshake.as_bytes()).await?;
        let mut head = [0; 1024];
        if stream.read(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        match self.kind {
            Kind::SlowWriters => self.trickle(stream, &frame(0x81, &self.message(0))).await,
            Kind::SlowReaders => self.pour(&mut stream).await,
            _ => {
                let (mut reading, mut writing) = stream.into_split();
                let counts = Arc::clone(&self.counts);
                let drain = tokio::spawn(async move {
                    let mut rest = [0; 4096];
                    while reading.read(&mut rest).await.is_ok_and(|length| length > 0) {}
                    counts.closed.fetch_add(1, Ordering::Relaxed);
                });
                let result = self.pour(&mut writing).await;
                drain.abort();
                result
            }
        }
    }

    /// Message after message at the agreed rate.
    async fn pour(&self, stream: &mut (impl AsyncWriteExt + Unpin)) -> std::io::Result<()> {
        let (pause, burst) = if self.per_second > 50 { (100, self.per_second / 10) } else { (1_000 / self.per_second as u64, 1) };
        for turn in 0.. {
            for n in 0..burst {
                stream.write_all(&self.frame(turn * burst + n)).await?;
                self.counts.sent.fetch_add(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(pause)).await;
        }
        Ok(())
    }

    /// One octet a second.
    async fn trickle(&self, mut stream: TcpStream, octets: &[u8]) -> std::io::Result<()> {
        for octet in octets {
            stream.write_all(&[*octet]).await?;
            self.counts.sent.fetch_add(1, Ordering::Relaxed);
            timeout(Duration::from_secs(1), gone(&mut stream)).await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    fn frame(&self, turn: usize) -> Vec<u8> {
        match self.kind {
            Kind::BigFrames => frame(0x81, &"x".repeat(65_536)),
            Kind::Fragments if turn == 0 => frame(0x01, "x"),
            Kind::Fragments => frame(0x00, "x"),
            Kind::Pings => frame(0x89, "ping"),
            Kind::LineEnds => frame(0x81, "\r\n\r\n"),
            _ => frame(0x81, &self.message(turn)),
        }
    }

    fn message(&self, turn: usize) -> String {
        let (method, credentials) = match self.kind {
            Kind::Invite => ("INVITE", String::new()),
            Kind::Guess => (
                "REGISTER",
                format!(
                    "Authorization: Digest username=\"user1\", realm=\"{DOMAIN}\", nonce=\"AAAA\", uri=\"sip:{DOMAIN}\", algorithm=SHA-256, \
                 response=\"{turn:064x}\", qop=auth, nc=00000001, cnonce=\"x\"\r\n"
                ),
            ),
            _ => ("REGISTER", String::new()),
        };
        let (id, uri) = (
            format!("s{}t{turn}", self.number),
            if method == "INVITE" { format!("sip:user1@{DOMAIN}") } else { format!("sip:{DOMAIN}") },
        );
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
             From: <sip:user1@{DOMAIN}>;tag={id}\r\nTo: <sip:user1@{DOMAIN}>\r\nCall-ID: {id}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:user1@x.invalid;transport=ws>\r\n{credentials}Content-Length: 0\r\n\r\n"
        )
    }
}

/// Waits until the server closes.
async fn gone(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut rest = [0; 256];
    while stream.read(&mut rest).await? > 0 {}
    Err(std::io::ErrorKind::ConnectionReset.into())
}

/// A masked WebSocket frame; the mask is zero, so the octets stay as they are.
fn frame(first: u8, payload: &str) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload.as_bytes());
    frame
}
