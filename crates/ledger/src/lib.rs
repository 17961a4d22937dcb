//! Billing of calls: telephone numbers, tariffs, reservations, limits. Rules and values only; the store of the gateway keeps the accounts.
//!
//! ```text
//!            Open                    Extend                     Close
//! (nothing) ──────▶ reserved ──────▶ more reserved ──────▶ charged, the rest is refunded
//!     │                │
//!     └▶ refused       └▶ not answered: everything is refunded
//! ```
//!
//! A call is prepaid: a reservation is taken from the credit, so two calls never spend the same money, and a call never costs more than was
//! reserved for it.
//!
//! This crate depends on `ua` (time) and is used by the back-to-back user agent, which sends a [`Query`] to the store and gets an [`Answer`] by
//! these rules: Open before it dials, Extend during the call, Close at its end.

mod money;
mod number;
mod port;
mod range;

mod tariff;
mod words;

pub use money::{Amount, AmountError, MOST};
pub use number::{Number, NumberError, ShownBy, ShownByError};
pub use port::{Answer, CallRef, End, Grant, Kind, Micros, NewCall, Query, Refused};
pub use range::{Opening, Openings, OpeningsError};
pub use tariff::{Charge, Reservation, STRETCH, Tariff, TariffError};

/// The rules for accounts that have none of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Destinations that may be called.
    pub openings: Openings,
    /// ISO 4217 code of the currency.
    pub currency: String,
    /// Concurrent calls of one account, without test calls.
    pub calls: u32,
    /// New calls of one account to telephones in any minute.
    pub calls_per_minute: u32,
    /// New calls of one account to one range (the prefix of a rate, or a country) in any hour.
    pub range_calls_per_hour: u32,
    /// What one account may spend in a day (UTC).
    pub spend_per_day: Micros,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            openings: Openings::default(),
            currency: "USD".into(),
            calls: 20,
            calls_per_minute: 60,
            range_calls_per_hour: 1_000,
            spend_per_day: 50_000_000,
        }
    }
}
