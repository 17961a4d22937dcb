//! What calls cost and who may make them: numbers, rates, reservations. Rules and values only; the store of the gateway keeps the books.
//!
//! ```text
//!            Open                    Extend                     Close
//! (nothing) ──────▶ reserved ──────▶ more reserved ──────▶ charged, the rest given back
//!     │                │
//!     └▶ refused       └▶ not answered: all of it given back
//! ```
//!
//! A call is paid before it happens: what is reserved is taken out of the credit, so two calls never spend the same unit, and a call
//! never costs more than was reserved for it.
//!
//! It stands on `ua` (time), below the back-to-back user agent, which asks ([`Query`]) and hears what the store says by these rules
//! ([`Answer`]): Open before it dials, Extend while the call lasts, Close at its end.

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

/// What holds for every account unless it has a rule of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Where telephones may be called.
    pub openings: Openings,
    /// ISO 4217 code of the money.
    pub currency: String,
    /// Calls of one account at a time that are no test.
    pub calls: u32,
    /// New calls of one account to telephones in any minute.
    pub calls_per_minute: u32,
    /// New calls of one account to one range in any hour: the prefix of a rate, or a country.
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
