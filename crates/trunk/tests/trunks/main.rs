//! The trunks of the gateway in virtual time: no socket, no clock, no resolver. Each test is one scenario that a provider plays.

mod calls;
mod connections;
mod digest;
mod health;
mod log;
mod losses;
mod registration;
mod routes;
mod untrusted;
mod world;
