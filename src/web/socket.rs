//! The one WebSocket (RFC 7118): text frames, sub-protocol `sip`.

use std::cell::RefCell;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, WebSocket};

use super::dom::{get, get_string};
use crate::client::Input;

/// What arrives on the socket that is open now, told as inputs; of an older one nothing is told.
pub struct Socket {
    current: RefCell<Option<WebSocket>>,
    handler: Closure<dyn FnMut(JsValue)>,
}

impl Socket {
    /// No connection yet.
    pub fn new(mut tell: Box<dyn FnMut(Input)>) -> Self {
        let handler = Closure::wrap(Box::new(move |event: JsValue| {
            if let Some(input) = input(&event) {
                tell(input);
            }
        }) as Box<dyn FnMut(JsValue)>);
        Self { current: RefCell::new(None), handler }
    }

    /// Opens a connection in place of any other.
    ///
    /// # Errors
    /// What the browser says of a URL that it refuses.
    pub fn connect(&self, url: &str) -> Result<(), JsValue> {
        self.disconnect();
        let socket = WebSocket::new_with_str(url, "sip")?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        self.listen(&socket, true);
        *self.current.borrow_mut() = Some(socket);
        Ok(())
    }

    /// Sends a text frame; without a connection it is lost, which the client knows how to bear.
    pub fn send(&self, text: &str) {
        if let Some(socket) = &*self.current.borrow() {
            let _ = socket.send_with_str(text);
        }
    }

    /// Closes the connection; nothing more is told of it.
    pub fn disconnect(&self) {
        if let Some(socket) = self.current.take() {
            self.listen(&socket, false);
            let _ = socket.close();
        }
    }

    fn listen(&self, socket: &WebSocket, on: bool) {
        let handler = on.then(|| self.handler.as_ref().unchecked_ref());
        socket.set_onopen(handler);
        socket.set_onmessage(handler);
        socket.set_onclose(handler);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.disconnect();
    }
}

fn input(event: &JsValue) -> Option<Input> {
    Some(match get_string(event, "type").as_str() {
        "open" => Input::Opened,
        "message" => Input::Received(text(&get(event, "data"))),
        "close" => {
            let code = get(event, "code").as_f64().unwrap_or(0.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a close code has 16 bits")]
            Input::Closed { code: code as u16, reason: get_string(event, "reason") }
        }
        _ => return None,
    })
}

/// SIP is UTF-8, and RFC 7118 (5.) lets a server send it in binary frames, too.
fn text(data: &JsValue) -> String {
    data.as_string().unwrap_or_else(|| String::from_utf8(Uint8Array::new(data).to_vec()).unwrap_or_default())
}
