//! What is done to sound between a page and the SIP side where they have no codec in common; keys (RFC 4733); recorded announcements.
//! Values and small machines: no clock, no socket, no thread; and once a stream runs, nothing is allocated for a packet.
//!
//! ```text
//! packets ── jitter ── codec (decode, conceal) ── resample ── codec (encode) ── frames
//!            order, when to play                  where neither codec can       another codec, another length
//! ```

mod codec;
mod conceal;
mod g711;
mod jitter;
mod keys;
mod recording;
mod resample;
mod transcoder;

pub use keys::{KeyEvent, KeyPacket, KeyReader, KeyWriter};
pub use recording::recording;
pub use transcoder::{Frame, Packet, Transcoder};

/// Why sound cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundError {
    /// Ours: libopus refuses to begin, as when memory is used up.
    Broken,
}

impl From<opus::Error> for SoundError {
    fn from(_: opus::Error) -> Self {
        Self::Broken
    }
}
