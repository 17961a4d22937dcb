//! Connections on which nothing was received yet, and which of them is evicted where there are too many: the oldest one of the address that has
//! most of them. So a flood evicts its own connections, and a client with a single connection keeps it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::network::customer;

/// The silent connections by id; ids increase with time.
#[derive(Clone, Debug)]
pub struct Silent<I> {
    owners: BTreeMap<I, Owner<I>>,
    groups: BTreeMap<Owner<I>, BTreeSet<I>>,
    /// The number of connections of each owner with the oldest of them; the last entry is evicted first.
    order: BTreeSet<(usize, Reverse<I>)>,
}

/// The owner of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<I> {
    Customer(IpAddr),
    /// Not known yet: each connection has an owner of its own.
    Unknown(I),
}

impl<I: Copy + Ord> Default for Silent<I> {
    fn default() -> Self {
        Self { owners: BTreeMap::new(), groups: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<I: Copy + Ord> Silent<I> {
    /// A connection was opened, from `address` if that is known.
    pub fn insert(&mut self, id: I, address: Option<IpAddr>) {
        let owner = address.map_or(Owner::Unknown(id), |address| Owner::Customer(customer(address)));
        self.owners.insert(id, owner);
        self.change(owner, |group| group.insert(id));
    }

    /// A message was received on the connection, or it is closed; false where it was not a silent one.
    pub fn remove(&mut self, id: I) -> bool {
        let Some(owner) = self.owners.remove(&id) else { return false };
        self.change(owner, |group| group.remove(&id));
        true
    }

    /// Returns the connection to be evicted first.
    #[must_use]
    pub fn first_to_go(&self) -> Option<I> {
        self.order.last().map(|(_, Reverse(oldest))| *oldest)
    }

    /// Whether the connection is silent.
    #[must_use]
    pub fn contains(&self, id: I) -> bool {
        self.owners.contains_key(&id)
    }

    /// Returns the number of silent connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether there is no silent connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    fn change(&mut self, owner: Owner<I>, change: impl FnOnce(&mut BTreeSet<I>) -> bool) {
        let place = |group: &BTreeSet<I>| group.first().map(|oldest| (group.len(), Reverse(*oldest)));
        let group = self.groups.entry(owner).or_default();
        let before = place(group);
        change(group);
        let after = place(group);
        before.map(|place| self.order.remove(&place));
        match after {
            Some(place) => drop(self.order.insert(place)),
            None => drop(self.groups.remove(&owner)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    fn leaving(silent: &mut Silent<u32>) -> Vec<u32> {
        std::iter::from_fn(|| silent.first_to_go().inspect(|id| assert!(silent.remove(*id)))).collect()
    }

    #[test]
    fn the_address_with_most_connections_is_evicted_first() {
        let mut silent = Silent::default();
        silent.insert(1, address("192.0.2.1"));
        (2..5).for_each(|id| silent.insert(id, address("192.0.2.2")));
        (5..7).for_each(|id| silent.insert(id, address("192.0.2.3")));
        assert_eq!(leaving(&mut silent), [2, 3, 5, 1, 4, 6]);
        assert!(silent.is_empty() && silent.first_to_go().is_none() && silent.groups.is_empty() && silent.order.is_empty());
    }

    #[test]
    fn of_single_connections_the_oldest_is_evicted() {
        let mut silent = Silent::default();
        silent.insert(1, None);
        silent.insert(2, address("192.0.2.2"));
        silent.insert(3, None);
        assert!(silent.remove(2) && !silent.remove(2));
        assert_eq!((silent.len(), leaving(&mut silent)), (2, vec![1, 3]));
    }

    #[test]
    fn connections_of_an_ipv6_network_count_together() {
        let mut silent = Silent::default();
        silent.insert(1, address("2001:db8:0:1::1"));
        silent.insert(2, address("2001:db8::1"));
        silent.insert(3, address("2001:db8::ffff:2"));
        assert_eq!(silent.first_to_go(), Some(2));
    }
}
