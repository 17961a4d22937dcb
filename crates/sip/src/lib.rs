//! Parser and writer of SIP messages (RFC 3261): pure functions over borrowed text, with no state, no clock and no randomness.
//!
//! ```text
//! octets ── parse ──▶ Message { start, fields, body } ── check ──▶ Ok, or the status that rejects it
//!                       │ via() from() to() cseq() contacts() … : each field is parsed when it is asked for
//!                       └ reply() ──▶ Writer ── end()/body() ──▶ text
//! ```
//!
//! [`sdp`] reads session descriptions (RFC 8866), [`digest`] has digest authentication (RFC 7616, RFC 8760); [`text`] searches and joins
//! strings, [`hash`] has the hash functions that SIP needs. This crate depends on no other crate of the workspace.
//!
//! A message is checked in two steps. [`parse`] fails only where no response is possible. Every other fault is reported by
//! [`Message::check`], with the status of the response; call it before you act on a message.
//!
//! ```
//! use offhook_sip::{Method, Rejection, StatusCode, parse, reply};
//!
//! let octets = b"INVITE sip:bob@example.com SIP/2.0\r\n\
//!     Via: SIP/2.0/UDP pc33.example.org;branch=z9hG4bK776asdhds\r\n\
//!     From: Alice <sip:alice@example.org>;tag=1928301774\r\nTo: <sip:bob@example.com>\r\n\
//!     Call-ID: a84b4c76e66710\r\nCSeq: 314159 INVITE\r\nContent-Length: 0\r\n\r\n";
//! let invite = parse(octets)?;
//! assert_eq!(invite.check(), Ok(()));
//! assert_eq!((invite.method(), invite.from()?.uri.host), (Some(Method::Invite), "example.org"));
//!
//! let ringing = reply(&invite, StatusCode::RINGING, Some("a6c85cf")).end();
//! assert!(ringing.starts_with("SIP/2.0 180 Ringing\r\n"));
//! assert!(ringing.contains("To: <sip:bob@example.com>;tag=a6c85cf\r\n"));
//!
//! let damaged = std::str::from_utf8(octets).unwrap().replace("CSeq: 314159 INVITE", "CSeq: 314159 ACK");
//! let rejection = Rejection { code: StatusCode::BAD_REQUEST, reason: "CSeq of Another Method" };
//! assert_eq!(parse(damaged.as_bytes())?.check(), Err(rejection), "it can be parsed, so it can be answered");
//! # Ok::<(), offhook_sip::ParseError>(())
//! ```

mod api;
mod body;
mod check;
mod codec;
pub mod digest;
pub mod dtmf;
mod early_media;
pub mod hash;
mod header;
mod message;
mod method;
mod owned;
mod reason;
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
pub use early_media::EarlyMedia;
pub use header::{Branch, CSeq, Field, Name, NameAddr, Params, Via, is_token, unquote};
pub use message::{MAX_FIELDS, MAX_LINE, MAX_MESSAGE, Message, ParseError, Start, parse, parse_text, reasons};
pub use method::Method;
pub use owned::OwnedMessage;
pub use reason::Reason;
pub use redact::redacted;
pub use session_expires::{Refresher, SessionExpires};
pub use status::{Class, StatusCode};
pub use uri::{Uri, escape_user};
pub use write::{Writer, quote, reply, reply_as};
