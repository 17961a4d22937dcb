//! The edge (wasm only): clock, timer, socket, peer connections, microphone and media elements of the browser, driven by the outputs
//! of [`crate::client::Client`]. No rule of SIP lives here.
//!
//! ```text
//! page ── js ──▶ Driver ──▶ Client
//!                  │ ◀── Output ┘
//!    Socket  Timer  Peer  Media  Microphone  elements
//! ```

pub mod dom;
mod driver;
pub mod elements;
mod media;
mod page;
mod peer;
mod socket;
mod tasks;
mod timer;

pub use driver::{Driver, Notice};
pub use media::Media;
