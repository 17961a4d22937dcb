//! The trunks of the gateway in virtual time: no socket, no clock, no resolver. Each test is one scenario that a provider plays.

#[path = "trunk/calls.rs"]
mod calls;
#[path = "trunk/digest.rs"]
mod digest;
#[path = "trunk/health.rs"]
mod health;
#[path = "trunk/links.rs"]
mod links;
#[path = "trunk/losses.rs"]
mod losses;
#[path = "trunk/registration.rs"]
mod registration;
#[path = "trunk/routes.rs"]
mod routes;
#[path = "trunk/strangers.rs"]
mod strangers;
#[path = "trunk/world.rs"]
mod world;
