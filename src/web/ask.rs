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
use crate::client::{Finding, MediaError};

/// What a gateway calls itself.
const GATEWAY: &str = "offhook-gateway";
/// The status where only the WebSocket is missing (RFC 9110, 15.5.22).
const UPGRADE_REQUIRED: u16 = 426;
/// Those with which a gateway refuses a WebSocket.
const REFUSALS: [u16; 3] = [403, 429, 503];
/// How long the answer may take.
const LIMIT: Duration = Duration::from_secs(4);

/// Asks the server with this WebSocket URL.
pub async fn ask(url: &str) -> Finding {
    let Ok(url) = Url::new(url) else { return Finding::Silent };
    url.set_protocol(if url.protocol() == "wss:" { "https:" } else { "http:" });
    // `fetch` takes no address with them, and nobody is to get them.
    url.set_username("");
    url.set_password("");
    let address = url.href();
    if is_mixed(&url) {
        return Finding::Insecure;
    }
    let deadline = Deadline::after(LIMIT);
    match send(&address, &deadline, RequestMode::Cors, RequestRedirect::Error).await {
        Some(answer) => match read(&answer).await {
            Err(_) if deadline.is_over() => Finding::Late,
            finding => finding.unwrap_or_else(|_| Finding::Foreign(Some(answer.status()))),
        },
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

async fn read(answer: &Response) -> Result<Finding, MediaError> {
    let status = answer.status();
    let json = JSON::parse(&text_of(answer).await?).unwrap_or_default();
    let field = |key: &str| Reflect::get(&json, &key.into()).ok().and_then(|value| value.as_string()).unwrap_or_default();
    Ok(match status {
        _ if field("server") != GATEWAY => Finding::Foreign(Some(status)),
        UPGRADE_REQUIRED => Finding::Gateway,
        status if REFUSALS.contains(&status) => {
            let wait = answer.headers().get("retry-after").ok().flatten().and_then(|seconds| seconds.parse().ok());
            Finding::Refused { reason: field("reason"), said: field("message"), wait }
        }
        _ => Finding::Foreign(Some(status)),
    })
}

/// Whether browsers block it, as the page came over TLS (Mixed Content, 4.4): all but this machine.
fn is_mixed(url: &Url) -> bool {
    let secure = window().location().protocol().is_ok_and(|protocol| protocol == "https:");
    secure && url.protocol() == "http:" && !matches!(url.hostname().as_str(), "localhost" | "127.0.0.1" | "[::1]")
}
