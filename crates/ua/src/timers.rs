//! Timers of a machine, each at most once. `T` says what is waited for.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Instant;

/// The timers that run.
#[derive(Debug)]
pub struct Timers<T> {
    due: BTreeSet<(Instant, T)>,
    at: BTreeMap<T, Instant>,
}

impl<T: Clone + Ord> Timers<T> {
    /// Starts a timer, or moves it.
    pub fn set(&mut self, timer: T, at: Instant) {
        self.clear(&timer);
        self.due.insert((at, timer.clone()));
        self.at.insert(timer, at);
    }

    /// Starts a timer unless it runs.
    pub fn start(&mut self, timer: T, at: Instant) {
        if !self.at.contains_key(&timer) {
            self.set(timer, at);
        }
    }

    /// Stops a timer.
    pub fn clear(&mut self, timer: &T) {
        if let Some(at) = self.at.remove(timer) {
            self.due.remove(&(at, timer.clone()));
        }
    }

    /// The next timer that has come.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        let (at, timer) = self.due.first().filter(|(at, _)| *at <= now).cloned()?;
        self.due.remove(&(at, timer.clone()));
        self.at.remove(&timer);
        Some(timer)
    }

    /// When the next timer comes.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { due: BTreeSet::new(), at: BTreeMap::new() }
    }
}
