//! Values by their hashes in one piece of memory, so that a look-up waits for memory once: open addressing with
//! linear probing. A value stands at the place that its hash chooses, or behind it, before a free place; the first
//! place follows the last one. Some places are always free, or there is none.

/// A value with a hash.
pub(super) trait Hashed {
    /// Its hash, all bits of which are as good as random. It never changes while the value has a place.
    fn hash(&self) -> u64;
}

/// The place of the value with this hash for which `is_it`.
pub(super) fn find<V>(places: &[Option<V>], hash: u64, is_it: impl Fn(&V) -> bool) -> Option<usize> {
    let start = start(places.len(), hash);
    let (before, behind) = places.split_at(start);
    let in_turn = (start..).zip(behind).chain((0..).zip(before));
    for (at, place) in in_turn {
        match place {
            Some(value) if is_it(value) => return Some(at),
            Some(_) => {}
            None => break,
        }
    }
    None
}

/// Puts a value in the first place that is free or whose value `may_leave`. Returns where that is, and what left.
pub(super) fn insert<V: Hashed>(
    places: &mut [Option<V>],
    value: V,
    may_leave: impl Fn(&V) -> bool,
) -> (usize, Option<V>) {
    let start = start(places.len(), value.hash());
    let (before, behind) = places.split_at(start);
    let free = |places: &[Option<V>]| places.iter().position(|place| place.as_ref().is_none_or(&may_leave));
    let at = free(behind).map(|at| start + at).or_else(|| free(before)).expect("some places are free");
    (at, places[at].replace(value))
}

/// Removes the value at a place, and moves those behind it that may not stand behind a free one.
pub(super) fn remove<V: Hashed>(places: &mut [Option<V>], at: usize) -> Option<V> {
    let removed = places[at].take();
    let (mut free, mut next) = (at, at);
    loop {
        next = (next + 1) % places.len();
        let Some(value) = &places[next] else { return removed };
        let distance_to = |place: usize| (next + places.len() - place) % places.len();
        if distance_to(start(places.len(), value.hash())) >= distance_to(free) {
            places.swap(free, next);
            free = next;
        }
    }
}

/// The place that a hash chooses, with which [`find`] begins: in the order of the last 32 bits.
pub(super) fn start(places: usize, hash: u64) -> usize {
    ((u64::from(hash as u32) * places as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Value(u32);

    /// In few places: the last one, and some others.
    fn hash(key: u32) -> u64 {
        u64::from([0, 1 << 30, 1 << 31, u32::MAX][key as usize % 4])
    }

    impl Hashed for Value {
        fn hash(&self) -> u64 {
            hash(self.0)
        }
    }

    fn is(places: &[Option<Value>], key: u32) -> Option<usize> {
        find(places, hash(key), |value| value.0 == key)
    }

    #[test]
    fn values_are_found_until_they_are_removed() {
        for count in [1, 2, 3, 8, 40] {
            let mut places: Vec<Option<Value>> = (0..count).map(|_| None).collect();
            let mut model = BTreeSet::new();
            let mut state = 1_u64;
            for step in 0..20_000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = (state >> 33) as u32 % 60;
                match is(&places, key) {
                    Some(at) => {
                        assert!(model.remove(&key), "{count} {step}");
                        assert_eq!(remove(&mut places, at), Some(Value(key)));
                    }
                    None if model.len() + 1 < count => {
                        let (at, left) = insert(&mut places, Value(key), |other| other.0 % 8 == 7);
                        assert_eq!(places[at], Some(Value(key)), "{count} {step}");
                        assert!(model.insert(key), "{count} {step}");
                        assert!(left.is_none_or(|left| left.0 % 8 == 7 && model.remove(&left.0)));
                    }
                    None => assert!(!model.contains(&key)),
                }
                for key in 0..60 {
                    assert_eq!(is(&places, key).is_some(), model.contains(&key), "{count} {step}");
                }
            }
        }
    }
}
