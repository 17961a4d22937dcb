//! Order by rank, and among equals by chance according to weight (RFC 2782).

use offhook_ua::random::Random;

/// Returns the items in the order in which they are to be tried: by ascending rank; among equals at random, each with a probability in proportion
/// to its weight, and those with a weight of 0 last.
pub fn order<T, R: Ord>(mut items: Vec<T>, rank: impl Fn(&T) -> R, weight: impl Fn(&T) -> u64, random: &mut Random) -> Vec<T> {
    items.sort_by_key(&rank);
    let mut ordered = Vec::with_capacity(items.len());
    while let Some(first) = items.first() {
        let least = rank(first);
        let equal = items.iter().take_while(|item| rank(item) == least).count();
        let total: u64 = items[..equal].iter().map(&weight).sum();
        let mut mark = random.below(total);
        let chosen = items[..equal].iter().position(|item| {
            let within = mark < weight(item);
            mark = mark.saturating_sub(weight(item));
            within
        });
        ordered.push(items.remove(chosen.unwrap_or(0)));
    }
    ordered
}
