//! The one WebSocket (RFC 7118): text frames, sub-protocol `sip`.

use std::cell::RefCell;
use std::rc::Rc;

use gloo_events::EventListener;
use js_sys::{ArrayBuffer, JsString};
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, TextDecoder, TextDecoderOptions, WebSocket};

use super::dom::utf8;
use crate::client::Input;

/// The WebSocket that is open now. Its events are inputs; those of an older one are dropped.
pub struct Socket {
    current: RefCell<Option<Connection>>,
    tell: Rc<dyn Fn(Input)>,
}

/// One connection, closed when it is dropped.
struct Connection {
    socket: WebSocket,
    _listeners: [EventListener; 3],
}

impl Socket {
    /// Returns one without a connection. Inputs go to `tell`.
    pub fn new(tell: Rc<dyn Fn(Input)>) -> Self {
        Self { current: RefCell::default(), tell }
    }

    /// Opens a connection in place of any other.
    ///
    /// # Errors
    /// The browser's error for a URL that it rejects.
    pub fn connect(&self, url: &str) -> Result<(), JsValue> {
        self.disconnect();
        let socket = WebSocket::new_with_str(url, "sip")?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let tell = || self.tell.clone();
        let (opened, received, closed) = (tell(), tell(), tell());
        let listeners = [
            EventListener::new(&socket, "open", move |_| opened(Input::Opened)),
            EventListener::new(&socket, "message", move |event| {
                received(Input::Received(text(event.unchecked_ref())));
            }),
            EventListener::new(&socket, "close", move |event| {
                let event: &CloseEvent = event.unchecked_ref();
                closed(Input::Closed { code: event.code(), reason: event.reason() });
            }),
        ];
        self.current.replace(Some(Connection { socket, _listeners: listeners }));
        Ok(())
    }

    /// Sends a text frame. Without a connection it is lost; the client will retransmit it.
    pub fn send(&self, text: &str) {
        if let Some(connection) = &*self.current.borrow() {
            let _ = connection.socket.send_with_str(text);
        }
    }

    /// Closes the connection; nothing follows from it.
    pub fn disconnect(&self) {
        self.current.take();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.socket.close();
    }
}

/// SIP is UTF-8, and RFC 7118 (5.) lets a server send it in binary frames, too.
fn text(event: &MessageEvent) -> String {
    match event.data().dyn_into::<JsString>() {
        Ok(text) => utf8(&text),
        Err(data) => decode(data.unchecked_ref()).unwrap_or_default(),
    }
}

fn decode(data: &ArrayBuffer) -> Result<String, JsValue> {
    let strict = TextDecoderOptions::new();
    strict.set_fatal(true);
    TextDecoder::new_with_label_and_options("utf-8", &strict)?.decode_with_buffer_source(data)
}
