//! The timers of a state machine, identified by values of a type `T`; each value has at most one timer.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Instant;

/// The timers that run.
///
/// ```
/// use std::time::Duration;
///
/// use offhook_ua::time::Instant;
/// use offhook_ua::timers::Timers;
///
/// #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
/// enum Timer {
///     /// When to refresh the registration.
///     Refresh,
///     /// Time-out of a call that nobody answers.
///     Answer(u32),
/// }
///
/// let start = Instant::from_millis(0);
/// let mut timers = Timers::default();
/// timers.set(Timer::Refresh, start + Duration::from_secs(240));
/// timers.set(Timer::Answer(1), start + Duration::from_secs(45));
/// timers.set(Timer::Answer(2), start + Duration::from_secs(60));
/// timers.clear(&Timer::Answer(2));
///
/// let now = timers.next().expect("two timers are running");
/// assert_eq!((now - start, timers.len()), (Duration::from_secs(45), 2));
/// assert_eq!((timers.pop(now), timers.pop(now)), (Some(Timer::Answer(1)), None));
/// ```
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

    /// Removes and returns the next timer that is due.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        let (at, timer) = self.due.first().filter(|(at, _)| *at <= now).cloned()?;
        self.due.remove(&(at, timer.clone()));
        self.at.remove(&timer);
        Some(timer)
    }

    /// When the next timer is due.
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
