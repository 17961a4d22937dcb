//! Connections on which nothing was said yet, and which of them gives way where there are too many: the oldest of the address that has
//! most of them. So a flood makes room for itself, and whoever has one connection and is about to speak keeps it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::network::customer;

/// The silent ones; the lower `I`, the longer they are here.
#[derive(Clone, Debug)]
pub struct Silent<I> {
    owners: BTreeMap<I, Owner<I>>,
    groups: BTreeMap<Owner<I>, BTreeSet<I>>,
    /// By how many there are of an owner, then by how long the oldest of these is here.
    order: BTreeSet<(usize, Reverse<I>)>,
}

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<I> {
    Customer(IpAddr),
    /// Nobody knows yet: each is one of its own.
    Unknown(I),
}

impl<I: Copy + Ord> Default for Silent<I> {
    fn default() -> Self {
        Self { owners: BTreeMap::new(), groups: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<I: Copy + Ord> Silent<I> {
    /// A connection has come, from `address` where that is known.
    pub fn insert(&mut self, id: I, address: Option<IpAddr>) {
        let owner = address.map_or(Owner::Unknown(id), |address| Owner::Customer(customer(address)));
        self.owners.insert(id, owner);
        self.change(owner, |group| group.insert(id));
    }

    /// It has spoken, or is gone; false where it was none of these.
    pub fn remove(&mut self, id: I) -> bool {
        let Some(owner) = self.owners.remove(&id) else { return false };
        self.change(owner, |group| group.remove(&id));
        true
    }

    /// Who gives way.
    #[must_use]
    pub fn first_to_go(&self) -> Option<I> {
        self.order.last().map(|(_, Reverse(oldest))| *oldest)
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn contains(&self, id: I) -> bool {
        self.owners.contains_key(&id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether there is none.
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
    fn a_crowd_goes_before_those_who_came_alone() {
        let mut silent = Silent::default();
        silent.insert(1, address("192.0.2.1"));
        (2..5).for_each(|id| silent.insert(id, address("192.0.2.2")));
        (5..7).for_each(|id| silent.insert(id, address("192.0.2.3")));
        assert_eq!(leaving(&mut silent), [2, 3, 5, 1, 4, 6]);
        assert!(silent.is_empty() && silent.first_to_go().is_none() && silent.groups.is_empty() && silent.order.is_empty());
    }

    #[test]
    fn where_each_came_alone_the_oldest_goes() {
        let mut silent = Silent::default();
        silent.insert(1, None);
        silent.insert(2, address("192.0.2.2"));
        silent.insert(3, None);
        assert!(silent.remove(2) && !silent.remove(2));
        assert_eq!((silent.len(), leaving(&mut silent)), (2, vec![1, 3]));
    }

    #[test]
    fn an_ipv6_customer_is_one() {
        let mut silent = Silent::default();
        silent.insert(1, address("2001:db8:0:1::1"));
        silent.insert(2, address("2001:db8::1"));
        silent.insert(3, address("2001:db8::ffff:2"));
        assert_eq!(silent.first_to_go(), Some(2));
    }
}
