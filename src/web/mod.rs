//! The edge (wasm only): clock, timer, socket, peer connections, microphone and media elements of the browser, driven by the outputs
//! of [`crate::client::Client`]. No rule of SIP lives here.
//!
//! ```text
//! page ── js ──▶ Driver ──▶ Client
//!                  │ ◀── Output ┘
//!    Socket  Timer  Peer  Media  Microphone  elements
//! ```

pub mod bindings;
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

/// Memory for everything in the wasm. It takes a quarter of the code of the standard library's allocator: 2 kB less in every page.
#[global_allocator]
static MEMORY: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
