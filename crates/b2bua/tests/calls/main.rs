//! Calls through the B2BUA in virtual time: a real page over the real switch on one side, a scripted carrier behind real trunks on the
//! other, and stand-ins for media, ledger and store that answer values.

mod alone;
mod bodies;
mod credit;
mod emergency;
mod endings;
mod in_dialog;
mod incoming;
mod log;
mod outgoing;
mod page;
mod races;
mod reliable;
mod routes;
mod senders;
mod session_timers;
mod telephones;
mod test_numbers;
mod world;
