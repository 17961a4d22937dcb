//! Calls that leave the browser's world, to telephones and SIP addresses, and those that come from there.

mod test_number;

pub use test_number::TestNumber;
