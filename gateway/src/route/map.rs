//! A persistent hash map from host patterns to values: a hash trie with 32 slots a branch. An edit copies the
//! shared branches on one path and changes the others in place.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::bytes;

/// Bits of the hash that choose a slot of one branch.
const BITS: u32 = 5;
/// Levels of branches that one hash can address.
const LEVELS: u32 = u64::BITS / BITS;

#[derive(Clone, Debug)]
pub(super) struct Map<V> {
    root: Arc<Branch<V>>,
}

#[derive(Debug)]
struct Branch<V> {
    /// Bitmap of the used slots; `slots` holds their contents, in order.
    taken: u32,
    slots: Vec<Slot<V>>,
}

#[derive(Debug)]
enum Slot<V> {
    Branch(Arc<Branch<V>>),
    Leaf(Arc<Leaf<V>>),
}

/// With its counts and a host of 24 bytes it takes 64: one cache line.
#[derive(Clone, Debug)]
struct Leaf<V> {
    hash: u64,
    key: SmallVec<[u8; 24]>,
    value: V,
}

impl<V: Clone + Default> Map<V> {
    pub(super) fn get(&self, key: &str) -> Option<&V> {
        let key = key.as_bytes();
        let hash = hash(key, 0);
        let mut branch = &self.root;
        let mut level = 0;
        loop {
            match branch.slot(digit(key, hash, level))? {
                Slot::Branch(next) => branch = next,
                Slot::Leaf(leaf) => {
                    let same = leaf.hash == hash && bytes::same(&leaf.key, key);
                    return same.then_some(&leaf.value);
                }
            }
            level += 1;
        }
    }

    /// The value of `key`, to be edited in place; created when there is none.
    pub(super) fn entry(&mut self, key: &str) -> &mut V {
        let key = key.as_bytes();
        Arc::make_mut(&mut self.root).entry(key, hash(key, 0), 0)
    }

    pub(super) fn remove(&mut self, key: &str) {
        if self.get(key).is_some() {
            let key = key.as_bytes();
            Arc::make_mut(&mut self.root).remove(key, hash(key, 0), 0);
        }
    }
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self { root: Arc::default() }
    }
}

impl<V> Branch<V> {
    /// The index of the slot of `digit`, or where it would be inserted.
    fn position(&self, digit: u32) -> Result<usize, usize> {
        let bit = 1 << digit;
        let at = (self.taken & (bit - 1)).count_ones() as usize;
        if self.taken & bit == 0 { Err(at) } else { Ok(at) }
    }

    fn slot(&self, digit: u32) -> Option<&Slot<V>> {
        self.position(digit).ok().map(|at| &self.slots[at])
    }

    fn insert(&mut self, digit: u32, slot: Slot<V>) -> usize {
        let (Ok(at) | Err(at)) = self.position(digit);
        self.taken |= 1 << digit;
        self.slots.insert(at, slot);
        at
    }
}

impl<V: Clone + Default> Branch<V> {
    fn entry(&mut self, key: &[u8], hash: u64, level: u32) -> &mut V {
        let digit = digit(key, hash, level);
        let at = self.position(digit).unwrap_or_else(|_| {
            let leaf = Leaf { hash, key: key.into(), value: V::default() };
            self.insert(digit, Slot::Leaf(Arc::new(leaf)))
        });
        self.slots[at].push_down_unless(key, level);
        match &mut self.slots[at] {
            Slot::Leaf(leaf) => &mut Arc::make_mut(leaf).value,
            Slot::Branch(next) => Arc::make_mut(next).entry(key, hash, level + 1),
        }
    }

    /// Removes `key`, which exists. A branch left with one leaf becomes that leaf, so that a map's shape
    /// depends on its keys alone.
    fn remove(&mut self, key: &[u8], hash: u64, level: u32) {
        let digit = digit(key, hash, level);
        let Ok(at) = self.position(digit) else { return };
        if let Slot::Branch(next) = &mut self.slots[at] {
            let next = Arc::make_mut(next);
            next.remove(key, hash, level + 1);
            if let [Slot::Leaf(last)] = &next.slots[..] {
                self.slots[at] = Slot::Leaf(last.clone());
            }
        } else {
            self.slots.remove(at);
            self.taken &= !(1 << digit);
        }
    }
}

impl<V> Slot<V> {
    /// Moves a leaf of another key one level down, to make room for `key` beside it.
    fn push_down_unless(&mut self, key: &[u8], level: u32) {
        if let Self::Leaf(leaf) = self
            && *leaf.key != *key
        {
            let mut branch = Branch::default();
            branch.insert(digit(&leaf.key, leaf.hash, level + 1), Self::Leaf(leaf.clone()));
            *self = Self::Branch(Arc::new(branch));
        }
    }
}

// Derived implementations would require `V: Default` and `V: Clone`, which sharing does not need.
impl<V> Default for Branch<V> {
    fn default() -> Self {
        Self { taken: 0, slots: Vec::new() }
    }
}

impl<V> Clone for Branch<V> {
    fn clone(&self) -> Self {
        Self { taken: self.taken, slots: self.slots.clone() }
    }
}

impl<V> Clone for Slot<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Branch(branch) => Self::Branch(branch.clone()),
            Self::Leaf(leaf) => Self::Leaf(leaf.clone()),
        }
    }
}

/// The slot of `key` in a branch of `level`. Keys with equal hashes separate at a level that uses another
/// hash.
fn digit(key: &[u8], first: u64, level: u32) -> u32 {
    let hash = if level < LEVELS { first } else { hash(key, level / LEVELS) };
    (hash >> (BITS * (level % LEVELS))) as u32 & ((1 << BITS) - 1)
}

/// A fixed seed is safe: the shape depends on the inserted keys, which are the operator's; clients only look
/// up.
fn hash(key: &[u8], seed: u32) -> u64 {
    FixedState::with_seed(seed.into()).hash_one(key)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn behaves_as_a_hash_map_and_leaves_older_versions_alone() {
        let mut map = Map::default();
        let mut model = HashMap::new();
        let mut state = 7_u64;
        for step in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = format!("h{}.example", (state >> 33) % 700);
            let before = map.clone();
            let was = model.get(&key).copied();
            if state >> 63 == 0 {
                *map.entry(&key) = step;
                model.insert(key.clone(), step);
            } else {
                map.remove(&key);
                model.remove(&key);
            }
            assert_eq!(before.get(&key).copied(), was);
            assert_eq!(map.get(&key), model.get(&key));
        }
        for key in (0..700).map(|n| format!("h{n}.example")) {
            assert_eq!(map.get(&key), model.get(&key));
            map.remove(&key);
        }
        assert_eq!(map.root.taken, 0);
    }
}
