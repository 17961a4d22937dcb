//! Media of calls between pages and SIP: a page on one side (ICE, DTLS, SRTP), RTP on the other, and the transcoding between them.
//! A state machine without clock or socket; the gateway moves its packets.
//!
//! ```text
//! commands, datagrams, time ──▶ engine ── session ──┬── page   str0m, SDP of browsers
//!                    ▲            one per call       └── peer   RTP, RTCP, SRTP, SDP of the SIP side
//!                    └── events, datagrams, ports
//! ```
//!
//! This crate depends on `sip` (SDP) and `ua` (time, random numbers), and is used by the back-to-back user agent, which sends it
//! commands. Order of calls: [`Engine::handle`], then [`Engine::poll`] until it returns `None`, then [`Engine::deadline`].

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
