//! A message that owns the octets that it was parsed from.

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

/// A parsed message together with its octets, which can be kept without parsing it again. Clones share both.
///
/// ```
/// use offhook_sip::{OwnedMessage, StatusCode};
///
/// let response = OwnedMessage::parse("SIP/2.0 180 Ringing\r\nCall-ID: c\r\n\r\n")?;
/// let kept = response.clone();
/// drop(response);
/// assert_eq!((kept.get().code(), kept.get().call_id()?), (Some(StatusCode::RINGING), "c"));
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OwnedMessage(Arc<Cell>);

impl OwnedMessage {
    /// Parses the one message of a datagram or WebSocket message, as [`parse`] does.
    ///
    /// # Errors
    ///
    /// As [`parse`].
    pub fn parse(octets: impl Into<Vec<u8>>) -> Result<Self, ParseError> {
        Cell::try_new(octets.into(), |octets| parse(octets)).map(|cell| Self(Arc::new(cell)))
    }

    /// Returns the message.
    #[must_use]
    pub fn get(&self) -> &Message<'_> {
        self.0.borrow_dependent()
    }

    /// Returns the whole message as text; `""` where it is not UTF-8.
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
