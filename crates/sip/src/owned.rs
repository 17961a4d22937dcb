//! A message that owns the octets it was read from.

use std::sync::Arc;

use self_cell::self_cell;

use super::message::{Message, ParseError, parse};

self_cell!(
    struct Cell {
        owner: Vec<u8>,
        #[covariant]
        dependent: Message,
    }

    impl {Debug}
);

/// A parsed message and the octets it was read from: for whoever looks at it again later, so that it is parsed once. A clone shares both.
#[derive(Clone, Debug)]
pub struct OwnedMessage(Arc<Cell>);

impl OwnedMessage {
    /// Reads the one message that a datagram or WebSocket frame carries, as [`parse`] does.
    ///
    /// # Errors
    ///
    /// As [`parse`].
    pub fn parse(octets: impl Into<Vec<u8>>) -> Result<Self, ParseError> {
        Cell::try_new(octets.into(), |octets| parse(octets)).map(|cell| Self(Arc::new(cell)))
    }

    /// The message.
    #[must_use]
    pub fn get(&self) -> &Message<'_> {
        self.0.borrow_dependent()
    }

    /// All of its text; `""` where it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        self.get().source()
    }
}

#[cfg(test)]
mod tests {
    use super::OwnedMessage;
    use crate::{Method, ParseError};

    #[test]
    fn a_message_outlives_the_frame_that_it_came_in() {
        let text = "OPTIONS sip:b SIP/2.0\r\nCall-ID: c\r\n\r\n".to_owned();
        let message = OwnedMessage::parse(text.clone()).expect("a message");
        let kept = message.clone();
        drop(message);
        assert_eq!((kept.get().method(), kept.get().call_id(), kept.text()), (Some(Method::Options), Ok("c"), &*text));
        assert_eq!(OwnedMessage::parse("\r\n").err(), Some(ParseError::Empty));
    }
}
