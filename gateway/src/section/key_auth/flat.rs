//! A persistent table of values by addresses of 32 bits that are as good as random. The values stand in flat pages of
//! some dozens, and a few bytes of each page say at which place an address has its value, so that a look-up waits for
//! memory twice, for the page and for the place, where it would go from branch to branch in a tree. A copy shares all
//! pages; an edit copies those on its way.

use std::cmp::Reverse;
use std::iter;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::prefetch::prefetch;

/// Parts of a table. Each doubles the number of its pages, and halves it, when it must.
const PARTS: usize = 256;
/// Values of a page on average: at most, before there are more pages.
const MOST: usize = 64;
/// At least, before there are fewer pages.
const FEWEST: usize = 16;
/// Groups of the values of a page.
const GROUPS: usize = 16;
/// The turn of a group of which some values would have the same place at every other turn.
const ANYWHERE: u8 = u8::MAX;
/// The places of a page take a multiple of these bytes, with the counts of those who share them: allocators round up
/// little.
const STEP: usize = 128;
/// Bytes of the counts.
const COUNTS: usize = 2 * size_of::<usize>();

/// A value with an address.
pub(super) trait Addressed {
    /// Its address, which never changes. Others may have the same one.
    fn address(&self) -> u32;
}

/// Values by their addresses.
#[derive(Clone, Debug)]
pub(super) struct Flat<V> {
    /// By the first eight bits of the address. Empty until there is a value.
    parts: Arc<[Part<V>]>,
}

/// The values whose addresses begin alike.
#[derive(Debug)]
struct Part<V> {
    /// By the last bits of the address. The number is a power of two.
    pages: Arc<[Page<V>]>,
    len: usize,
}

/// Some values. The bits between say the group of a value, and with the turn of its group its place. The turns
/// are such that no two values have the same place ("hash and displace").
#[derive(Debug)]
struct Page<V> {
    turns: [u8; GROUPS],
    places: Arc<[Option<V>]>,
}

impl<V: Addressed + Clone> Flat<V> {
    /// The value with this address for which `is_it`, which must not be true of values with other addresses.
    pub(super) fn get(&self, address: u32, is_it: impl Fn(&V) -> bool) -> Option<&V> {
        let page = self.page(address)?;
        page.places[page.find(address, is_it)?].as_ref()
    }

    /// Begins to fetch the page in which [`Self::get`] will look.
    pub(super) fn prefetch_page(&self, address: u32) {
        self.page(address).into_iter().for_each(prefetch);
    }

    /// Begins to fetch the place at which [`Self::get`] will look, once the page is there.
    pub(super) fn prefetch_place(&self, address: u32) {
        if let Some(page) = self.page(address)
            && let Some(at) = page.place_of(address)
        {
            prefetch(&page.places[at]);
        }
    }

    fn page(&self, address: u32) -> Option<&Page<V>> {
        let pages = &self.parts.get(part_of(address))?.pages;
        Some(&pages[page_of(address, pages.len())])
    }

    /// Adds values, which are not there yet.
    pub(super) fn extend(&mut self, values: Vec<V>) {
        if self.parts.is_empty() && !values.is_empty() {
            self.parts = iter::repeat_n(Part::default(), PARTS).collect();
        }
        for (part, values) in grouped(values, |value| part_of(value.address())) {
            Arc::make_mut(&mut self.parts)[part].extend(values);
        }
    }

    /// Removes a value for which `is_it`, as [`Self::get`] finds it, and returns it.
    pub(super) fn remove(&mut self, address: u32, is_it: impl Fn(&V) -> bool) -> Option<V> {
        // What is not there shall copy nothing.
        self.get(address, &is_it)?;
        Arc::make_mut(&mut self.parts)[part_of(address)].remove(address, is_it)
    }

    /// Visits every value, in no particular order.
    pub(super) fn each(&self, visit: impl FnMut(&V)) {
        let pages = self.parts.iter().flat_map(|part| &*part.pages);
        pages.flat_map(|page| page.places.iter().flatten()).for_each(visit);
    }
}

