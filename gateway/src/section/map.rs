//! A persistent hash map of shared values: a hash trie with 32 slots a branch. An edit copies the shared
//! branches on one path and changes the others in place. A value holds its own key, so that an entry is one
//! pointer, and several maps can hold the same values by different keys.

use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::sync::Arc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

/// Bits of the hash that choose a slot of one branch.
const BITS: u32 = 5;
/// Levels of branches that one hash can address.
const LEVELS: u32 = u64::BITS / BITS;

/// The part of a `T` that is its key in a map.
pub trait KeyOf<T> {
    /// The key.
    type Key: ?Sized + Hash + PartialEq;

    /// The key of `value`. It never changes while the value is in a map.
    fn key(value: &T) -> &Self::Key;

    /// Whether two keys are the same.
    fn same(a: &Self::Key, b: &Self::Key) -> bool {
        a == b
    }
}

/// Values by the key that `K` chooses.
#[derive(Debug)]
pub struct Map<T, K> {
    root: Arc<Branch<T>>,
    len: usize,
    by: PhantomData<fn() -> K>,
}

/// With its counts, a branch of two slots takes 64 bytes, and most branches of a large map have no more.
#[derive(Debug)]
struct Branch<T> {
    /// Bitmap of the used slots; `slots` holds their contents, in order.
    taken: u32,
    slots: SmallVec<[Slot<T>; 2]>,
}

#[derive(Debug)]
enum Slot<T> {
    Branch(Arc<Branch<T>>),
    Leaf(Arc<T>),
}

impl<T, K: KeyOf<T>> Map<T, K> {
    /// The value of `key`.
    pub fn get(&self, key: &K::Key) -> Option<&Arc<T>> {
        let hash = hash(key, 0);
        let mut branch = &self.root;
        let mut level = 0;
        loop {
            match branch.slot(digit(key, hash, level))? {
                Slot::Branch(next) => branch = next,
                Slot::Leaf(leaf) => return K::same(K::key(leaf), key).then_some(leaf),
            }
            level += 1;
        }
    }

    /// Puts `value` in place of the one with its key, which is returned.
    pub fn insert(&mut self, value: Arc<T>) -> Option<Arc<T>> {
        let hash = hash(K::key(&value), 0);
        let before = Arc::make_mut(&mut self.root).insert::<K>(value, hash, 0);
        self.len += usize::from(before.is_none());
        before
    }

    /// The value of `key`, to be edited in place; made when there is none.
    pub fn edit(&mut self, key: &K::Key, make: impl FnOnce() -> T) -> &mut T
    where
        T: Clone,
    {
        if self.get(key).is_none() {
            self.insert(Arc::new(make()));
        }
        Arc::make_mut(&mut self.root).edit::<K>(key, hash(key, 0), 0)
    }

    /// Removes the value of `key`, and returns it.
    pub fn remove(&mut self, key: &K::Key) -> Option<Arc<T>> {
        let removed = self.get(key)?.clone();
        Arc::make_mut(&mut self.root).remove::<K>(key, hash(key, 0), 0);
        self.len -= 1;
        Some(removed)
    }

    /// Visits every value, in no particular order.
    pub fn each(&self, mut visit: impl FnMut(&Arc<T>)) {
        self.root.each(&mut visit);
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Branch<T> {
    /// The index of the slot of `digit`, or where it would be inserted.
    fn position(&self, digit: u32) -> Result<usize, usize> {
        let bit = 1 << digit;
        let at = (self.taken & (bit - 1)).count_ones() as usize;
        if self.taken & bit == 0 { Err(at) } else { Ok(at) }
    }

    fn slot(&self, digit: u32) -> Option<&Slot<T>> {
        self.position(digit).ok().map(|at| &self.slots[at])
    }

    /// Adds a slot, and not a byte more: there are many branches, and each is edited seldom.
    fn add(&mut self, digit: u32, slot: Slot<T>) {
        let (Ok(at) | Err(at)) = self.position(digit);
        self.taken |= 1 << digit;
        self.slots.reserve_exact(1);
        self.slots.insert(at, slot);
    }

    fn each(&self, visit: &mut impl FnMut(&Arc<T>)) {
        for slot in &self.slots {
            match slot {
                Slot::Branch(next) => next.each(visit),
                Slot::Leaf(leaf) => visit(leaf),
            }
        }
    }

    fn insert<K: KeyOf<T>>(&mut self, value: Arc<T>, hash: u64, level: u32) -> Option<Arc<T>> {
        let digit = digit(K::key(&value), hash, level);
        let Ok(at) = self.position(digit) else {
            self.add(digit, Slot::Leaf(value));
            return None;
        };
        self.slots[at].push_down_unless::<K>(K::key(&value), level);
        match &mut self.slots[at] {
            Slot::Leaf(leaf) => Some(std::mem::replace(leaf, value)),
            Slot::Branch(next) => Arc::make_mut(next).insert::<K>(value, hash, level + 1),
        }
    }

    /// Removes `key`, which exists. A branch left with one leaf becomes that leaf, so that a map's shape
    /// depends on its keys alone.
    fn remove<K: KeyOf<T>>(&mut self, key: &K::Key, hash: u64, level: u32) {
        let digit = digit(key, hash, level);
        let Ok(at) = self.position(digit) else { return };
        if let Slot::Branch(next) = &mut self.slots[at] {
            let next = Arc::make_mut(next);
            next.remove::<K>(key, hash, level + 1);
            if let [Slot::Leaf(last)] = &next.slots[..] {
                self.slots[at] = Slot::Leaf(last.clone());
            }
        } else {
            self.slots.remove(at);
            self.taken &= !(1 << digit);
        }
    }
}

impl<T: Clone> Branch<T> {
    /// The value of `key`, which exists.
    fn edit<K: KeyOf<T>>(&mut self, key: &K::Key, hash: u64, level: u32) -> &mut T {
        let (Ok(at) | Err(at)) = self.position(digit(key, hash, level));
        match &mut self.slots[at] {
            Slot::Leaf(leaf) => Arc::make_mut(leaf),
            Slot::Branch(next) => Arc::make_mut(next).edit::<K>(key, hash, level + 1),
        }
    }
}

impl<T> Slot<T> {
    /// Moves a leaf of another key one level down, to make room for `key` beside it.
    fn push_down_unless<K: KeyOf<T>>(&mut self, key: &K::Key, level: u32) {
        if let Self::Leaf(leaf) = self
            && !K::same(K::key(leaf), key)
        {
            let (mut branch, other) = (Branch::default(), K::key(leaf));
            branch.add(digit(other, hash(other, 0), level + 1), Self::Leaf(leaf.clone()));
            *self = Self::Branch(Arc::new(branch));
        }
    }
}

// Derived implementations would require `T: Default` and `T: Clone`, which sharing does not need.
impl<T, K> Default for Map<T, K> {
    fn default() -> Self {
        Self { root: Arc::default(), len: 0, by: PhantomData }
    }
}

impl<T, K> Clone for Map<T, K> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len, by: PhantomData }
    }
}

