//! A persistent table of values by hashes of 64 bits. The values stand in flat pages of some dozens, so that a
//! look-up waits for memory once or twice, where it would go from branch to branch in a tree. A copy shares all
//! pages; an edit copies those on its way.

use std::iter;
use std::sync::Arc;

use crate::probing::{self, Hashed};

/// Parts of a table. Each doubles the number of its pages, and halves it, when it must.
const PARTS: usize = 256;
/// Values of a page on average: at most, before there are more pages.
const MOST: usize = 64;
/// At least, before there are fewer pages.
const FEWEST: usize = 16;
/// A page takes a multiple of these bytes, with the counts of those who share it: allocators round up little.
const STEP: usize = 128;
/// Bytes of the counts.
const COUNTS: usize = 2 * size_of::<usize>();

/// Values by their hashes.
#[derive(Clone, Debug)]
pub(super) struct Flat<V> {
    /// By the first bits of the hash. Empty until there is a value.
    parts: Arc<[Part<V>]>,
}

/// The values whose hashes begin alike.
#[derive(Debug)]
struct Part<V> {
    /// By the next bits of the hash. The number is a power of two.
    pages: Arc<[Page<V>]>,
    len: usize,
}

/// Places, of which the last bits of a hash choose one.
type Page<V> = Arc<[Option<V>]>;

impl<V: Hashed + Clone> Flat<V> {
    /// The value with this hash for which `is_it`.
    pub(super) fn get(&self, hash: u64, is_it: impl Fn(&V) -> bool) -> Option<&V> {
        let pages = &self.parts.get(part_of(hash))?.pages;
        let page = &pages[page_of(hash, pages.len())];
        page[probing::find(page, hash, is_it)?].as_ref()
    }

    /// Adds a value, which is not there yet.
    pub(super) fn insert(&mut self, value: V) {
        if self.parts.is_empty() {
            self.parts = iter::repeat_n(Part::default(), PARTS).collect();
        }
        Arc::make_mut(&mut self.parts)[part_of(value.hash())].insert(value);
    }

    /// Removes the value with this hash for which `is_it`, and returns it.
    pub(super) fn remove(&mut self, hash: u64, is_it: impl Fn(&V) -> bool) -> Option<V> {
        // What is not there shall copy nothing.
        self.get(hash, &is_it)?;
        Arc::make_mut(&mut self.parts)[part_of(hash)].remove(hash, is_it)
    }

    /// Visits every value, in no particular order.
    pub(super) fn each(&self, visit: impl FnMut(&V)) {
        let pages = self.parts.iter().flat_map(|part| &*part.pages);
        pages.flat_map(|page| page.iter().flatten()).for_each(visit);
    }
}

impl<V: Hashed + Clone> Part<V> {
    fn insert(&mut self, value: V) {
        self.len += 1;
        if self.len > self.pages.len() * MOST {
            self.spread(self.pages.len() * 2);
        }
        let page = self.page(value.hash());
        let after = page.iter().flatten().count() + 1;
        if after <= page.len() * 7 / 8 {
            probing::insert(Arc::make_mut(page), value, |_| false);
        } else {
            *page = page_with(values(page).chain(iter::once(value)).collect());
        }
    }

    fn remove(&mut self, hash: u64, is_it: impl Fn(&V) -> bool) -> Option<V> {
        let page = self.page(hash);
        let (mut removed, left): (Vec<_>, Vec<_>) = values(page).partition(is_it);
        // All get new places: those behind it may stand there because its place was taken.
        *page = page_with(left);
        self.len -= removed.len();
        if self.pages.len() > 1 && self.len < self.pages.len() * FEWEST {
            self.spread(self.pages.len() / 2);
        }
        removed.pop()
    }

    fn page(&mut self, hash: u64) -> &mut Page<V> {
        let at = page_of(hash, self.pages.len());
        &mut Arc::make_mut(&mut self.pages)[at]
    }

    /// Arranges all values in so many pages.
    fn spread(&mut self, pages: usize) {
        let mut groups = vec![Vec::new(); pages];
        for value in Arc::make_mut(&mut self.pages).iter_mut().flat_map(values) {
            groups[page_of(value.hash(), pages)].push(value);
        }
        self.pages = groups.into_iter().map(page_with).collect();
    }
}

/// Takes the values of a page that is about to be replaced: copies, if another table has it, too.
fn values<V: Clone>(page: &mut Page<V>) -> impl Iterator<Item = V> + use<V> {
    let values: Vec<_> = match Arc::get_mut(page) {
        Some(places) => places.iter_mut().filter_map(Option::take).collect(),
        None => page.iter().flatten().cloned().collect(),
    };
    values.into_iter()
}

