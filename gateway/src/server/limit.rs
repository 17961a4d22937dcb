//! Budgets: how often one address may do something costly, and how many connections it may hold.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use offhook::time::Instant;

use crate::metrics::Metrics;

/// Addresses that are remembered at most; beyond, the fullest budgets are forgotten first.
const REMEMBERED: usize = 10_000;

/// One address, or the network that one customer has: an IPv6 /64.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A token bucket: `burst` at once, then `per_minute`.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// In 60,000ths of a token, so that a millisecond adds a whole number.
    level: u64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn full(now: Instant, burst: u32) -> Self {
        Self { level: u64::from(burst) * 60_000, filled: now }
    }

    /// Takes one token; false where there is none.
    pub fn take(&mut self, now: Instant, per_minute: u32, burst: u32) -> bool {
        let most = u64::from(burst) * 60_000;
        self.level = self.level.saturating_add((now - self.filled).saturating_mul(u64::from(per_minute))).min(most);
        self.filled = now;
        let enough = self.level >= 60_000;
        if enough {
            self.level -= 60_000;
        }
        enough
    }
}

/// A budget for each address.
#[derive(Debug)]
pub struct Budgets {
    per_minute: u32,
    buckets: Mutex<BTreeMap<IpAddr, Bucket>>,
}

impl Budgets {
    /// `per_minute` for each address, all of them at once if need be.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute, buckets: Mutex::default() }
    }

    /// Takes one from the budget of `address`; false where nothing is left.
    pub fn take(&self, now: Instant, address: IpAddr) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED {
            // A budget that nobody touched for a minute is full again: forgetting it changes nothing.
            buckets.retain(|_, bucket| now - bucket.filled < 60_000);
        }
        let full = buckets.len() >= REMEMBERED && !buckets.contains_key(&network(address));
        let bucket = buckets.entry(network(address)).or_insert_with(|| Bucket::full(now, self.per_minute));
        let allowed = !full && bucket.take(now, self.per_minute, self.per_minute);
        if full {
            buckets.remove(&network(address));
        }
        allowed
    }
}

/// Connections that are open, in all and of each address.
pub struct Places {
    most: usize,
    most_per_address: usize,
    metrics: Arc<Metrics>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

impl Places {
    /// `most` connections, of which one address may have `most_per_address`.
    #[must_use]
    pub fn new(most: usize, most_per_address: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, metrics, taken: Mutex::default() })
    }

    /// A place for one connection, or why there is none.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, &'static str> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        if taken.all >= self.most {
            return Err("too many connections");
        }
        if taken.by_address.get(&address).is_some_and(|&count| count >= self.most_per_address) {
            return Err("too many connections of one address");
        }
        taken.all += 1;
        *taken.by_address.entry(address).or_default() += 1;
        self.metrics.connections.inc();
        Ok(Place { places: Arc::clone(self), address })
    }
}

/// The place of one connection; free again when dropped.
pub struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
        self.places.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_fills_again() {
        let budgets = Budgets::new(2);
        let (now, address) = (Instant::from_millis(1_000_000), "192.0.2.1".parse().expect("an address"));
        assert!(budgets.take(now, address) && budgets.take(now, address) && !budgets.take(now, address));
        assert!(!budgets.take(now + 29_999, address) && budgets.take(now + 30_000, address));
        assert!(budgets.take(now, "192.0.2.2".parse().expect("another")));
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(network(parse("2001:db8::1")), network(parse("2001:db8::ffff:2")));
        assert_ne!(network(parse("2001:db8:0:1::1")), network(parse("2001:db8::1")));
        assert_eq!(network(parse("::ffff:192.0.2.1")), parse("192.0.2.1"));
    }

    #[test]
    fn a_place_is_free_again() {
        let places = Places::new(2, 1, Arc::default());
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        let Ok(first) = places.take(parse("192.0.2.1")) else { panic!("the first") };
        assert!(places.take(parse("192.0.2.1")).is_err());
        let Ok(_second) = places.take(parse("192.0.2.2")) else { panic!("another address") };
        assert!(places.take(parse("192.0.2.3")).is_err());
        drop(first);
        assert!(places.take(parse("192.0.2.3")).is_ok());
    }
}
