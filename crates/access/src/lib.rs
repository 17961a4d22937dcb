//! Authentication and admission: verification of credentials, limits for failed attempts, and limits for unauthenticated clients. Values only:
//! no clock, no socket, no store.
//!
//! ```text
//! credentials ─────┬─ ticket     tickets and JWTs of an application's back end ─┐
//!                  ├─ signature  signed requests of a back end                  ├── secret: a key for each use
//!                  └─ nonce      nonces of digest challenges, without state     ┘
//!
//! limits ──────────┬─ proofs     failed attempts, by address (network) and by user
//!                  ├─ silent     connections on which nothing was received yet
//!                  └─ bucket     rate limits
//! ```
//!
//! This crate depends on `ua` (time) and is used by proxy, trunks and gateway, which share one [`proofs::Proofs`]: ask it whether credentials may
//! be verified, verify them, and report the result to it.

pub mod bucket;
pub mod network;
pub mod nonce;
pub mod proofs;
pub mod secret;
pub mod signature;
pub mod silent;
pub mod ticket;