/// A page with these values, and room for some more.
fn page_with<V: Hashed>(values: Vec<V>) -> Page<V> {
    let len = values.len();
    let at_least = len + len / 7 + 1;
    let bytes = (COUNTS + at_least * size_of::<Option<V>>()).next_multiple_of(STEP);
    let places = if len == 0 { 0 } else { (bytes - COUNTS) / size_of::<Option<V>>() };
    let mut page: Vec<_> = iter::repeat_with(|| None).take(places).collect();
    for value in values {
        probing::insert(&mut page, value, |_| false);
    }
    page.into()
}

fn part_of(hash: u64) -> usize {
    (hash >> 56) as usize % PARTS
}

fn page_of(hash: u64, pages: usize) -> usize {
    (hash >> 32) as usize & (pages - 1)
}

// Derived implementations would require `V: Default` and `V: Clone`, which sharing does not need.
impl<V> Default for Flat<V> {
    fn default() -> Self {
        Self { parts: Arc::from([]) }
    }
}

impl<V> Default for Part<V> {
    fn default() -> Self {
        Self { pages: Arc::from([Arc::from([])]), len: 0 }
    }
}

impl<V> Clone for Part<V> {
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone(), len: self.len }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Value {
        key: u32,
        hash: u64,
        /// That a removed value is freed, and one that is held is not.
        count: Arc<u32>,
    }

    impl Hashed for Value {
        fn hash(&self) -> u64 {
            self.hash
        }
    }

    /// As good as random.
    fn spread(key: u32) -> u64 {
        super::super::map::hash(&key)
    }

    /// As one who could choose hashes would: all in one part, and few places.
    fn alike(key: u32) -> u64 {
        u64::from(key % 7) << 30
    }

    fn get(flat: &Flat<Value>, hash: u64, key: u32) -> Option<u32> {
        flat.get(hash, |value| value.key == key).map(|value| *value.count)
    }

    fn all(flat: &Flat<Value>) -> BTreeMap<u32, u32> {
        let mut all = BTreeMap::new();
        flat.each(|value| assert_eq!(all.insert(value.key, *value.count), None));
        all
    }

    #[test]
    fn behaves_as_a_map_and_leaves_older_versions_alone() {
        for (hash, keys) in [(spread as fn(u32) -> u64, 20_000), (alike, 300)] {
            let (mut flat, mut model) = (Flat::default(), BTreeMap::new());
            let mut state = 7_u64;
            let mut held = Vec::new();
            for step in 0..60_000_u32 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = (state >> 33) as u32 % keys;
                // It grows, and shrinks again.
                let grows = (state >> 60) < if step < 30_000 { 13 } else { 3 };
                let removed = flat.remove(hash(key), |value: &Value| value.key == key);
                assert_eq!(removed.map(|value| *value.count), model.remove(&key), "{step}");
                if grows {
                    flat.insert(Value { key, hash: hash(key), count: Arc::new(step) });
                    model.insert(key, step);
                }
                assert_eq!(get(&flat, hash(key), key), model.get(&key).copied(), "{step}");
                if step % 7_500 == 0 {
                    held.push((flat.clone(), model.clone()));
                }
            }
            held.push((flat, model));
            for (flat, model) in &held {
                assert_eq!(all(flat), *model);
                for key in 0..keys {
                    assert_eq!(get(flat, hash(key), key), model.get(&key).copied());
                }
            }
        }
    }

    #[test]
    fn values_are_freed_with_the_last_table_that_has_them() {
        let count = Arc::new(0);
        let mut flat = Flat::default();
        for key in 0..1000 {
            flat.insert(Value { key, hash: spread(key), count: count.clone() });
        }
        let older = flat.clone();
        for key in 0..1000 {
            assert!(flat.remove(spread(key), |value| value.key == key).is_some());
        }
        assert_eq!((all(&flat).len(), all(&older).len()), (0, 1000));
        drop(older);
        assert_eq!(Arc::strong_count(&count), 1);
    }

    /// The places of all pages, and of the largest one.
    fn places(flat: &Flat<Value>) -> (usize, usize) {
        let pages = flat.parts.iter().flat_map(|part| &*part.pages);
        pages.map(|page| page.len()).fold((0, 0), |(sum, most), len| (sum + len, most.max(len)))
    }

    #[test]
    fn pages_stay_small_and_well_filled() {
        const ALL: u32 = 200_000;
        const LEFT: u32 = 1000;
        let mut flat = Flat::default();
        for key in 0..ALL {
            flat.insert(Value { key, hash: spread(key), count: Arc::default() });
            let len = key as usize + 1;
            if len.is_multiple_of(25_000) {
                let (sum, most) = places(&flat);
                assert!(sum < len * 3 / 2 && most < 3 * MOST, "{len} {sum} {most}");
            }
        }
        (LEFT..ALL).for_each(|key| drop(flat.remove(spread(key), |value| value.key == key)));
        // At least one page of each part.
        let (sum, most) = places(&flat);
        assert!(sum < 10 * PARTS && most < MOST, "{sum} {most}");
    }
}
