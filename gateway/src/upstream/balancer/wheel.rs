//! Turns by weight: a list in which each index stands as often as its weight asks, evenly spread.

use std::sync::atomic::{AtomicU32, Ordering};

use super::random;

/// The longest list. Weights without a common divisor are rounded to fit, to at least one entry each.
const MOST_ENTRIES: u64 = 1 << 15;
/// Counters, so that threads seldom share one.
const COUNTERS: usize = 16;

/// A list of turns. Each thread goes through it from a place of its own.
#[derive(Debug)]
pub(super) struct Wheel {
    entries: Box<[u16]>,
    counters: [Counter; COUNTERS],
}

/// A counter alone in its cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Counter(AtomicU32);

impl Wheel {
    /// Creates a list of `(index, weight)`; weights are above zero.
    pub(super) fn new(weights: &[(u16, u32)]) -> Self {
        let entries = spread(&entries_each(weights));
        let phase = |_| Counter(AtomicU32::new(random::below(entries.len() as u64) as u32));
        Self { counters: std::array::from_fn(phase), entries }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the index whose turn it is. The list is not empty.
    pub(super) fn next(&self) -> usize {
        let counter = &self.counters[random::thread() % COUNTERS];
        // Threads that share a counter may take the same turn: that costs less than a locked addition.
        let turn = counter.0.load(Ordering::Relaxed) as usize;
        let turn = if turn < self.entries.len() { turn } else { 0 };
        counter.0.store(turn as u32 + 1, Ordering::Relaxed);
        usize::from(self.entries[turn])
    }

    /// Returns an index at random, by weight. The list is not empty.
    pub(super) fn sample(&self) -> usize {
        usize::from(self.entries[random::below(self.entries.len() as u64) as usize])
    }
}

/// Returns how many entries each index gets.
fn entries_each(weights: &[(u16, u32)]) -> Vec<(u16, u64)> {
    let divisor = weights.iter().fold(0, |divisor, (_, weight)| greatest_common_divisor(divisor, *weight));
    let exact = weights.iter().map(|(index, weight)| (*index, u64::from(weight / divisor.max(1))));
    let sum: u64 = exact.clone().map(|(_, entries)| entries).sum();
    if sum <= MOST_ENTRIES {
        return exact.collect();
    }
    let scaled = |entries: u64| (entries as u128 * MOST_ENTRIES as u128 + sum as u128 / 2) / sum as u128;
    exact.map(|(index, entries)| (index, scaled(entries).max(1) as u64)).collect()
}

/// Orders the entries so that those of each index have equal distances, as far as that is possible.
fn spread(entries: &[(u16, u64)]) -> Box<[u16]> {
    let places = entries
        .iter()
        .flat_map(|(index, count)| (0..*count).map(move |n| ((((2 * n + 1) << 32) / (2 * count)), *index)));
    let mut places: Vec<(u64, u16)> = places.collect();
    places.sort_unstable();
    places.into_iter().map(|(_, index)| index).collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turns(wheel: &Wheel, count: usize) -> Vec<usize> {
        (0..count).map(|_| wheel.next()).collect()
    }

    #[test]
    fn one_round_follows_the_weights_exactly() {
        let wheel = Wheel::new(&[(0, 50), (1, 100), (2, 150)]);
        let mut round = turns(&wheel, 6);
        round.sort_unstable();
        assert_eq!(round, [0, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn turns_are_spread() {
        let wheel = Wheel::new(&[(0, 1), (1, 9)]);
        let round = turns(&wheel, 40);
        let at: Vec<usize> = (0..40).filter(|n| round[*n] == 0).collect();
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] == 10), "{at:?}");
    }

    #[test]
    fn many_entries_are_rounded() {
        let wheel = Wheel::new(&[(0, 65_535), (1, 65_534), (2, 1)]);
        assert!(wheel.entries.len() <= MOST_ENTRIES as usize + 3);
        assert!(wheel.entries.contains(&2));
    }

    #[test]
    fn no_member_gives_an_empty_list() {
        assert!(Wheel::new(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn shares_follow_weights(weights in prop::collection::vec(1u32..65_536, 1..50)) {
            let members: Vec<_> = weights.iter().enumerate().map(|(n, w)| (n as u16, *w)).collect();
            let wheel = Wheel::new(&members);
            let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (index, weight) in members {
                let entries = wheel.entries.iter().filter(|entry| **entry == index).count();
                let wanted = f64::from(weight) / sum * wheel.entries.len() as f64;
                prop_assert!((entries as f64 - wanted).abs() <= 1.0 + wanted / 100.0, "{entries} {wanted}");
            }
        }
    }
}
