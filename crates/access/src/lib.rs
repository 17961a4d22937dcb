//! Who is let in: what proves an identity, how often one may fail to, and how much somebody who is not known may take. Values only: no clock,
//! no socket, no store.
//!
//! ```text
//! what was shown ──┬─ ticket     tickets and JWTs of an application's back end ─┐
//!                  ├─ signature  signed requests of a back end                  ├── secret: each key signs one thing
//!                  └─ nonce      digest challenges that need no memory          ┘
//!
//! before that ─────┬─ proofs     budgets of failed proofs, by address (network) and by user
//!                  ├─ silent     connections that have said nothing
//!                  └─ bucket     so many in a time
//! ```
//!
//! It stands on `ua` (time) and below proxy, trunks and gateway, which share one [`proofs::Proofs`]: ask it whether a proof may be looked at,
//! look at it, and tell it what came of that.

pub mod bucket;
pub mod network;
pub mod nonce;
pub mod proofs;
pub mod secret;
pub mod signature;
pub mod silent;
pub mod ticket;
