//! The ends of a map's tree. A bucket holds values, and one byte of the hash of each key: a look-up fetches
//! hardly any value from memory but the one that it looks for.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{KeyOf, hash};

/// Entries of a bucket. With its counts, a bucket of this size takes 312 bytes, which allocators round up little.
pub(super) const SIZE: usize = 32;

/// Some values of a map.
#[derive(Debug)]
pub(super) struct Bucket<T> {
    /// The lowest byte of the hash of each entry.
    tags: [u8; SIZE],
    /// Only keys with equal hashes are more than [`SIZE`]. Those behind have no tag.
    entries: SmallVec<[Arc<T>; SIZE]>,
}

impl<T> Bucket<T> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entries(&self) -> &[Arc<T>] {
        &self.entries
    }

    pub(super) fn get<K: KeyOf<T>>(&self, key: &K::Key, hash: u64) -> Option<&Arc<T>> {
        self.position::<K>(key, hash).map(|at| &self.entries[at])
    }

    /// Whether `key` has no place here.
    pub(super) fn is_full_for<K: KeyOf<T>>(&self, key: &K::Key, hash: u64) -> bool {
        self.len() >= SIZE && self.position::<K>(key, hash).is_none()
    }

    /// Puts `value` in place of the one with its key, which is returned.
    pub(super) fn insert<K: KeyOf<T>>(&mut self, value: Arc<T>, hash: u64) -> Option<Arc<T>> {
        match self.position::<K>(K::key(&value), hash) {
            Some(at) => Some(std::mem::replace(&mut self.entries[at], value)),
            None => {
                self.push(value, tag(hash));
                None
            }
        }
    }

    /// Removes the value of `key`, if it is here.
    pub(super) fn remove<K: KeyOf<T>>(&mut self, key: &K::Key, hash: u64) {
        let Some(at) = self.position::<K>(key, hash) else { return };
        self.entries.swap_remove(at);
        if let (Some(moved), Some(place)) = (self.entries.get(at), self.tags.get_mut(at)) {
            *place = tag(super::hash(K::key(moved)));
        }
    }

    /// Moves the entries whose hashes have `bit` to a bucket of their own.
    pub(super) fn split<K: KeyOf<T>>(&mut self, bit: u64) -> Self {
        let mut others = Self::default();
        for entry in std::mem::take(&mut self.entries) {
            let hash = hash(K::key(&entry));
            let side = if hash & bit == 0 { &mut *self } else { &mut others };
            side.push(entry, tag(hash));
        }
        others
    }

    /// Adds the entries of another bucket, for which there is room.
    pub(super) fn append(&mut self, others: &Self) {
        for (entry, tag) in others.entries.iter().zip(others.tags) {
            self.push(entry.clone(), tag);
        }
    }

    fn push(&mut self, entry: Arc<T>, tag: u8) {
        if let Some(place) = self.tags.get_mut(self.entries.len()) {
            *place = tag;
        }
        self.entries.push(entry);
    }

    fn position<K: KeyOf<T>>(&self, key: &K::Key, hash: u64) -> Option<usize> {
        let len = self.entries.len();
        let is_same = |at: &usize| K::same(K::key(&self.entries[*at]), key);
        let tagged = memchr::memchr_iter(tag(hash), &self.tags[..len.min(SIZE)]).find(is_same);
        tagged.or_else(|| (SIZE..len).find(is_same))
    }
}

impl<T: Clone> Bucket<T> {
    /// The value of `key`, to be edited in place.
    pub(super) fn edit<K: KeyOf<T>>(&mut self, key: &K::Key, hash: u64) -> Option<&mut T> {
        self.position::<K>(key, hash).map(|at| Arc::make_mut(&mut self.entries[at]))
    }
}

// Derived implementations would require `T: Default` and `T: Clone`, which sharing does not need.
impl<T> Default for Bucket<T> {
    fn default() -> Self {
        Self { tags: [0; SIZE], entries: SmallVec::new() }
    }
}

impl<T> Clone for Bucket<T> {
    fn clone(&self) -> Self {
        Self { tags: self.tags, entries: self.entries.clone() }
    }
}

fn tag(hash: u64) -> u8 {
    hash as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_bucket_takes_no_more_than_five_cache_lines() {
        assert!(2 * size_of::<usize>() + size_of::<Bucket<u64>>() <= 5 * 64);
    }
}
