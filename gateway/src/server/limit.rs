//! Limits of single addresses: how often they may cause something expensive, and how many connections they may have.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offhook_access::bucket::Bucket;
use offhook_access::network::customer;
use offhook_access::silent::Silent;
use offhook_ua::time::Instant;
use tokio::task::AbortHandle;

use crate::metrics::Metrics;

/// The largest number of addresses that are stored; the fullest budgets are evicted first.
const REMEMBERED: usize = 10_000;

/// A budget for each address.
#[derive(Debug)]
pub struct Budgets {
    per_minute: u32,
    buckets: Mutex<BTreeMap<IpAddr, Bucket>>,
}

impl Budgets {
    /// Returns budgets of `per_minute` for each address, which may also be used all at once.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute, buckets: Mutex::default() }
    }

    /// Takes one from the budget of `address`; false where nothing is left.
    pub fn take(&self, now: Instant, address: IpAddr) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED {
            // A budget that was not used for a minute is full: nothing is lost by its eviction.
            buckets.retain(|_, bucket| now - bucket.used() < Duration::from_secs(60));
        }
        let full = buckets.len() >= REMEMBERED && !buckets.contains_key(&customer(address));
        let bucket = buckets.entry(customer(address)).or_insert_with(|| Bucket::full(now, self.per_minute));
        let allowed = !full && bucket.draw(now, self.per_minute, self.per_minute);
        if full {
            buckets.remove(&customer(address));
        }
        allowed
    }
}

/// Connections that are open, in all and of each address. Those that have not asked for anything yet are silent, and those that are
/// being closed are again: where there are too many of them, or no place is left, one is evicted. So half-open connections fill neither
/// the memory nor the places of others.
pub struct Places {
    most: usize,
    most_per_address: usize,
    most_silent: usize,
    metrics: Arc<Metrics>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
    silent: Silent<PlaceId>,
    /// The tasks that serve silent connections.
    tasks: BTreeMap<PlaceId, AbortHandle>,
    last: u64,
}

/// The id of a connection; ids increase with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaceId(u64);

impl Places {
    /// Allows `most` connections, `most_per_address` of them from one address, and `most_silent` silent ones.
    #[must_use]
    pub fn new(most: usize, most_per_address: usize, most_silent: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, most_silent, metrics, taken: Mutex::default() })
    }

    /// The task that serves a connection, to be ended where it is evicted.
    pub fn served_by(&self, id: PlaceId, task: AbortHandle) {
        let mut taken = self.lock();
        if taken.silent.contains(id) {
            taken.tasks.insert(id, task);
        }
    }

    /// The connection is being closed: from now on it may be evicted. Whoever waits for its end is named by [`Places::served_by`].
    pub fn goes(&self, id: PlaceId, address: Option<IpAddr>) {
        let first = self.lock().come(id, address, self.most_silent);
        self.evict(first);
    }

    /// The connection has requested something.
    pub fn stays(&self, id: PlaceId) {
        self.lock().leave(id);
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn evict(&self, first: Option<AbortHandle>) {
        if let Some(first) = first {
            first.abort();
            self.metrics.refused("too many silent connections");
        }
    }

    /// Returns a place for one connection, or the reason why there is none.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, &'static str> {
        self.place(true, Some(customer(address)))
    }

    /// Returns a place for a connection of a proxy, whose clients are known only by its requests.
    pub fn take_unnamed(self: &Arc<Self>) -> Result<Place, &'static str> {
        self.place(true, None)
    }

    /// Returns the part of the limit of `address` that a connection of a proxy takes.
    pub fn share(self: &Arc<Self>, address: IpAddr) -> Result<Place, &'static str> {
        self.place(false, Some(customer(address)))
    }

    fn place(self: &Arc<Self>, connection: bool, address: Option<IpAddr>) -> Result<Place, &'static str> {
        let mut taken = self.lock();
        let full = connection && taken.all >= self.most;
        if full && !taken.silent.first_to_go().is_some_and(|first| taken.tasks.contains_key(&first)) {
            return Err("too many connections");
        }
        if let Some(address) = address {
            let count = taken.by_address.entry(address).or_default();
            if *count >= self.most_per_address {
                return Err("too many connections of one address");
            }
            *count += 1;
        }
        taken.last += 1;
        let id = PlaceId(taken.last);
        if connection {
            taken.all += 1;
            self.metrics.connections.inc();
            let first = taken.come(id, address, if full { 0 } else { self.most_silent });
            self.evict(first);
        }
        Ok(Place { places: Arc::clone(self), connection, address, id })
    }
}

impl Taken {
    /// A connection becomes silent; returns the task of the one that is evicted for it where there are `most` already.
    fn come(&mut self, id: PlaceId, address: Option<IpAddr>, most: usize) -> Option<AbortHandle> {
        self.leave(id);
        let first = self.silent.first_to_go().filter(|_| self.silent.len() >= most);
        self.silent.insert(id, address);
        first.and_then(|first| self.leave(first))
    }

    /// A connection is no longer silent, or is closed.
    fn leave(&mut self, id: PlaceId) -> Option<AbortHandle> {
        self.silent.remove(id);
        self.tasks.remove(&id)
    }
}

