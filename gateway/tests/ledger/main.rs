//! Money: what calls reserve, cost and leave, over a real database.

mod books;
mod crash;
mod support;
