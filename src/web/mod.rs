//! The browser I/O (wasm only): clock, timer, socket, peer connections, microphone and media elements, driven by the outputs of
//! [`crate::client::Client`]. There are no rules of SIP here.
//!
//! ```text
//! page ── js ──▶ Driver ──▶ Client
//!                  │ ◀── Output ┘
//!    Socket  Timer  Peer  Media  Microphone  elements
//! ```

mod ask;
pub mod bindings;
pub mod dom;
mod driver;
pub mod elements;
mod fetch;
mod media;
pub mod microphone;
mod page;
mod peer;
mod socket;
mod tasks;
mod timer;

pub use ask::{Deadline, ask};
pub use driver::{Driver, Notice};
pub use fetch::{fetch, text_of};
pub use media::{Media, has_live};

/// The allocator of the wasm. It takes a quarter of the code of the standard library's: 2 kB less in every page.
#[global_allocator]
static MEMORY: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
