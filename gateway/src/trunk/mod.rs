//! SIP towards providers and other SIP servers, over UDP, TCP and TLS: who they are, whether they are there, and what is said to them. A
//! machine without clock or socket.

mod port;

pub use port::{Event, Flow, Input, LinkId, Output, Record, ResolveId, TrunkId, Wire};