impl<T> Default for Branch<T> {
    fn default() -> Self {
        Self { taken: 0, slots: SmallVec::new() }
    }
}

impl<T> Clone for Branch<T> {
    /// `SmallVec` would take room for a power of two.
    fn clone(&self) -> Self {
        let mut slots = SmallVec::new();
        slots.reserve_exact(self.slots.len());
        slots.extend(self.slots.iter().cloned());
        Self { taken: self.taken, slots }
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Branch(branch) => Self::Branch(branch.clone()),
            Self::Leaf(leaf) => Self::Leaf(leaf.clone()),
        }
    }
}

/// The slot of `key` in a branch of `level`. Keys with equal hashes separate at a level that uses another
/// hash.
fn digit<K: Hash + ?Sized>(key: &K, first: u64, level: u32) -> u32 {
    let hash = if level < LEVELS { first } else { hash(key, level / LEVELS) };
    (hash >> (BITS * (level % LEVELS))) as u32 & ((1 << BITS) - 1)
}

/// A fixed seed is safe: the shape depends on the inserted keys, which are the operator's; clients only look
/// up.
fn hash<K: Hash + ?Sized>(key: &K, seed: u32) -> u64 {
    FixedState::with_seed(seed.into()).hash_one(key)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Counted {
        name: String,
        count: u64,
    }

    struct ByName;

    impl KeyOf<Counted> for ByName {
        type Key = str;

        fn key(value: &Counted) -> &str {
            &value.name
        }
    }

    #[test]
    fn behaves_as_a_hash_map_and_leaves_older_versions_alone() {
        let mut map = Map::<Counted, ByName>::default();
        let mut model = HashMap::new();
        let mut state = 7_u64;
        for count in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let name = format!("h{}.example", (state >> 33) % 700);
            let before = map.clone();
            let was = model.get(&name).cloned();
            let made = Counted { name: name.clone(), count };
            match state >> 62 {
                0 => {
                    assert_eq!(map.insert(Arc::new(made.clone())), model.insert(name.clone(), Arc::new(made)))
                }
                1 => {
                    map.edit(&name, || Counted { count: 0, ..made.clone() }).count = count;
                    model.insert(name.clone(), Arc::new(made));
                }
                _ => assert_eq!(map.remove(&name), model.remove(&name)),
            }
            assert_eq!(before.get(&name), was.as_ref());
            assert_eq!(map.get(&name), model.get(&name));
            assert_eq!(map.len(), model.len());
        }
        let mut all = HashMap::new();
        map.each(|value| drop(all.insert(value.name.clone(), value.clone())));
        assert_eq!(all, model);
        for name in (0..700).map(|n| format!("h{n}.example")) {
            assert_eq!(map.get(&name), model.get(&name));
            map.remove(&name);
        }
        assert_eq!((map.root.taken, map.is_empty()), (0, true));
    }

    /// Keys whose hashes agree on every level of the first hash separate on a later one.
    #[test]
    fn branch_of_two_slots_takes_a_cache_line() {
        assert_eq!(2 * size_of::<usize>() + size_of::<Branch<Counted>>(), 64);
    }
}
