//! Codecs and encryption of media on the SIP side of a call, as they are negotiated in SDP and configured by operators.

use serde::{Deserialize, Serialize};

/// A codec that may be offered to the SIP side, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Opus, 48 kHz (RFC 7587).
    Opus,
    /// G.722, 16 kHz (RFC 3551, 4.5.2).
    G722,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// G.711 µ-law, 8 kHz.
    Pcmu,
}

impl Codec {
    /// Returns the rate of the RTP clock in kHz. That of G.722 is 8, though it samples at 16 (RFC 3551, 4.5.2); that of Opus is always 48
    /// (RFC 7587, 4.1).
    #[must_use]
    pub const fn ticks(self) -> u32 {
        match self {
            Self::Opus => 48,
            Self::G722 | Self::Pcma | Self::Pcmu => 8,
        }
    }
}

/// The encryption of media on the SIP side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// None: RTP/AVP.
    #[default]
    None,
    /// RTP/SAVP with keys in SDP (RFC 4568); a peer that does not offer it is rejected.
    Sdes,
}
