//! SIP and SDP text: what is read, what is refused, what is written.
//!
//! The messages and vectors of the RFCs are read from `../shared/corpora`; where that is not there, their tests say so and pass.

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
