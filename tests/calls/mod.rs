//! The world that the tests in virtual time share: a server, pages, the network between them, and the steps that most tests take.

pub mod ladder;
pub mod server;
pub mod steps;
pub mod world;
