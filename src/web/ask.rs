//! What a server says over HTTP of itself: a GET of the address of its WebSocket, without credentials.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use gloo_net::http::Request;
use gloo_timers::callback::Timeout;
use js_sys::{JSON, Reflect};
use web_sys::{AbortController, AbortSignal, RequestCache, RequestCredentials, RequestMode, RequestRedirect, Response, Url};

use super::dom::window;
use super::fetch::{fetch, text_of};
use crate::client::Finding;

/// What a gateway calls itself.
const GATEWAY: &str = "offhook-gateway";
/// The status where only the WebSocket is missing (RFC 9110, 15.5.22).
const UPGRADE_REQUIRED: u16 = 426;
/// How long the answer may take.
const LIMIT: Duration = Duration::from_secs(4);

/// Asks the server with this WebSocket URL.
pub async fn ask(url: &str) -> Finding {
    // `ws` becomes `http`, `wss` becomes `https`.
    let address = url.replacen("ws", "http", 1);
    if is_mixed(&address) {
        return Finding::Insecure;
    }
    let deadline = Deadline::after(LIMIT);
    match send(&address, &deadline, RequestMode::Cors, RequestRedirect::Error).await {
        Some(answer) => read(&answer).await,
        // A server that is no gateway lets no other page read its answer; but there is one.
        None => match send(&address, &deadline, RequestMode::NoCors, RequestRedirect::Follow).await {
            Some(_) => Finding::Foreign(None),
            None if deadline.is_over() => Finding::Late,
            None => Finding::Silent,
        },
    }
}

/// Aborts requests that take too long.
pub struct Deadline {
    controller: AbortController,
    over: Rc<Cell<bool>>,
    _timeout: Timeout,
}

impl Deadline {
    /// Returns one that is over after `limit`.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let controller = AbortController::new().expect("every browser has it");
        let over = Rc::new(Cell::new(false));
        let (stopped, told) = (controller.clone(), over.clone());
        let timeout = Timeout::new(u32::try_from(limit.as_millis()).unwrap_or(u32::MAX), move || {
            told.set(true);
            stopped.abort();
        });
        Self { controller, over, _timeout: timeout }
    }

    /// The signal for requests.
    #[must_use]
    pub fn signal(&self) -> AbortSignal {
        self.controller.signal()
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.get()
    }
}

/// Returns the response, if there is one.
async fn send(address: &str, deadline: &Deadline, mode: RequestMode, redirect: RequestRedirect) -> Option<Response> {
    let request = Request::get(address).mode(mode).redirect(redirect).credentials(RequestCredentials::Omit);
    let request = request.cache(RequestCache::NoStore).abort_signal(Some(&deadline.signal())).build().ok()?;
    fetch(request).await.ok()
}

async fn read(answer: &Response) -> Finding {
    let status = answer.status();
    let json = text_of(answer).await.ok().and_then(|text| JSON::parse(&text).ok()).unwrap_or_default();
    let field = |key: &str| Reflect::get(&json, &key.into()).ok().and_then(|value| value.as_string()).unwrap_or_default();
    match status {
        _ if field("server") != GATEWAY => Finding::Foreign(Some(status)),
        UPGRADE_REQUIRED => Finding::Gateway,
        _ => {
            let wait = answer.headers().get("retry-after").ok().flatten().and_then(|seconds| seconds.parse().ok());
            Finding::Refused { reason: field("reason"), said: field("message"), wait }
        }
    }
}

/// Whether browsers block it, as the page came over TLS (Mixed Content, 4.4): all but this machine.
fn is_mixed(address: &str) -> bool {
    let secure = window().location().protocol().is_ok_and(|protocol| protocol == "https:");
    let host = || Url::new(address).map(|url| url.hostname()).unwrap_or_default();
    secure && address.starts_with("http:") && !matches!(host().as_str(), "localhost" | "127.0.0.1" | "[::1]")
}
