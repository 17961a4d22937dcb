//! What the media of a call with the SIP side may be, as session descriptions have it and operators choose it.

use serde::{Deserialize, Serialize};

/// A codec that the SIP side may be offered, in the order of preference.
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
    /// Ticks of its RTP clock in a millisecond. G.722 says 8 kHz, and means 16 (RFC 3551, 4.5.2); Opus always says 48 (RFC 7587, 4.1).
    #[must_use]
    pub const fn ticks(self) -> u32 {
        match self {
            Self::Opus => 48,
            Self::G722 | Self::Pcma | Self::Pcmu => 8,
        }
    }
}

/// How the SIP side's media are protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// RTP/AVP.
    #[default]
    None,
    /// RTP/SAVP with keys in SDP (RFC 4568); a peer without is refused.
    Sdes,
}
