//! The media of calls that leave the browser's world: a page on one side (ICE, DTLS, SRTP), RTP on the other, and what has to be done to
//! sound between them. A machine without clock or socket; the gateway moves its packets.
//!
//! ```text
//! commands, datagrams, time ──▶ engine ── session ──┬── page   str0m, what browsers say in SDP
//!                    ▲            who is it?        └── peer   RTP, RTCP, SRTP, SDP of the SIP side
//!                    └── events, datagrams, ports
//! ```
//!
//! It stands on `sip` (what SDP may say) and `ua` (time, random numbers), below the back-to-back user agent, which commands it. Order of calls:
//! [`Engine::handle`], then [`Engine::poll`] until it gives `None`, then [`Engine::deadline`].

mod dtls;
mod engine;
mod epoch;
mod flow;
mod page;
mod page_sdp;
mod peer;
mod port;
mod prompt;
mod rtcp;
mod rtp;
mod sdp;
mod session;
pub mod sound;
mod sources;
mod srtp;

pub use engine::{Engine, Input, Output, Settings, Socket, refusal, session_of};
pub use epoch::{Epoch, Moment};
pub use port::{Codec, Command, Event, Leg, MediaError, PeerSettings, Prompt, Security, SessionId, Traffic};
pub use sdp::MAX_LEN as MAX_SDP;
