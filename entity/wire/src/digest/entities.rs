//! The entities of one bucket and their hashes, sorted by key. A configuration may have a million of them on
//! each data plane: chunks of sorted entries take 36 bytes an entity, a `BTreeMap` takes 50.

use super::EntityHash;
use crate::Key;

type Entry = (Key, EntityHash);

/// The most entries of a chunk: 4 KiB.
const CHUNK: usize = 4096 / size_of::<Entry>();

/// Entities and their hashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Entities {
    /// Sorted, and none is empty.
    chunks: Vec<Vec<Entry>>,
}

impl Entities {
    pub(super) fn get(&self, key: Key) -> Option<EntityHash> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        find(chunk, key).ok().map(|at| chunk[at].1)
    }

    /// Puts the hash of an entity. Returns the previous one.
    pub(super) fn insert(&mut self, key: Key, hash: EntityHash) -> Option<EntityHash> {
        let at = self.chunk_of(key);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(vec![(key, hash)]);
            return None;
        };
        let place = match find(chunk, key) {
            Ok(place) => return Some(std::mem::replace(&mut chunk[place].1, hash)),
            Err(place) => place,
        };
        if chunk.len() < CHUNK {
            insert_at(chunk, place, (key, hash));
        } else if place == CHUNK {
            // Entities that come in the order of their keys leave full chunks behind.
            self.chunks.insert(at + 1, vec![(key, hash)]);
        } else {
            self.split(at);
            return self.insert(key, hash);
        }
        None
    }

    /// Removes an entity. Returns its hash.
    pub(super) fn remove(&mut self, key: Key) -> Option<EntityHash> {
        let at = self.chunk_of(key);
        let chunk = self.chunks.get_mut(at)?;
        let (_, hash) = chunk.remove(find(chunk, key).ok()?);
        match chunk.len() {
            0 => drop(self.chunks.remove(at)),
            len if len < chunk.capacity() / 2 => self.tidy(at),
            _ => {}
        }
        Some(hash)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flatten()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The index of the chunk that has `key`, or in which it belongs.
    fn chunk_of(&self, key: Key) -> usize {
        self.chunks.partition_point(|chunk| chunk[0].0 <= key).saturating_sub(1)
    }

    /// Makes two chunks of a full one.
    fn split(&mut self, at: usize) {
        let (lower, upper) = self.chunks[at].split_at(CHUNK / 2);
        // Both are copies: what is cut off a `Vec` keeps its memory.
        let (lower, upper) = (lower.to_vec(), upper.to_vec());
        self.chunks[at] = lower;
        self.chunks.insert(at + 1, upper);
    }

    /// Returns the memory of a chunk that has lost many entries, and joins it with the next one if they fill
    /// half a chunk.
    fn tidy(&mut self, at: usize) {
        if let Some(next) = self.chunks.get(at + 1)
            && self.chunks[at].len() + next.len() <= CHUNK / 2
        {
            let next = self.chunks.remove(at + 1);
            self.chunks[at].extend(next);
        }
        self.chunks[at].shrink_to_fit();
    }
}

fn find(chunk: &[Entry], key: Key) -> Result<usize, usize> {
    chunk.binary_search_by_key(&key, |(key, _)| *key)
}

/// Inserts an entry. Grows the memory by a sixteenth, where `Vec` would double it.
fn insert_at(chunk: &mut Vec<Entry>, place: usize, entry: Entry) {
    if chunk.len() == chunk.capacity() {
        chunk.reserve_exact((chunk.len() / 16 + 1).min(CHUNK - chunk.len()));
    }
    chunk.insert(place, entry);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::Kind;

    fn key(n: u32) -> Key {
        Key { kind: Kind((n % 3) as u8), id: Uuid::from_u128(u128::from(n)) }
    }

    fn hash(n: u32) -> EntityHash {
        EntityHash(u128::from(n).to_le_bytes())
    }

    /// Numbers without an order, each below `end`.
    fn shuffled(end: u32) -> impl Iterator<Item = u32> {
        (0..end).map(move |n| (u64::from(n) * 618_033 % u64::from(end)) as u32)
    }

    fn check(entities: &Entities, model: &BTreeMap<Key, EntityHash>) {
        assert!(entities.iter().map(|(key, hash)| (key, hash)).eq(model));
        assert_eq!(entities.is_empty(), model.is_empty());
        assert!(entities.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
    }

    #[test]
    fn behaves_as_a_sorted_map() {
        const END: u32 = 5000;
        let (mut entities, mut model) = (Entities::default(), BTreeMap::new());
        for n in shuffled(END) {
            assert_eq!(entities.insert(key(n), hash(n)), model.insert(key(n), hash(n)));
            assert_eq!(entities.insert(key(n / 2), hash(n)), model.insert(key(n / 2), hash(n)));
            assert_eq!(entities.remove(key(n / 3)), model.remove(&key(n / 3)));
            if n % 100 == 0 {
                check(&entities, &model);
            }
        }
        for n in shuffled(END) {
            assert_eq!(entities.get(key(n)), model.get(&key(n)).copied());
            assert_eq!(entities.remove(key(n)), model.remove(&key(n)));
            if n % 100 == 0 {
                check(&entities, &model);
            }
        }
        check(&entities, &model);
    }

    #[test]
    fn little_memory_stays_free_in_any_order() {
        const END: u32 = 50_000;
        let room = |entities: &Entities| entities.chunks.iter().map(Vec::capacity).sum::<usize>();
        let orders: [Vec<u32>; 3] = [(0..END).collect(), (0..END).rev().collect(), shuffled(END).collect()];
        for order in orders {
            let mut entities = Entities::default();
            for n in &order {
                entities.insert(key(*n), hash(*n));
            }
            assert!(room(&entities) < END as usize * 107 / 100, "{}", room(&entities));
            for n in order.iter().filter(|n| *n % 10 > 0) {
                entities.remove(key(*n));
            }
            assert!(room(&entities) < END as usize / 10 * 3, "{}", room(&entities));
        }
    }
}
