//! Input and output of the media of calls: values only. The back-to-back user agent, which knows SIP, creates the sessions; the
//! media know SDP, encryption and sound.

use std::net::IpAddr;

pub use offhook_sip::{Codec, Security};

/// The id of a session, the media of one call; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// One side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// The page: ICE, DTLS and SRTP. Trickled candidates are not needed, because the gateway is ICE-lite (RFC 8445, 2.5).
    Page,
    /// The SIP side: RTP or SRTP, or a prompt.
    Peer,
}

/// The settings of the SIP side, which come from its trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// Codecs to offer and to accept, in the order of preference; not empty.
    pub codecs: Vec<Codec>,
    /// RTP or SRTP.
    pub security: Security,
    /// The address of the gateway in the SDP; `None`: the configured one.
    pub address: Option<IpAddr>,
    /// Whether media are also accepted from, and then sent to, another address than the one in SDP (a peer behind NAT), until they
    /// come from that address or from a host in `signalling`.
    pub nat: bool,
    /// The source addresses of its SIP messages.
    pub signalling: Vec<IpAddr>,
    /// Whether media may be sent to the address in SDP before anything was received from there. Otherwise only three packets are:
    /// SDP could name the address of a victim to be flooded.
    pub eager: bool,
    /// Whether DTMF digits are sent by SIP INFO instead of RFC 4733.
    pub info: bool,
}

/// A recorded announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// An announcement that the call is connected.
    Connected,
}

/// A command. Each one with an event as its answer is answered exactly once, in the order of the commands.
#[derive(Clone, Debug)]
pub enum Command {
    /// Opens a session; ports are bound when they are needed.
    Open {
        /// The new session.
        session: SessionId,
        /// The Call-ID of the page's side, for the log.
        call: String,
        /// The settings of the SIP side.
        peer: PeerSettings,
    },
    /// Closes a session and releases its ports; answered by [`Event::Closed`].
    Close {
        /// The session.
        session: SessionId,
    },
    /// A side offers, for the first time or again (ICE restart, hold, another network); answered by [`Event::Answer`] for that leg.
    Offered {
        /// The session.
        session: SessionId,
        /// The side that offers.
        leg: Leg,
        /// The SDP.
        sdp: String,
    },
    /// Asks for an offer to a side; answered by [`Event::Offer`].
    Offer {
        /// The session.
        session: SessionId,
        /// The side that gets the offer.
        leg: Leg,
    },
    /// A side has answered an offer; an early answer may be followed by a different final one. Answered by [`Event::Failed`] where
    /// it cannot be used, otherwise not.
    Answered {
        /// The session.
        session: SessionId,
        /// The side that answers.
        leg: Leg,
        /// The SDP.
        sdp: String,
    },
    /// Forgets all descriptions of the SIP side, because another fork or the next trunk is going to answer.
    Forget {
        /// The session.
        session: SessionId,
        /// The settings of the next trunk; `None`: unchanged.
        peer: Option<PeerSettings>,
    },
    /// Plays a prompt to the page in place of the sound of the SIP side; answered by [`Event::Played`].
    Play {
        /// The session.
        session: SessionId,
        /// The prompt.
        prompt: Prompt,
        /// How many times.
        times: u32,
    },
    /// Sends a DTMF digit, which was received by SIP INFO, by RFC 4733.
    SendDigit {
        /// The session.
        session: SessionId,
        /// The side that gets the digit.
        leg: Leg,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long, ms.
        duration: u32,
    },
}

/// An event of the media.
#[derive(Clone, Debug)]
pub enum Event {
    /// The answer to an offer of a side.
    Answer {
        /// The session.
        session: SessionId,
        /// The side whose offer is answered.
        leg: Leg,
        /// The SDP, or the error.
        sdp: Result<String, MediaError>,
    },
    /// An offer to a side.
    Offer {
        /// The session.
        session: SessionId,
        /// The side that gets the offer.
        leg: Leg,
        /// The SDP, or the error.
        sdp: Result<String, MediaError>,
    },
    /// The page is connected: ICE and DTLS are up. Once after each negotiation that made a new transport.
    Connected {
        /// The session.
        session: SessionId,
    },
    /// A side has sent a DTMF digit by RFC 4733, and its peer does not support that: to be sent by SIP INFO.
    Digit {
        /// The session.
        session: SessionId,
        /// The side that sent the digit.
        leg: Leg,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long, ms.
        duration: u32,
    },
    /// The prompt was played to its end.
    Played {
        /// The session.
        session: SessionId,
    },
    /// Nothing was received from a side that should send, for the configured time: it has vanished.
    Silent {
        /// The session.
        session: SessionId,
        /// The side.
        leg: Leg,
    },
    /// The media of a side have failed.
    Failed {
        /// The session.
        session: SessionId,
        /// The side.
        leg: Leg,
        /// The error.
        error: MediaError,
    },
    /// A session was closed.
    Closed {
        /// The session.
        session: SessionId,
        /// The traffic of the session.
        traffic: Traffic,
    },
}

/// The traffic of a session, for the call record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// RTP packets received from the page, and packets lost on the way.
    pub from_page: (u64, u64),
    /// RTP packets received from the SIP side, and packets lost on the way.
    pub from_peer: (u64, u64),
    /// Packets dropped: wrong source, wrong key, replayed, malformed.
    pub refused: u64,
}

/// Why media have failed. For the first three the remote party is at fault, for the others the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaError {
    /// There is no SDP, or none with audio: 400.
    Malformed,
    /// There is no common codec, encryption or transport: 488.
    NotAcceptable,
    /// The fingerprint is missing, of a weak hash function, or not that of the certificate: 488.
    Fingerprint,
    /// There are no more ports, sessions or memory: 503.
    Busy,
    /// A socket failed: 500.
    Broken,
    /// There is no such session.
    Unknown,
}
