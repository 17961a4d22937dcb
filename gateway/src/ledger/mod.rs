//! What calls cost and who may make them: numbers, rates, reservations. Rules and values only; [`crate::store`] keeps the books.

mod port;

pub use port::{Answer, CallRef, End, Grant, Kind, Micros, NewCall, Query, Refused};