impl<V: Addressed + Clone> Part<V> {
    fn extend(&mut self, values: Vec<V>) {
        self.len += values.len();
        let mut pages = self.pages.len();
        while self.len > pages * MOST {
            pages *= 2;
        }
        if pages > self.pages.len() {
            return self.spread(pages, values);
        }
        for (page, values) in grouped(values, |value| page_of(value.address(), pages)) {
            Arc::make_mut(&mut self.pages)[page].extend(values);
        }
    }

    fn remove(&mut self, address: u32, is_it: impl Fn(&V) -> bool) -> Option<V> {
        let at = page_of(address, self.pages.len());
        let removed = Arc::make_mut(&mut self.pages)[at].remove(address, is_it);
        self.len -= usize::from(removed.is_some());
        if self.pages.len() > 1 && self.len < self.pages.len() * FEWEST {
            self.spread(self.pages.len() / 2, Vec::new());
        }
        removed
    }

    /// Arranges all values and further ones in so many pages.
    fn spread(&mut self, pages: usize, further: Vec<V>) {
        let mut groups = vec![Vec::new(); pages];
        for value in Arc::make_mut(&mut self.pages).iter_mut().flat_map(Page::take).chain(further) {
            groups[page_of(value.address(), pages)].push(value);
        }
        self.pages = groups.into_iter().map(Page::with).collect();
    }
}

impl<V: Addressed + Clone> Page<V> {
    /// A page with these values, and room for some more.
    fn with(values: Vec<V>) -> Self {
        let count = places_for::<V>(values.len());
        let mut page =
            Self { turns: turns(&values, count), places: iter::repeat_with(|| None).take(count).collect() };
        page.put(values);
        page
    }

    fn find(&self, address: u32, is_it: impl Fn(&V) -> bool) -> Option<usize> {
        let is_at = |at: &usize| self.places[*at].as_ref().is_some_and(&is_it);
        match self.place_of(address) {
            Some(at) => Some(at).filter(is_at),
            None => (0..self.places.len()).find(is_at),
        }
    }

    /// The place of this address; `None` if it may be any.
    fn place_of(&self, address: u32) -> Option<usize> {
        let turn = self.turns[group_of(address)];
        (turn != ANYWHERE && !self.places.is_empty()).then(|| place_of(address, turn, self.places.len()))
    }

    fn extend(&mut self, values: Vec<V>) {
        match <[V; 1]>::try_from(values) {
            Ok([value]) => self.insert(value),
            Err(values) => *self = Self::with(self.take().into_iter().chain(values).collect()),
        }
    }

    /// Adds one value: if its group finds other places, the others stay where they are.
    fn insert(&mut self, value: V) {
        let group = group_of(value.address());
        let is_of_group = |value: &V| group_of(value.address()) == group;
        let taken = |place: &Option<V>| place.as_ref().is_some_and(|value| !is_of_group(value));
        let mut taken: Vec<_> = self.places.iter().map(taken).collect();
        let of_group = self.places.iter().flatten().filter(|value| is_of_group(value));
        let addresses: Addresses = of_group.chain([&value]).map(V::address).collect();
        let len = self.places.iter().flatten().count() + 1;
        let turn = if len > self.places.len() * 7 / 8 { ANYWHERE } else { turn_of(&addresses, &mut taken) };
        if turn == ANYWHERE {
            *self = Self::with(self.take().into_iter().chain([value]).collect());
            return;
        }
        let places = Arc::make_mut(&mut self.places).iter_mut();
        let of_group = places.filter_map(|place| place.take_if(|value| is_of_group(value)));
        let values = of_group.chain([value]).collect();
        self.turns[group] = turn;
        self.put(values);
    }

    fn remove(&mut self, address: u32, is_it: impl Fn(&V) -> bool) -> Option<V> {
        let at = self.find(address, is_it)?;
        let removed = Arc::make_mut(&mut self.places)[at].take();
        let len = self.places.iter().flatten().count();
        if len < self.places.len() / 2 && places_for::<V>(len) < self.places.len() {
            *self = Self::with(self.take());
        }
        removed
    }

