//! A TCP connection that cannot be held half-open: a blocked write, or a WebSocket message that has begun and does not end, fails
//! after a while; and what was sent last arrives although the peer is still sending.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::limit::Place;

/// How long, and for how many octets, a closed connection reads from a peer that has not noticed yet.
const LINGER: (Duration, u64) = (Duration::from_secs(1), 1 << 20);

/// What reader and message layer share about one connection.
#[derive(Debug)]
pub struct Progress {
    start: Instant,
    /// When the current message began, in milliseconds after `start` plus one; 0: none, [`OFF`]: not watched.
    begun: AtomicU64,
}

const OFF: u64 = u64::MAX;

impl Progress {
    /// Not watched yet: requests have time-outs of their own.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), begun: AtomicU64::new(OFF) })
    }

    /// A message is complete, or the first one is expected: further octets belong to the next one.
    pub fn complete(&self) {
        self.begun.store(0, Ordering::Relaxed);
    }

    /// Octets were received.
    fn read(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(OFF - 2) + 1;
        // It may fail: the message has begun earlier, or is not watched.
        let _ = self.begun.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Returns when the current message must be complete.
    fn deadline(&self, timeout: Duration) -> Option<Instant> {
        match self.begun.load(Ordering::Relaxed) {
            0 | OFF => None,
            begun => Some(self.start + Duration::from_millis(begun - 1) + timeout),
        }
    }
}

/// The connection, which keeps its [`Place`] until the kernel has released it.
pub struct Socket {
    /// `None` only while it is dropped.
    open: Option<(TcpStream, Place)>,
    progress: Arc<Progress>,
    timeout: Duration,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
    /// The peer has sent its last octet.
    ended: bool,
}

impl Socket {
    /// Returns the connection; `timeout` is that of a blocked write and of a message.
    #[must_use]
    pub fn new(stream: TcpStream, place: Place, progress: Arc<Progress>, timeout: Duration) -> Self {
        Self { open: Some((stream, place)), progress, timeout, reading: None, writing: None, ended: false }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.open.as_mut().expect("a socket is open until it is dropped").0)
    }

    /// Returns `result`, unless it is pending for longer than the time-out.
    fn bound_write<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        let timeout = self.timeout;
        let sleep = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = self.stream().poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = result {
            self.ended |= buffer.filled().len() == before;
            self.progress.read();
        }
        let Some(deadline) = self.progress.deadline(self.timeout) else {
            self.reading = None;
            return result;
        };
        let sleep = self.reading.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        match sleep.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the message does not end"))),
            Poll::Pending => result,
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let result = self.stream().poll_write(context, data);
        self.bound_write(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream().poll_write_vectored(context, data);
        self.bound_write(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = self.stream().poll_flush(context);
        self.bound_write(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Outside of the runtime the process is ending anyway.
        if let (Some((stream, place)), Ok(runtime), false) = (self.open.take(), tokio::runtime::Handle::try_current(), self.ended) {
            place.close_with(|place| runtime.spawn(linger(stream, place)).abort_handle());
        }
    }
}

/// Shuts the connection down and reads on for a moment: closing with unread octets makes the kernel send a reset, which can overtake the
/// close frame or error answer that tells the peer why.
async fn linger(mut stream: TcpStream, place: Place) {
    drop(stream.shutdown().await);
    let mut rest = stream.take(LINGER.1);
    drop(tokio::time::timeout(LINGER.0, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await);
    drop(place);
}
