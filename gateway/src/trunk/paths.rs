//! On which way a dialog with a trunk behind NAT came: its Contact and Route name addresses that nobody outside can reach.

use std::collections::BTreeMap;

use super::targets::Hop;

/// The most dialogs that are remembered; of more the oldest is forgotten.
const MOST: usize = 10_000;

/// Ways by Call-ID.
#[derive(Default)]
pub(super) struct Paths {
    ways: BTreeMap<String, (u64, Hop)>,
    age: BTreeMap<u64, String>,
    last: u64,
}

impl Paths {
    pub(super) fn learn(&mut self, call_id: &str, hop: Hop) {
        if let Some((_, known)) = self.ways.get_mut(call_id) {
            *known = hop;
            return;
        }
        if self.ways.len() >= MOST
            && let Some((_, oldest)) = self.age.pop_first()
        {
            self.ways.remove(&oldest);
        }
        self.last += 1;
        self.ways.insert(call_id.to_owned(), (self.last, hop));
        self.age.insert(self.last, call_id.to_owned());
    }

    pub(super) fn forget(&mut self, call_id: &str) {
        if let Some((age, _)) = self.ways.remove(call_id) {
            self.age.remove(&age);
        }
    }

    pub(super) fn of(&self, call_id: &str) -> Option<Hop> {
        self.ways.get(call_id).map(|(_, hop)| *hop)
    }

    pub(super) fn len(&self) -> usize {
        self.ways.len()
    }
}
