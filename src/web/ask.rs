//! What a server says over HTTP of itself: a GET of the address of its WebSocket, without credentials.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use gloo_timers::callback::Timeout;
use js_sys::{JSON, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, RequestCache, RequestCredentials, RequestInit, RequestMode, RequestRedirect, Response};

use super::dom::window;
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
    let request = Request::new();
    match request.send(&address, RequestMode::Cors, RequestRedirect::Error).await {
        Ok(answer) => read(&answer).await,
        Err(_) if request.late.get() => Finding::Late,
        // A server that is no gateway lets no other page read its answer; but there is one.
        Err(_) => match request.send(&address, RequestMode::NoCors, RequestRedirect::Follow).await {
            Ok(_) => Finding::Foreign(None),
            Err(_) if request.late.get() => Finding::Late,
            Err(_) => Finding::Silent,
        },
    }
}

/// Requests that are aborted after a while.
struct Request {
    controller: AbortController,
    late: Rc<Cell<bool>>,
    _timeout: Timeout,
}

impl Request {
    fn new() -> Self {
        let controller = AbortController::new().expect("every browser has it");
        let late = Rc::new(Cell::new(false));
        let (stopped, told) = (controller.clone(), late.clone());
        let timeout = Timeout::new(u32::try_from(LIMIT.as_millis()).unwrap_or(u32::MAX), move || {
            told.set(true);
            stopped.abort();
        });
        Self { controller, late, _timeout: timeout }
    }

    async fn send(&self, address: &str, mode: RequestMode, redirect: RequestRedirect) -> Result<Response, JsValue> {
        let how = RequestInit::new();
        how.set_mode(mode);
        how.set_redirect(redirect);
        how.set_credentials(RequestCredentials::Omit);
        how.set_cache(RequestCache::NoStore);
        how.set_signal(Some(&self.controller.signal()));
        let answer = JsFuture::from(window().fetch_with_str_and_init(address, &how)).await?;
        Ok(answer.unchecked_into())
    }
}

async fn read(answer: &Response) -> Finding {
    let status = answer.status();
    let text = async { JsFuture::from(answer.text().ok()?).await.ok()?.as_string() }.await;
    let json = text.and_then(|text| JSON::parse(&text).ok()).unwrap_or_default();
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
    let host = address.strip_prefix("http://").and_then(|rest| rest.split(['/', ':', '?']).next());
    let secure = window().location().protocol().is_ok_and(|protocol| protocol == "https:");
    secure && host.is_some_and(|host| !matches!(host, "localhost" | "127.0.0.1" | "["))
}
