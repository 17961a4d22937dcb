//! The ledger over a real database: reservations, charges and refunds of calls.

mod books;
mod clock;
mod crash;
mod disk;
mod pace;
mod support;
