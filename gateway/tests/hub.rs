//! The switch of the gateway in virtual time: no socket, no clock, no store. Each test is one scenario that telephones play.

#[path = "hub/admission.rs"]
mod admission;
#[path = "hub/calls.rs"]
mod calls;
#[path = "hub/clock.rs"]
mod clock;
/// What build.rs has found.
mod corpora {
    include!(concat!(env!("OUT_DIR"), "/corpora.rs"));
}
#[path = "hub/dialogs.rs"]
mod dialogs;
#[path = "hub/guesses.rs"]
mod guesses;
#[path = "hub/identity.rs"]
mod identity;
#[path = "hub/limits.rs"]
mod limits;
#[path = "hub/outside.rs"]
mod outside;
#[path = "support/page.rs"]
mod page;
#[path = "hub/pages.rs"]
mod pages;
#[path = "hub/random.rs"]
mod random;
#[path = "hub/reconnect.rs"]
mod reconnect;
#[path = "hub/registration.rs"]
mod registration;
#[path = "hub/sessions.rs"]
mod sessions;
#[path = "support/switch.rs"]
mod switch;
#[path = "support/text.rs"]
mod text;
#[path = "hub/threats.rs"]
mod threats;
#[path = "hub/tokens.rs"]
mod tokens;
#[path = "hub/world.rs"]
mod world;
