//! Transcoding of sound between a page and a SIP side without a common codec, DTMF digits (RFC 4733), and recorded announcements.
//! Values and small state machines: no clock, no socket, no thread; a running stream allocates no memory for packets.
//!
//! ```text
//! packets ── jitter ── codec (decode, conceal) ── resample ── codec (encode) ── frames
//!            order, time of playing               where the rates differ     another codec, another length
//! ```

mod codec;
mod conceal;
mod dtmf;
mod g711;
mod jitter;
mod recording;
mod resample;
mod transcoder;

pub use dtmf::{DigitEvent, DigitPacket, DigitReader, DigitWriter};
pub use recording::recording;
pub use transcoder::{Frame, Packet, Transcoder};

/// Why sound cannot be transcoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundError {
    /// libopus cannot be initialised, for example because memory is used up; the gateway is at fault.
    Broken,
}

impl From<opus::Error> for SoundError {
    fn from(_: opus::Error) -> Self {
        Self::Broken
    }
}
