//! SIP and SDP text: what is parsed, what is rejected, what is written.
//!
//! The messages and vectors of the RFCs are in `../shared/corpora` (build.rs); where that is missing, their tests are ignored.

mod bodies;
mod digest;
mod flows;
mod mutations;
mod reading;
mod sdp;
mod torture;
mod writing;
