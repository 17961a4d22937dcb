//! Calls through the bridge in virtual time: a real page over the real switch on one side, a scripted carrier behind real trunks on the
//! other, and stand-ins for media, ledger and store that answer values.

#[path = "bridge/credit.rs"]
mod credit;
#[path = "bridge/emergency.rs"]
mod emergency;
#[path = "bridge/endings.rs"]
mod endings;
#[path = "bridge/incoming.rs"]
mod incoming;
#[path = "bridge/inside.rs"]
mod inside;
#[path = "bridge/outgoing.rs"]
mod outgoing;
#[path = "support/page.rs"]
mod page;
#[path = "bridge/races.rs"]
mod races;
#[path = "bridge/routes.rs"]
mod routes;
#[path = "bridge/session_timers.rs"]
mod session_timers;
#[path = "bridge/speakers.rs"]
mod speakers;
#[path = "support/switch.rs"]
mod switch;
#[path = "bridge/telephones.rs"]
mod telephones;
#[path = "bridge/test_numbers.rs"]
mod test_numbers;
#[path = "support/text.rs"]
mod text;
#[path = "bridge/world.rs"]
mod world;
