//! SIP and SDP text: what is read, what is refused, what is written.
//!
//! The messages and vectors of the RFCs are those of `../shared/corpora` (build.rs); where that is not there, their tests are ignored.

mod digest;
mod flows;
mod mutations;
mod reading;
mod sdp;
mod torture;
mod writing;
