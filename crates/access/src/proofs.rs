//! Limits for failed authentication. Each failure, with any kind of credentials (password, ticket, JWT, session, signature, secret, the
//! operator's token) and on any interface, counts against two budgets of a minute: that of the source address, and that of the user. A success
//! counts against neither.
//!
//! ```text
//!   the budget of the address is used up ┬─ the user has authenticated from it before ──▶ three more attempts for this user
//!                                        └─ else ──▶ nothing from the address is verified until the minute is over
//!
//!                                        ┌─ the user has authenticated from the address before ──▶ verified
//!   the budget of the user is used up ───┼─ the address has failed three times for this user ──▶ not verified until the minute is over
//!                                        └─ else ──▶ verified
//! ```
//!
//! So guessing is limited, and nobody can lock out a user by failing in its name, nor other users behind the same address who have
//! authenticated before. A user who does not exist has a budget, too, so nobody learns which users exist.
//!
//! Order of calls: [`Proofs::wait`] before credentials are verified, then [`Proofs::failed`] or [`Proofs::proven`]; [`Proofs::tell`] regularly.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offhook_ua::time::Instant;
use sha2::{Digest as _, Sha256};

use crate::network::customer;

/// How long a budget lasts, beginning with the first failure.
const MINUTE: Duration = Duration::from_secs(60);
/// How long it is remembered that a user has authenticated from an address.
const WEEK: Duration = Duration::from_secs(604_800);
/// Failures that an address may have for a user whose budget is used up.
const FIRST: u32 = 3;
/// The largest number of addresses, of users, and of pairs of them that are stored; the oldest are evicted.
const MOST: usize = 32_768;
/// The largest number of single events between two calls of [`Proofs::tell`]; further ones are only counted.
const TOLD: usize = 10;

/// The reason for the rejection of credentials that are not verified, also in the metrics.
pub const TOO_MANY: &str = "Too many failed attempts";

/// The budgets. Clones share them: everything that verifies credentials has a clone.
#[derive(Clone, Debug, Default)]
pub struct Proofs {
    per_address: u32,
    per_user: u32,
    state: Arc<Mutex<State>>,
}

/// A claimed identity, and the address that it was claimed from.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The source address.
    pub address: IpAddr,
    /// The application; empty for the operator and for trunks.
    pub application: &'a str,
    /// The user; empty for the application itself.
    pub user: &'a str,
}

/// An event for the log: one for each budget and minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Attempts from an address have failed within a minute.
    Address {
        /// The address; for IPv6 the first one of its network.
        address: IpAddr,
        /// How many.
        failed: u32,
        /// Whether the budget is used up: nothing more from the address is verified until the minute is over.
        spent: bool,
    },
    /// The budget of a user is used up.
    User {
        /// The application, as it was claimed.
        application: String,
        /// The user, as it was claimed.
        user: String,
        /// How many attempts have failed.
        failed: u32,
    },
    /// The events that were only counted.
    Others {
        /// Addresses and users.
        budgets: u32,
        /// Attempts that failed.
        failed: u64,
    },
}

#[derive(Debug)]
struct State {
    addresses: Recent<IpAddr>,
    users: Recent<Subject>,
    pairs: Recent<(Subject, IpAddr)>,
    /// Addresses from which users have authenticated.
    proven: Recent<(Subject, IpAddr)>,
    told: Vec<Told>,
    others: (u32, u64),
}

/// A hash of application and user: its size does not depend on what a client sends.
type Subject = [u8; 16];

/// Counters that expire; the oldest is evicted where there are too many.
#[derive(Debug)]
struct Recent<K> {
    life: Duration,
    counts: BTreeMap<K, (Instant, u32)>,
    order: BTreeSet<(Instant, K)>,
}

impl Proofs {
    /// Returns budgets of this many failures a minute; 0 means no limit.
    #[must_use]
    pub fn new(per_address: u32, per_user: u32) -> Self {
        Self { per_address, per_user, state: Arc::default() }
    }

    /// Returns after how many seconds credentials for this claim will be verified again; `None`: they may be verified now.
    #[must_use]
    pub fn wait(&self, now: Instant, claim: &Claim<'_>) -> Option<u32> {
        let (state, subject, address) = (self.lock(), claim.subject(), customer(claim.address));
        let pair = (subject, address);
        let known = state.proven.count(now, &pair) > 0;
        let tried = state.pairs.spent(now, &pair, FIRST);
        let of_address = state.addresses.spent(now, &address, self.per_address);
        let of_address = of_address.and_then(|left| if known { Some(left.min(tried?)) } else { Some(left) });
        let of_user = state.users.spent(now, &subject, self.per_user).filter(|_| !known);
        let of_user = of_user.and_then(|left| Some(left.min(tried?)));
        of_address.max(of_user).map(|left| u32::try_from(left.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX))
    }

    /// The credentials were verified, and are wrong.
    pub fn failed(&self, now: Instant, claim: &Claim<'_>) {
        let (mut state, subject, address) = (self.lock(), claim.subject(), customer(claim.address));
        state.sweep(now, self.per_address);
        state.pairs.add(now, (subject, address));
        let failed = state.addresses.add(now, address);
        if failed == self.per_address {
            state.note(Told::Address { address, failed, spent: true }, failed);
        }
        let failed = state.users.add(now, subject);
        if failed == self.per_user {
            let (application, user) = (claim.application.to_owned(), claim.user.to_owned());
            state.note(Told::User { application, user, failed }, failed);
        }
    }

