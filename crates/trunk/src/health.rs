//! Whether a trunk, and each of its addresses, can be called.
//!
//! ```text
//!   Up ── two failures in a row ──▶ Down ── two responses in a row ──▶ Up
//!   either ── 503 with Retry-After ──▶ rests for that time
//! ```
//!
//! A failure is a time-out, a connection that cannot be opened, or 503: of a call as of OPTIONS. Without OPTIONS nothing would find out that a
//! trunk is back: so it is not down, it rests for a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use offhook_ua::time::Instant;

/// Failures in a row that make a trunk down, and responses in a row that make it up.
const TURN: u32 = 2;
/// How long a failed trunk without OPTIONS, or one address of several, rests.
const REST: Duration = Duration::from_secs(30);
/// The longest Retry-After that counts, s.
const LONGEST_REST: u32 = 600;

#[derive(Default)]
pub(super) struct Health {
    down: bool,
    /// Responses in a row while it is down, failures in a row while it is up.
    run: u32,
    rest: Instant,
    /// Addresses that were silent, and until when others come first.
    silent: BTreeMap<SocketAddr, Instant>,
}

impl Health {
    /// Whether calls may go there.
    pub(super) fn is_up(&self, now: Instant) -> bool {
        !self.down && now >= self.rest
    }

    pub(super) const fn is_down(&self) -> bool {
        self.down
    }

    /// Whether its last sign was a response while it is down, or a failure while it is up.
    pub(super) const fn is_unsure(&self) -> bool {
        self.run > 0
    }

    /// Takes note of a response. Whether it is up again with that.
    pub(super) fn answered(&mut self, address: SocketAddr) -> bool {
        self.silent.remove(&address);
        if !self.down {
            self.run = 0;
            return false;
        }
        self.run += 1;
        let up = self.run >= TURN;
        if up {
            self.down = false;
            self.run = 0;
        }
        up
    }

    /// Takes note of a failure. Whether it is down with that; `watched`: OPTIONS find out when it is back.
    pub(super) fn failed(&mut self, now: Instant, watched: bool) -> bool {
        if self.down {
            self.run = 0;
            return false;
        }
        self.run += 1;
        if self.run < TURN {
            return false;
        }
        self.run = 0;
        if watched {
            self.down = true;
        } else {
            self.rest = now + REST;
        }
        true
    }

    /// Takes a Retry-After in.
    pub(super) fn rest(&mut self, now: Instant, seconds: u32) {
        self.rest = self.rest.max(now + Duration::from_secs(seconds.min(LONGEST_REST).into()));
    }

    /// Takes note of one of its addresses that did not respond, or could not be reached.
    pub(super) fn silent(&mut self, now: Instant, address: SocketAddr) {
        self.silent.retain(|_, until| *until > now);
        self.silent.insert(address, now + REST);
    }

    /// Sorts addresses: those that failed lately last, else in their order.
    pub(super) fn order(&self, now: Instant, addresses: &mut [SocketAddr]) {
        addresses.sort_by_key(|address| self.silent.get(address).is_some_and(|until| *until > now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_take_a_trunk_down_and_two_answers_up() {
        let (now, address) = (Instant::from_millis(1), SocketAddr::from(([192, 0, 2, 1], 5060)));
        let mut health = Health::default();
        assert!(!health.failed(now, true) && health.is_up(now));
        assert!(!health.answered(address));
        assert!(!health.failed(now, true), "the answer between counts");
        assert!(health.failed(now, true) && !health.is_up(now));
        assert!(!health.answered(address) && !health.failed(now, true) && !health.answered(address));
        assert!(health.answered(address) && health.is_up(now));
    }

    #[test]
    fn a_trunk_without_options_rests_after_failures() {
        let now = Instant::from_millis(1);
        let mut health = Health::default();
        assert!(!health.failed(now, false) && health.failed(now, false));
        assert!(!health.is_up(now) && health.is_up(now + REST));
        health.rest(now, u32::MAX);
        assert!(!health.is_up(now + Duration::from_millis(599_999)) && health.is_up(now + Duration::from_secs(600)));
    }
}
