//! Values by name, in order. What a `BTreeMap` does, in two levels and a third of the code, which every page pays for.

/// The most entries of one leaf: what a change moves. It is split in two when there are more.
const LEAF: usize = 256;

/// A sorted table in leaves: looking up takes O(log n) comparisons, a change moves at most one leaf.
pub struct Table<T> {
    /// None is empty. All names of a leaf come before those of the next.
    leaves: Vec<Vec<Entry<T>>>,
}

type Entry<T> = (String, Box<T>);

impl<T> Table<T> {
    pub const fn new() -> Self {
        Self { leaves: Vec::new() }
    }

    pub fn get(&self, name: &str) -> Option<&T> {
        let (leaf, entry) = self.position(name).ok()?;
        self.leaves.get(leaf)?.get(entry).map(|(_, value)| &**value)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        let (leaf, entry) = self.position(name).ok()?;
        self.leaves.get_mut(leaf)?.get_mut(entry).map(|(_, value)| &mut **value)
    }

    /// Puts `value` under `name`, instead of what was there.
    pub fn insert(&mut self, name: String, value: T) {
        let value = Box::new(value);
        match self.position(&name) {
            Ok((leaf, entry)) => self.leaves[leaf][entry].1 = value,
            Err(_) if self.leaves.is_empty() => self.leaves.push(vec![(name, value)]),
            Err((leaf, entry)) => {
                let entries = &mut self.leaves[leaf];
                entries.insert(entry, (name, value));
                if entries.len() > LEAF {
                    let upper = entries.split_off(LEAF / 2);
                    self.leaves.insert(leaf + 1, upper);
                }
            }
        }
    }

    pub fn remove(&mut self, name: &str) -> Option<Box<T>> {
        let (leaf, entry) = self.position(name).ok()?;
        let entries = self.leaves.get_mut(leaf)?;
        let (_, value) = entries.remove(entry);
        if entries.is_empty() {
            self.leaves.remove(leaf);
        }
        Some(value)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut T)> {
        self.leaves.iter_mut().flatten().map(|(name, value)| (name.as_str(), &mut **value))
    }

    pub fn len(&self) -> usize {
        self.leaves.iter().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Leaf and entry of `name`, or where they would have to be.
    fn position(&self, name: &str) -> Result<(usize, usize), (usize, usize)> {
        let after = self.leaves.partition_point(|leaf| leaf.first().is_some_and(|(first, _)| first.as_str() <= name));
        let leaf = after.saturating_sub(1);
        let entries = self.leaves.get(leaf).map_or(&[][..], Vec::as_slice);
        let entry = entries.binary_search_by(|(known, _)| known.as_str().cmp(name));
        entry.map(|entry| (leaf, entry)).map_err(|entry| (leaf, entry))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Table;
    use crate::random::Random;

    #[test]
    fn does_what_an_ordered_map_does() {
        let (mut table, mut model, mut random) = (Table::new(), BTreeMap::new(), Random::new([7; 32]));
        for step in 0..20_000_u64 {
            let name = random.below(3_000).to_string();
            // Grows at first, shrinks to nothing at last.
            if random.below(20_000) > step {
                table.insert(name.clone(), step);
                model.insert(name.clone(), step);
            } else {
                assert_eq!(table.remove(&name).map(|value| *value), model.remove(&name));
            }
            assert_eq!(table.get(&name), model.get(&name));
            assert_eq!((table.len(), table.is_empty()), (model.len(), model.is_empty()));
        }
        assert!(table.iter_mut().eq(model.iter_mut().map(|(name, value)| (name.as_str(), value))));
        for name in model.keys() {
            table.remove(name);
        }
        assert!(table.is_empty());
    }
}
