//! A persistent hash map of shared values: a tree of branches over buckets of values. An edit copies the shared
//! parts on one path and changes the others in place. A value holds its own key, so that an entry is one pointer
//! and a byte, and several maps can hold the same values by different keys.

mod bucket;
mod node;

use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::sync::Arc;

use foldhash::fast::FixedState;

use node::Node;

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
    /// None of an empty map.
    root: Option<Node<T>>,
    len: usize,
    by: PhantomData<fn() -> K>,
}

impl<T, K: KeyOf<T>> Map<T, K> {
    /// The value of `key`.
    pub fn get(&self, key: &K::Key) -> Option<&Arc<T>> {
        self.root.as_ref()?.get::<K>(key, hash(key))
    }

    /// Puts `value` in place of the one with its key, which is returned.
    pub fn insert(&mut self, value: Arc<T>) -> Option<Arc<T>> {
        let hash = hash(K::key(&value));
        let root = self.root.get_or_insert_with(|| Node::Bucket(Arc::default()));
        let before = root.insert::<K>(value, hash, 0);
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
        let value = self.root.as_mut().and_then(|root| root.edit::<K>(key, hash(key), 0));
        value.expect("the key was there, or its value was just put")
    }

    /// Removes the value of `key`, and returns it.
    pub fn remove(&mut self, key: &K::Key) -> Option<Arc<T>> {
        let removed = self.get(key)?.clone();
        self.len -= 1;
        match &mut self.root {
            Some(root) if self.len > 0 => root.remove::<K>(key, hash(key), 0),
            root => *root = None,
        }
        Some(removed)
    }

    /// Visits every value, in no particular order.
    pub fn each(&self, mut visit: impl FnMut(&Arc<T>)) {
        self.root.iter().for_each(|root| root.each(&mut visit));
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

// Derived implementations would require `T: Default` and `T: Clone`, which sharing does not need.
impl<T, K> Default for Map<T, K> {
    fn default() -> Self {
        Self { root: None, len: 0, by: PhantomData }
    }
}

impl<T, K> Clone for Map<T, K> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len, by: PhantomData }
    }
}

/// A fixed seed is safe: the shape depends on the inserted keys, which are the operator's; clients only look
/// up.
pub(super) fn hash<K: Hash + ?Sized>(key: &K) -> u64 {
    FixedState::with_seed(0).hash_one(key)
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
        assert!(map.root.is_none() && map.is_empty());
    }

    /// A number that hashes as all others of its hundred.
    #[derive(Clone, Debug, PartialEq)]
    struct Alike(u32);

    impl Hash for Alike {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            (self.0 / 100).hash(state);
        }
    }

    struct Itself;

    impl KeyOf<Alike> for Itself {
        type Key = Alike;

        fn key(value: &Alike) -> &Alike {
            value
        }
    }

    #[test]
    fn keys_with_equal_hashes_are_told_apart() {
        let mut map = Map::<Alike, Itself>::default();
        let all = || (0..300).map(Alike);
        all().for_each(|key| assert_eq!(map.insert(Arc::new(key)), None));
        for removed in all() {
            assert_eq!(map.insert(Arc::new(removed.clone())).as_deref(), Some(&removed));
            assert_eq!(map.remove(&removed).as_deref(), Some(&removed));
            assert_eq!(map.remove(&removed), None);
            let held: Vec<_> = all().filter(|key| map.get(key).is_some()).collect();
            assert_eq!(held, all().filter(|key| key.0 > removed.0).collect::<Vec<_>>());
        }
        assert!(map.is_empty());
    }
}
