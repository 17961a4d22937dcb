//! The media of calls in virtual time: a page (str0m, as a browser would use it) on one side, a phone on the other.

#[path = "media/world.rs"]
mod world;

#[path = "media/attacks.rs"]
mod attacks;
#[path = "../../tests/support/descriptions.rs"]
mod descriptions;
#[path = "media/edge.rs"]
mod edge;
#[path = "media/losses.rs"]
mod losses;
#[path = "media/odd_descriptions.rs"]
mod odd_descriptions;
#[path = "media/offers.rs"]
mod offers;
#[path = "media/pages.rs"]
mod pages;
#[path = "media/phones.rs"]
mod phones;
#[path = "media/sounds.rs"]
mod sounds;
#[path = "media/srtp.rs"]
mod srtp;
#[path = "media/tone.rs"]
#[expect(dead_code, reason = "shared with the tests of sound")]
mod tone;
