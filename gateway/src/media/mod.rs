//! The media of calls that leave the browser's world: a page on one side (ICE, DTLS, SRTP), RTP on the other, and what has to be done to
//! sound between them. A machine without clock or socket; [`crate::server`] moves its packets.

mod port;
pub mod sound;

pub use port::{Codec, Command, Event, Leg, MediaError, PeerSettings, Prompt, Security, SessionId, Traffic};
