//! SIP and SDP text: what is read, what is refused, what is written.
//!
//! The messages and vectors of the RFCs are those of `../shared/corpora` (build.rs); where that is not there, their tests are ignored.

#[path = "sip/corpora.rs"]
mod corpora;
#[path = "sip/digest.rs"]
mod digest;
#[path = "sip/flows.rs"]
mod flows;
#[path = "sip/mutations.rs"]
mod mutations;
#[path = "sip/reading.rs"]
mod reading;
#[path = "sip/sdp.rs"]
mod sdp;
#[path = "sip/torture.rs"]
mod torture;
#[path = "sip/writing.rs"]
mod writing;