/// The place of one connection, or its part of the limit of an address; freed when dropped.
pub struct Place {
    places: Arc<Places>,
    connection: bool,
    address: Option<IpAddr>,
    id: PlaceId,
}

impl Place {
    /// Returns the id of the connection.
    #[must_use]
    pub const fn id(&self) -> PlaceId {
        self.id
    }

    /// Lets `task`, which gets this place, wait for the end of a connection that is being closed, unless it is evicted.
    pub fn close_with(self, task: impl FnOnce(Self) -> AbortHandle) {
        let (places, id) = (Arc::clone(&self.places), self.id);
        places.goes(id, self.address);
        let task = task(self);
        places.served_by(id, task);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.leave(self.id);
        if let Some(address) = self.address
            && let Some(here) = taken.by_address.get_mut(&address)
        {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&address);
            }
        }
        if self.connection {
            taken.all -= 1;
            self.places.metrics.connections.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_is_refilled_with_time() {
        let budgets = Budgets::new(2);
        let (now, address) = (Instant::from_millis(1_000_000), "192.0.2.1".parse().expect("an address"));
        assert!(budgets.take(now, address) && budgets.take(now, address) && !budgets.take(now, address));
        assert!(
            !budgets.take(now + Duration::from_millis(29_999), address) && budgets.take(now + Duration::from_secs(30), address)
        );
        assert!(budgets.take(now, "192.0.2.2".parse().expect("another")));
    }

    #[test]
    fn a_closed_connection_frees_its_place() {
        let places = Places::new(2, 1, 100, Arc::default());
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        let Ok(first) = places.take(parse("192.0.2.1")) else { panic!("the first") };
        assert!(places.take(parse("192.0.2.1")).is_err());
        let Ok(_second) = places.take(parse("192.0.2.2")) else { panic!("another address") };
        assert!(places.take(parse("192.0.2.3")).is_err());
        drop(first);
        assert!(places.take(parse("192.0.2.3")).is_ok());
    }

    #[tokio::test]
    async fn a_flood_of_silent_connections_evicts_its_own() {
        let places = Places::new(100, 100, 4, Arc::default());
        let visit = |last: u8| {
            let place = places.take(IpAddr::from([192, 0, 2, last])).unwrap_or_else(|why| panic!("{why}"));
            let task = tokio::spawn(std::future::pending::<()>());
            places.served_by(place.id(), task.abort_handle());
            (place, task)
        };
        let (socket, stays) = visit(2);
        places.stays(socket.id());
        let (_alone, waits) = visit(1);
        let (_first, goes) = visit(2);
        let _others: Vec<_> = (0..20).map(|_| visit(2)).collect();
        assert!(goes.await.expect_err("never ends").is_cancelled(), "the oldest of those who are many");
        assert!(!stays.is_finished(), "it has asked for something");
        assert!(!waits.is_finished(), "it came alone");
    }

    #[tokio::test]
    async fn silent_connections_and_those_asked_to_close_are_evicted_at_the_limit() {
        let places = Places::new(3, 2, 100, Arc::default());
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        let visit = |address: &str| places.take(parse(address));
        let task = || tokio::spawn(std::future::pending::<()>());
        let [Ok(first), Ok(second), Ok(third)] = ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(visit) else { panic!("three places") };
        let tasks = [&first, &second, &third].map(|place| {
            let task = task();
            places.served_by(place.id(), task.abort_handle());
            task
        });
        places.stays(third.id());
        assert_eq!(visit("192.0.2.1").err(), Some("too many connections of one address"), "which displaces nobody");
        let fourth = visit("192.0.2.3").unwrap_or_else(|why| panic!("{why}"));
        let [goes, waits, stays] = tasks;
        assert!(goes.await.expect_err("never ends").is_cancelled(), "the oldest of those who are many");
        drop(first);
        assert!(!waits.is_finished() && !stays.is_finished());
        // All have asked for something: none is evicted, but for one that is being closed.
        places.stays(second.id());
        places.stays(fourth.id());
        assert_eq!(visit("192.0.2.4").err(), Some("too many connections"));
        let (closing, farewell) = (third.id(), task());
        let abort = farewell.abort_handle();
        third.close_with(|place| {
            std::mem::forget(place);
            abort
        });
        assert!(visit("192.0.2.4").is_ok());
        assert!(farewell.await.expect_err("never ends").is_cancelled());
        assert!(!places.lock().silent.contains(closing));
    }

    #[test]
    fn behind_a_proxy_each_client_address_has_its_limit() {
        let places = Places::new(3, 1, 100, Arc::default());
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        let connections: Vec<_> = (0..4).filter_map(|_| places.take_unnamed().ok()).collect();
        assert_eq!(connections.len(), 3, "the proxy has no share of its own, but the whole has its bound");
        let first = places.share(parse("192.0.2.1"));
        assert!(first.is_ok() && places.share(parse("192.0.2.1")).is_err() && places.share(parse("192.0.2.2")).is_ok());
        drop(first);
        assert!(places.share(parse("192.0.2.1")).is_ok());
    }
}
