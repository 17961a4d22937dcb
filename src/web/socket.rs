//! The one WebSocket (RFC 7118): text frames, sub-protocol `sip`.

use std::cell::RefCell;

use wasm_bindgen::prelude::*;

use super::dom::{call0, call1, construct, dict, get, get_number, get_string, list2, new2, set, string};
use crate::client::Input;

/// What arrives on the socket that is open now, told as inputs; of an older one nothing is told.
pub struct Socket {
    /// `undefined` where there is no connection.
    current: RefCell<JsValue>,
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
        Self { current: RefCell::default(), handler }
    }

    /// Opens a connection in place of any other.
    ///
    /// # Errors
    /// What the browser says of a URL that it refuses.
    pub fn connect(&self, url: &str) -> Result<(), JsValue> {
        self.disconnect();
        let socket = construct("WebSocket", list2(url.into(), "sip".into()))?;
        set(&socket, "binaryType", "arraybuffer".into());
        self.listen(&socket, self.handler.as_ref());
        self.current.replace(socket);
        Ok(())
    }

    /// Sends a text frame; without a connection it is lost, which the client knows how to bear.
    pub fn send(&self, text: &str) {
        call1(&self.current.borrow(), "send", text.into());
    }

    /// Closes the connection; nothing more is told of it.
    pub fn disconnect(&self) {
        let socket = self.current.take();
        if !socket.is_undefined() {
            self.listen(&socket, &JsValue::NULL);
            call0(&socket, "close");
        }
    }

    fn listen(&self, socket: &JsValue, handler: &JsValue) {
        for event in &["onopen", "onmessage", "onclose"] {
            set(socket, event, handler.clone());
        }
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
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a close code has 16 bits")]
            let code = get_number(event, "code") as u16;
            Input::Closed { code, reason: get_string(event, "reason") }
        }
        _ => return None,
    })
}

/// SIP is UTF-8, and RFC 7118 (5.) lets a server send it in binary frames, too.
fn text(data: &JsValue) -> String {
    data.as_string().unwrap_or_else(|| {
        let strict = dict().with("fatal", JsValue::TRUE);
        let decoder = new2("TextDecoder", "utf-8".into(), strict.into());
        string(&call1(&decoder, "decode", data.clone()))
    })
}
