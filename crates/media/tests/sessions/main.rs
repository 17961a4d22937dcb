//! The media of calls in virtual time: a page (str0m, as a browser would use it) on one side, a phone on the other.

mod world;

mod attacks;
mod losses;
mod odd_descriptions;
mod offers;
mod pages;
mod phones;
mod sounds;
mod srtp;
