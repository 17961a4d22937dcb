//! What goes into the media of calls and what comes out: values only. Sessions are made by the back-to-back user agent, which knows
//! SIP; the media know SDP, keys and sound.

use std::net::IpAddr;

pub use offhook_sip::{Codec, Security};

/// The media of one call; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// One side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// The page: ICE, DTLS and SRTP; trickled candidates are not needed, as the gateway is ICE-lite (RFC 8445, 2.5).
    Page,
    /// The SIP side: RTP or SRTP, or a prompt.
    Peer,
}

/// What is agreed with the SIP side before there is any SDP: a trunk's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// Codecs to offer and to take, best first; not empty.
    pub codecs: Vec<Codec>,
    /// RTP or SRTP.
    pub security: Security,
    /// The address of ours that stands in SDP; `None`: the configured one.
    pub address: Option<IpAddr>,
    /// Whether media are taken from, and after that sent to, another address than the signalled one (a peer behind NAT): as soon as they come
    /// from the signalled one, or from a host of `signalling`, that is it.
    pub nat: bool,
    /// Hosts that its SIP comes from.
    pub signalling: Vec<IpAddr>,
    /// Whether media may go to the signalled address before anything has come from there. Otherwise it gets three packets until then: who
    /// can name an address in SDP cannot have it flooded.
    pub eager: bool,
    /// Whether keys go by SIP INFO and not by RFC 4733.
    pub info: bool,
}

/// A recorded announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Says that the call is connected.
    Connected,
}

/// What is asked of the media. Each command with an event that answers it is answered exactly once, in order of the commands.
#[derive(Clone, Debug)]
pub enum Command {
    /// A session begins; ports are taken when they are needed.
    Open {
        /// The new session.
        session: SessionId,
        /// The Call-ID of its page's side, for the log.
        call: String,
        /// Its SIP side.
        peer: PeerSettings,
    },
    /// It is over: ports and keys are given back; answered by [`Event::Closed`].
    Close {
        /// The session.
        session: SessionId,
    },
    /// The page offers, for the first time or again (ICE restart, hold, another network); answered by [`Event::Answer`] of [`Leg::Page`].
    /// Or the SIP side does; answered by [`Event::Answer`] of [`Leg::Peer`].
    Offered {
        /// The session.
        session: SessionId,
        /// Who offers.
        leg: Leg,
        /// The SDP.
        sdp: String,
    },
    /// An offer is wanted for a side; answered by [`Event::Offer`].
    Offer {
        /// The session.
        session: SessionId,
        /// To whom.
        leg: Leg,
    },
    /// A side has answered our offer; an early answer may be followed by a final one that differs. Answered by [`Event::Failed`] where it
    /// cannot be used, else not.
    Answered {
        /// The session.
        session: SessionId,
        /// Who answers.
        leg: Leg,
        /// The SDP.
        sdp: String,
    },
    /// The answers of another fork or of the next trunk will come: forgets what the SIP side has said so far.
    Forget {
        /// The session.
        session: SessionId,
        /// The settings of the next trunk; `None`: as before.
        peer: Option<PeerSettings>,
    },
    /// Plays to the page, in place of what the SIP side sends; answered by [`Event::Played`].
    Play {
        /// The session.
        session: SessionId,
        /// What.
        prompt: Prompt,
        /// How often.
        times: u32,
    },
    /// A key was pressed and came by SIP INFO: it is said to the other side by RFC 4733.
    Press {
        /// The session.
        session: SessionId,
        /// Who is to hear it.
        leg: Leg,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        key: char,
        /// Milliseconds.
        duration: u32,
    },
}

/// What the media tell.
#[derive(Clone, Debug)]
pub enum Event {
    /// The answer to an offer of a side.
    Answer {
        /// The session.
        session: SessionId,
        /// Whose offer it answers.
        leg: Leg,
        /// The SDP, or why there is none.
        sdp: Result<String, MediaError>,
    },
    /// An offer for a side.
    Offer {
        /// The session.
        session: SessionId,
        /// For whom.
        leg: Leg,
        /// The SDP, or why there is none.
        sdp: Result<String, MediaError>,
    },
    /// The page is connected: ICE and DTLS are up. Once after each offer and answer that made a new transport.
    Connected {
        /// The session.
        session: SessionId,
    },
    /// The page sent a key by RFC 4733 and the SIP side takes none that way: for SIP INFO.
    Pressed {
        /// The session.
        session: SessionId,
        /// Who pressed it.
        leg: Leg,
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        key: char,
        /// Milliseconds.
        duration: u32,
    },
    /// The prompt was played to its end.
    Played {
        /// The session.
        session: SessionId,
    },
    /// Nothing has come from a side that should send, for the configured time: it has vanished.
    Silent {
        /// The session.
        session: SessionId,
        /// Which.
        leg: Leg,
    },
    /// A side cannot go on.
    Failed {
        /// The session.
        session: SessionId,
        /// Which.
        leg: Leg,
        /// Why.
        error: MediaError,
    },
    /// A session was closed.
    Closed {
        /// The session.
        session: SessionId,
        /// What went over it.
        traffic: Traffic,
    },
}

/// What went over a session, for the record of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// RTP packets from the page, and lost on the way.
    pub from_page: (u64, u64),
    /// RTP packets from the SIP side, and lost on the way.
    pub from_peer: (u64, u64),
    /// Packets thrown away: wrong source, wrong key, repeated, malformed.
    pub refused: u64,
}

/// Why media cannot be had. The first three are the other side's, the rest ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaError {
    /// No SDP, or none with audio: 400.
    Malformed,
    /// No codec, protection or transport in common: 488.
    NotAcceptable,
    /// Fingerprint missing, of a weak hash, or not that of the certificate: 488.
    Fingerprint,
    /// Ports, sessions or memory are used up: 503.
    Busy,
    /// A socket failed: 500.
    Broken,
    /// No such session.
    Unknown,
}
