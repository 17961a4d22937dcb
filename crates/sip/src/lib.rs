//! SIP text ⇄ values (RFC 3261): pure functions over borrowed text, with no state, no clock and no randomness.
//!
//! ```text
//! bytes ── parse ──▶ Message { start, fields, body } ── check ──▶ Ok, or the code that refuses it
//!                       │ via() from() to() cseq() contacts() … : each field is read when it is asked for
//!                       └ reply() ──▶ Writer ── end()/body() ──▶ text
//! ```
//!
//! [`sdp`] reads session descriptions (RFC 8866), [`digest`] has the credentials of RFC 8760; [`text`] searches and joins, [`hash`] has the
//! hashes that SIP needs. This crate stands below all others: it depends on none of ours.
//!
//! Two layers judge what comes in. [`parse`] fails only where nothing is left that could be answered. Everything else that
//! is wrong is told by [`Message::check`], with the code to answer; whoever acts on a message calls it first.

mod api;
mod check;
mod codec;
pub mod digest;
pub mod hash;
mod header;
mod message;
mod method;
mod owned;
mod redact;
pub mod sdp;
mod session_expires;
mod status;
pub mod telephone;
pub mod text;
mod uri;
mod write;

pub use api::ApiCode;
pub use check::{Abilities, Rejection};
pub use codec::{Codec, Security};
pub use digest::{Algorithm, Challenge, Credentials, ha1, strongest};
pub use header::{Branch, CSeq, Field, Name, NameAddr, Params, Via, is_token, unquote};
pub use message::{MAX_FIELDS, MAX_LINE, MAX_MESSAGE, Message, ParseError, Start, parse, parse_text, reasons};
pub use method::Method;
pub use owned::OwnedMessage;
pub use redact::redacted;
pub use session_expires::{Refresher, SessionExpires};
pub use status::{Class, StatusCode};
pub use uri::{Uri, escape_user};
pub use write::{Writer, quote, reply, reply_as, without_body};
