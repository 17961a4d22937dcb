//! SIP over WebSocket (RFC 7118): the checks before the upgrade, and the task that serves a connection.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, RawQuery, State};
use axum::http::header::{CONNECTION, ORIGIN, REFERER, UPGRADE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use offhook_access::bucket::Bucket;
use offhook_proxy::ConnId;
use offhook_sip::ApiCode;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;
use url::Url;

use super::api::ApiError;
use super::driver::{Inbox, Outgoing, outbox};
use super::limit::{Place, Places};
use super::origin::is_allowed;
use super::{Peer, Shared};

/// The sub-protocol of RFC 7118.
const PROTOCOL: &str = "sip";

/// The largest number of pings and pongs in a minute, also at once; more count as an attack.
const CONTROL_FRAMES: (u32, u32) = (300, 60);

/// Time-out of the answer to a close frame.
const GOODBYE: Duration = Duration::from_secs(1);

/// Handles `GET /sip?key=APPLICATION`: all checks precede the upgrade, so that a rejection is an HTTP status. Browsers show that to no script; a
/// page that could open no WebSocket asks again without upgrade, and reads the same rejection, or 426. Only requests for a WebSocket are counted.
pub async fn open(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let admitted = admit(&shared, &peer, query.as_deref(), &headers, upgrade.is_err());
    let (upgrade, (application, share)) = match (upgrade, admitted) {
        (Ok(upgrade), Ok(admitted)) => (upgrade.protocols([PROTOCOL]), admitted),
        (Ok(_), Err(error)) => return shared.refuse(error.reason, error).public().into_response(),
        (Err(_), Err(error)) => return error.public().into_response(),
        (Err(_), Ok(_)) => return upgrade_required(),
    };
    if upgrade.selected_protocol().is_none() {
        shared.metrics.refused("sub-protocol");
        return ApiError::new(ApiCode::Malformed, "The WebSocket sub-protocol must be sip (RFC 7118)").into_response();
    }
    let limit = shared.config.limits.message_bytes;
    upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        // The default buffers are 128 KiB for each idle user; a message has 1 to 4 KiB.
        .read_buffer_size(4_096)
        .write_buffer_size(0)
        .max_write_buffer_size(limit * 2)
        .on_upgrade(move |socket| async move {
            serve(shared, peer, application, socket).await;
            drop(share);
        })
}

/// The answer to a request that does not ask for a WebSocket (RFC 9110, 15.5.22).
fn upgrade_required() -> Response {
    let mut response =
        ApiError::new(ApiCode::UpgradeRequired, "This is the address of a WebSocket (RFC 7118)").public().into_response();
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

/// Returns the key of the application that the page may use, and its part of the connections of its address; or the rejection. `asks`: it only
/// asks whether it may, and gets nothing.
fn admit(
    shared: &Shared,
    peer: &Peer,
    query: Option<&str>,
    headers: &HeaderMap,
    asks: bool,
) -> Result<(String, Option<Place>), ApiError> {
    if shared.draining() {
        return Err(ApiError::new(ApiCode::Unavailable, "The gateway is being stopped").because("draining"));
    }
    let local = peer.is_local(headers);
    let application = shared.may_name(query, local)?;
    let missing = local || (shared.config.data.allow_missing_origin && !application.loopback_only);
    // Browsers name the origin of a page in every request for a WebSocket, but where it asks its own host, only with the address of the page.
    let named = if asks && !headers.contains_key(ORIGIN) { referring(headers) } else { headers.clone() };
    if !is_allowed(application, &named, missing || asks) {
        return Err(
            ApiError::new(ApiCode::Forbidden, "The origin of this page is not allowed for the application").because("origin")
        );
    }
    let share = peer.proxied.then(|| shared.places.share(peer.address)).transpose();
    let share = share.map_err(|reason| ApiError::new(ApiCode::TooMany, "Too many connections").because(reason))?;
    Ok((application.key.clone(), share))
}

/// Returns the origin of the page whose address is in `Referer` as a page of another origin would name it; nothing without one.
fn referring(headers: &HeaderMap) -> HeaderMap {
    let page = headers.get(REFERER).and_then(|page| page.to_str().ok()).and_then(|page| Url::parse(page).ok());
    let origin = page.and_then(|page| HeaderValue::try_from(page.origin().ascii_serialization()).ok());
    origin.map(|origin| (ORIGIN, origin)).into_iter().collect()
}

/// Serves a connection from the upgrade to its end.
async fn serve(shared: Arc<Shared>, peer: Peer, application: String, socket: WebSocket) {
    peer.progress.complete();
    let (outbox, inbox) = outbox(shared.config.limits.queued_messages);
    shared.metrics.sockets.inc();
    let conn = shared.driver.opened(peer.address, application, outbox).await;
    debug!(conn = conn.0, "opened");
    let (received, pinged, left) = (Instant::now(), Instant::now(), false);
    let mut connection = Connection { conn, socket, inbox, received, pinged, left, shared, peer };
    let end = connection.run().await;
    let Connection { shared, socket, left, peer, .. } = connection;
    debug!(conn = conn.0, reason = end.reason(), "closed");
    if let End::Refuse(_, reason) = end {
        shared.metrics.refused(reason);
    }
    if let End::Closed(code, reason) | End::Refuse(code, reason) = end {
        close(&shared.places, &peer, socket, CloseFrame { code, reason: reason.into() }).await;
    }
    shared.metrics.sockets.dec();
    shared.driver.closed(conn, left).await;
}

/// Why a connection has ended.
enum End {
    /// The peer or the network has closed it.
    Gone,
    /// The proxy closes it.
    Closed(u16, &'static str),
    /// The peer broke a rule of this layer.
    Refuse(u16, &'static str),
}

impl End {
    fn reason(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Closed(_, reason) | Self::Refuse(_, reason) => reason,
        }
    }
}

struct Connection {
    conn: ConnId,
    socket: WebSocket,
    inbox: Inbox,
    /// When the last frame of the peer came.
    received: Instant,
    /// When it was last asked whether it is there.
    pinged: Instant,
    /// Whether the page has closed it because it goes away (1001).
    left: bool,
    shared: Arc<Shared>,
    peer: Peer,
}

impl Connection {
    async fn run(&mut self) -> End {
        let limits = &self.shared.config.limits;
        let (ping, idle) = (Duration::from_millis(limits.ping_interval), Duration::from_millis(limits.idle_timeout));
        let mut control = Bucket::full(self.shared.clock.now(), CONTROL_FRAMES.1);
        loop {
            let wake = (self.pinged.max(self.received) + ping).min(self.received + idle);
            let end = tokio::select! {
                message = self.socket.recv() => match message {
                    Some(Ok(message)) => self.receive(message, &mut control).await,
                    Some(Err(error)) => Some(blame(&error)),
                    None => Some(End::Gone),
                },
                outgoing = self.inbox.next() => match outgoing {
                    Some(Outgoing::Text(text)) => self.send(Message::Text(text.into())).await,
                    Some(Outgoing::Close(code, reason)) => Some(End::Closed(code, reason)),
                    None => Some(End::Refuse(1008, "slow reader")),
                },
                () = sleep_until(wake) => {
                    if self.received.elapsed() >= idle {
                        Some(End::Refuse(1001, "silent"))
                    } else {
                        self.pinged = Instant::now();
                        self.send(Message::Ping(Bytes::new())).await
                    }
                }
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Passes a message on.
    async fn receive(&mut self, message: Message, control: &mut Bucket) -> Option<End> {
        self.peer.progress.complete();
        self.received = Instant::now();
        let text = match message {
            Message::Text(text) => text.as_str().to_owned(),
            // Both kinds of frames carry SIP (RFC 7118, 5); what is not UTF-8 is not SIP that can be routed.
            Message::Binary(bytes) => match String::from_utf8(bytes.into()) {
                Ok(text) => text,
                Err(_) => return Some(End::Refuse(1007, "not UTF-8")),
            },
            Message::Ping(_) | Message::Pong(_) => {
                let allowed = control.draw(self.shared.clock.now(), CONTROL_FRAMES.0, CONTROL_FRAMES.1);
                return (!allowed).then_some(End::Refuse(1008, "ping flood"));
            }
            // The library answers it and ends the stream.
            Message::Close(frame) => {
                self.left = frame.is_some_and(|frame| frame.code == close_code::AWAY);
                return None;
            }
        };
        self.shared.driver.received(self.conn, text).await;
        None
    }

    async fn send(&mut self, message: Message) -> Option<End> {
        self.socket.send(message).await.err().map(|_| End::Gone)
    }
}

/// Returns the close code for an error of the message layer (RFC 6455, 7.4.1).
fn blame(error: &axum::Error) -> End {
    use std::error::Error;
    match error.source().and_then(|error| error.downcast_ref::<tungstenite::Error>()) {
        Some(tungstenite::Error::Capacity(_)) => End::Refuse(1009, "message too long"),
        Some(tungstenite::Error::Utf8(_)) => End::Refuse(1007, "not UTF-8"),
        Some(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => End::Gone,
        Some(tungstenite::Error::Protocol(_) | tungstenite::Error::AttackAttempt) => End::Refuse(1002, "protocol error"),
        Some(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
            End::Refuse(1008, "unfinished message")
        }
        _ => End::Gone,
    }
}

/// Sends a close frame and waits a moment for the answer, unless the connection is evicted: a peer that does not answer must not
/// keep its place from others.
async fn close(places: &Places, peer: &Peer, mut socket: WebSocket, why: CloseFrame) {
    if !matches!(timeout(GOODBYE, socket.send(Message::Close(Some(why)))).await, Ok(Ok(()))) {
        return;
    }
    places.goes(peer.place, Some(peer.address));
    let answer = tokio::spawn(timeout(GOODBYE, async move { while let Some(Ok(_)) = socket.recv().await {} }));
    places.served_by(peer.place, answer.abort_handle());
    drop(answer.await);
}
