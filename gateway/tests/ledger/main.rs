//! Money: what calls reserve, cost and leave, over a real database.

mod books;
mod clock;
mod crash;
mod disk;
mod pace;
mod support;