    /// Puts values in places that are free, as the turns of their groups say.
    fn put(&mut self, values: Vec<V>) {
        let places = Arc::get_mut(&mut self.places).expect("it was copied before");
        let count = places.len();
        let place_of = |value: &V| match self.turns[group_of(value.address())] {
            ANYWHERE => None,
            turn => Some(place_of(value.address(), turn, count)),
        };
        let (placed, anywhere): (Vec<_>, Vec<_>) =
            values.into_iter().partition(|value| place_of(value).is_some());
        for value in placed.into_iter().chain(anywhere) {
            let free = || places.iter().position(Option::is_none).expect("some places are free");
            let at = place_of(&value).unwrap_or_else(free);
            places[at] = Some(value);
        }
    }

    /// Takes all values: copies, if another table has them, too.
    fn take(&mut self) -> Vec<V> {
        match Arc::get_mut(&mut self.places) {
            Some(places) => places.iter_mut().filter_map(Option::take).collect(),
            None => self.places.iter().flatten().cloned().collect(),
        }
    }
}

/// The places of a page of so many values.
fn places_for<V>(values: usize) -> usize {
    let at_least = values + values / 7 + 1;
    let bytes = (COUNTS + at_least * size_of::<Option<V>>()).next_multiple_of(STEP);
    if values == 0 { 0 } else { (bytes - COUNTS) / size_of::<Option<V>>() }
}

/// Values by the numbers of their groups.
fn grouped<V>(mut values: Vec<V>, group: impl Fn(&V) -> usize) -> impl Iterator<Item = (usize, Vec<V>)> {
    values.sort_unstable_by_key(&group);
    let mut values = values.into_iter().peekable();
    iter::from_fn(move || {
        let first = values.next()?;
        let number = group(&first);
        let others = iter::from_fn(|| values.next_if(|value| group(value) == number));
        Some((number, iter::once(first).chain(others).collect()))
    })
}

/// The addresses of a group.
type Addresses = SmallVec<[u32; 12]>;

/// The turns of these values in so many places.
fn turns<V: Addressed>(values: &[V], places: usize) -> [u8; GROUPS] {
    let mut groups: [(usize, Addresses); GROUPS] = std::array::from_fn(|group| (group, Addresses::new()));
    values.iter().map(V::address).for_each(|address| groups[group_of(address)].1.push(address));
    // The largest come first, while most places are free.
    groups.sort_unstable_by_key(|(_, addresses)| Reverse(addresses.len()));
    let (mut turns, mut taken) = ([0; GROUPS], vec![false; places]);
    for (group, addresses) in groups {
        turns[group] = turn_of(&addresses, &mut taken);
    }
    turns
}

/// The turn at which all values of a group have places that are not taken. Takes them.
fn turn_of(addresses: &[u32], taken: &mut [bool]) -> u8 {
    for turn in 0..ANYWHERE {
        let places = taken.len();
        let at = |address: &u32| place_of(*address, turn, places);
        let fit =
            addresses.iter().take_while(|address| !std::mem::replace(&mut taken[at(address)], true)).count();
        if fit == addresses.len() {
            return turn;
        }
        addresses[..fit].iter().for_each(|address| taken[at(address)] = false);
    }
    ANYWHERE
}

fn part_of(address: u32) -> usize {
    (address >> 24) as usize % PARTS
}

fn page_of(address: u32, pages: usize) -> usize {
    address as usize & (pages - 1)
}

fn group_of(address: u32) -> usize {
    within_page(address) as usize >> (u32::BITS - GROUPS.ilog2())
}

fn place_of(address: u32, turn: u8, places: usize) -> usize {
    // Each turn multiplies by another odd number, so that the first bits of the product are other ones.
    let factor = 0x9E37_79B9_u32.wrapping_mul(2 * u32::from(turn) + 1);
    ((u64::from(within_page(address).wrapping_mul(factor)) * places as u64) >> 32) as usize
}

/// Begins with the bits that follow those of the part: the values of a page differ in these.
fn within_page(address: u32) -> u32 {
    address.rotate_left(PARTS.ilog2())
}

// Derived implementations would require `V: Default` and `V: Clone`, which sharing does not need.
impl<V> Default for Flat<V> {
    fn default() -> Self {
        Self { parts: Arc::from([]) }
    }
}

