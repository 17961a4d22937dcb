//! The switch of the gateway in virtual time: no socket, no clock, no store. Each test is one scenario that telephones play.

mod admission;
mod calls;
mod clock;
mod dialogs;
mod guesses;
mod identity;
mod limits;
mod log;
mod outside;
mod page;
mod pages;
mod random;
mod reconnect;
mod registration;
mod sessions;
mod threats;
mod tokens;
