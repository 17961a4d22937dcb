//! The paths of dialogs with trunks behind NAT: their Contact and Route name addresses that cannot be reached from outside.

use std::collections::BTreeMap;

use super::targets::Hop;

/// The most dialogs that are remembered; beyond that the oldest is evicted.
const MOST: usize = 10_000;

/// Paths by trunk and Call-ID: no trunk moves the calls of another.
#[derive(Default)]
pub(super) struct Paths {
    ways: BTreeMap<(usize, String), (u64, Hop)>,
    age: BTreeMap<u64, (usize, String)>,
    last: u64,
}

impl Paths {
    pub(super) fn learn(&mut self, call_id: &str, hop: Hop) {
        let key = (hop.trunk, call_id.to_owned());
        if let Some((_, known)) = self.ways.get_mut(&key) {
            *known = hop;
            return;
        }
        if self.ways.len() >= MOST
            && let Some((_, oldest)) = self.age.pop_first()
        {
            self.ways.remove(&oldest);
        }
        self.last += 1;
        self.ways.insert(key.clone(), (self.last, hop));
        self.age.insert(self.last, key);
    }

    pub(super) fn forget(&mut self, trunk: usize, call_id: &str) {
        if let Some((age, _)) = self.ways.remove(&(trunk, call_id.to_owned())) {
            self.age.remove(&age);
        }
    }

    pub(super) fn of(&self, trunk: usize, call_id: &str) -> Option<Hop> {
        self.ways.get(&(trunk, call_id.to_owned())).map(|(_, hop)| *hop)
    }

    pub(super) fn len(&self) -> usize {
        self.ways.len()
    }
}