impl<V> Default for Part<V> {
    fn default() -> Self {
        Self { pages: Arc::from([Page { turns: [0; GROUPS], places: Arc::from([]) }]), len: 0 }
    }
}

impl<V> Clone for Part<V> {
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone(), len: self.len }
    }
}

impl<V> Clone for Page<V> {
    fn clone(&self) -> Self {
        Self { turns: self.turns, places: self.places.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Value {
        key: u32,
        address: u32,
        /// That a removed value is freed, and one that is held is not.
        count: Arc<u32>,
    }

    impl Addressed for Value {
        fn address(&self) -> u32 {
            self.address
        }
    }

    /// As good as random.
    fn spread(key: u32) -> u32 {
        (super::super::map::hash(&key) >> 32) as u32
    }

    /// As one who could choose addresses would: all in one part, and few places.
    fn alike(key: u32) -> u32 {
        (key % 7) << 20
    }

    fn get(flat: &Flat<Value>, address: u32, key: u32) -> Option<u32> {
        // Changes nothing, wherever the value is.
        flat.prefetch_page(address);
        flat.prefetch_place(address);
        flat.get(address, |value| value.key == key).map(|value| *value.count)
    }

    fn all(flat: &Flat<Value>) -> BTreeMap<u32, u32> {
        let mut all = BTreeMap::new();
        flat.each(|value| assert_eq!(all.insert(value.key, *value.count), None));
        all
    }

    #[test]
    fn behaves_as_a_map_and_leaves_older_versions_alone() {
        for (address, keys) in [(spread as fn(u32) -> u32, 20_000), (alike, 300)] {
            let (mut flat, mut model) = (Flat::default(), BTreeMap::new());
            let mut state = 7_u64;
            let mut held = Vec::new();
            for step in 0..60_000_u32 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = (state >> 33) as u32 % keys;
                // It grows, and shrinks again.
                let grows = (state >> 60) < if step < 30_000 { 13 } else { 3 };
                let removed = flat.remove(address(key), |value: &Value| value.key == key);
                assert_eq!(removed.map(|value| *value.count), model.remove(&key), "{step}");
                if grows {
                    flat.extend(vec![Value { key, address: address(key), count: Arc::new(step) }]);
                    model.insert(key, step);
                }
                assert_eq!(get(&flat, address(key), key), model.get(&key).copied(), "{step}");
                if step % 7_500 == 0 {
                    held.push((flat.clone(), model.clone()));
                }
            }
            held.push((flat, model));
            for (flat, model) in &held {
                assert_eq!(all(flat), *model);
                for key in 0..keys {
                    assert_eq!(get(flat, address(key), key), model.get(&key).copied());
                }
            }
        }
    }

    #[test]
    fn many_values_at_once_are_those_one_by_one() {
        for address in [spread as fn(u32) -> u32, alike] {
            let (mut flat, mut model, mut held) = (Flat::default(), BTreeMap::new(), Vec::new());
            let mut next = 0;
            for size in [0, 1, 2, 3, 500, 7, 90, 2, 40] {
                let keys = next..next + size;
                next += size;
                flat.extend(
                    keys.clone()
                        .map(|key| Value { key, address: address(key), count: Arc::new(key) })
                        .collect(),
                );
                model.extend(keys.map(|key| (key, key)));
                held.push((flat.clone(), model.clone()));
            }
            for (flat, model) in &held {
                assert_eq!(all(flat), *model);
                for key in 0..next {
                    assert_eq!(get(flat, address(key), key), model.get(&key).copied());
                }
            }
        }
    }

    #[test]
    fn values_are_freed_with_the_last_table_that_has_them() {
        let count = Arc::new(0);
        let mut flat = Flat::default();
        for key in 0..1000 {
            flat.extend(vec![Value { key, address: spread(key), count: count.clone() }]);
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
        pages.map(|page| page.places.len()).fold((0, 0), |(sum, most), len| (sum + len, most.max(len)))
    }

    #[test]
    fn pages_stay_small_and_well_filled() {
        const ALL: u32 = 200_000;
        const LEFT: u32 = 1000;
        let mut flat = Flat::default();
        for key in 0..ALL {
            flat.extend(vec![Value { key, address: spread(key), count: Arc::default() }]);
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