    /// The credentials were verified, and are right.
    pub fn proven(&self, now: Instant, claim: &Claim<'_>) {
        let (mut state, pair) = (self.lock(), (claim.subject(), customer(claim.address)));
        state.proven.forget(&pair);
        state.proven.add(now, pair);
    }

    /// Returns the events since the last call: budgets that were used up, and the failures of other addresses whose minute is over.
    #[must_use]
    pub fn tell(&self, now: Instant) -> Vec<Told> {
        let mut state = self.lock();
        state.sweep(now, self.per_address);
        let (budgets, failed) = std::mem::take(&mut state.others);
        let mut told = std::mem::take(&mut state.told);
        told.extend((budgets > 0).then_some(Told::Others { budgets, failed }));
        told
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    fn subject(&self) -> Subject {
        let mut hash = Sha256::new();
        hash.update((self.application.len() as u64).to_be_bytes());
        hash.update(self.application.as_bytes());
        hash.update(self.user.as_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        *digest.first_chunk().expect("a digest has 32 octets")
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            addresses: Recent::new(MINUTE),
            users: Recent::new(MINUTE),
            pairs: Recent::new(MINUTE),
            proven: Recent::new(WEEK),
            told: Vec::new(),
            others: (0, 0),
        }
    }
}

impl State {
    /// Notes the failures of addresses whose minute is over, unless they were reported when the budget was used up.
    fn sweep(&mut self, now: Instant, per_address: u32) {
        while let Some((address, failed)) = self.addresses.pop(now) {
            if failed < per_address || per_address == 0 {
                self.note(Told::Address { address, failed, spent: false }, failed);
            }
        }
    }

    fn note(&mut self, told: Told, failed: u32) {
        if self.told.len() < TOLD {
            return self.told.push(told);
        }
        self.others.0 += 1;
        self.others.1 += u64::from(failed);
    }
}

impl<K: Clone + Ord> Recent<K> {
    const fn new(life: Duration) -> Self {
        Self { life, counts: BTreeMap::new(), order: BTreeSet::new() }
    }

    fn count(&self, now: Instant, key: &K) -> u32 {
        self.counts.get(key).filter(|(since, _)| now - *since < self.life).map_or(0, |(_, count)| *count)
    }

    /// Returns how long the counter will stay at `most` or above; `None` where it is below.
    fn spent(&self, now: Instant, key: &K, most: u32) -> Option<Duration> {
        let spent = most > 0 && self.count(now, key) >= most;
        self.counts.get(key).filter(|_| spent).map(|(since, _)| self.life - (now - *since))
    }

    /// Increments a counter, and returns its value.
    fn add(&mut self, now: Instant, key: K) -> u32 {
        while self.pop(now).is_some() {}
        if let Some((_, count)) = self.counts.get_mut(&key) {
            *count = count.saturating_add(1);
            return *count;
        }
        self.counts.insert(key.clone(), (now, 1));
        self.order.insert((now, key));
        1
    }

    /// Removes a counter that has expired, or has to be evicted.
    fn pop(&mut self, now: Instant) -> Option<(K, u32)> {
        let (since, key) = self.order.first()?;
        let over = now - *since >= self.life || self.counts.len() >= MOST;
        let key = over.then(|| key.clone())?;
        self.forget(&key).map(|count| (key, count))
    }

    fn forget(&mut self, key: &K) -> Option<u32> {
        let (since, count) = self.counts.remove(key)?;
        self.order.remove(&(since, key.clone()));
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_made_up_names_nor_many_addresses_fill_the_memory() {
        let (proofs, now) = (Proofs::new(60, 60), Instant::from_millis(1_000_000));
        for number in 0..100_000_u32 {
            let (address, user) = (IpAddr::from(number.to_be_bytes()), number.to_string());
            let claim = Claim { address, application: "shop", user: &user };
            proofs.failed(now, &claim);
            proofs.proven(now, &claim);
        }
        let told = proofs.tell(now);
        let state = proofs.lock();
        let sizes = [state.addresses.counts.len(), state.users.counts.len(), state.pairs.counts.len(), state.proven.counts.len()];
        assert!(sizes.iter().all(|size| *size <= MOST), "{sizes:?}");
        assert_eq!(state.addresses.order.len(), state.addresses.counts.len());
        assert_eq!(told.len(), TOLD + 1, "{told:?}");
    }

    #[test]
    fn each_address_is_told_once_a_minute() {
        let (proofs, now) = (Proofs::new(3, 100), Instant::from_millis(1_000_000));
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let fail = |last, times| {
            let claim = Claim { address: address(last), application: "shop", user: "alice" };
            (0..times).for_each(|_| proofs.failed(now, &claim));
        };
        fail(1, 2);
        assert_eq!(proofs.tell(now), []);
        fail(2, 10);
        assert_eq!(proofs.tell(now), [Told::Address { address: address(2), failed: 3, spent: true }]);
        assert_eq!(proofs.tell(now + Duration::from_millis(59_999)), []);
        assert_eq!(proofs.tell(now + Duration::from_secs(60)), [Told::Address { address: address(1), failed: 2, spent: false }]);
        assert_eq!(proofs.tell(now + Duration::from_secs(600)), []);
    }
}
