//! The published entities, in parts that copies share until one of them changes. A copy costs next to
//! nothing, whatever its size, and a reader blocks no other task.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use wire::{Key, Kind};

/// Canonical bytes by key, in the order of keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Entities {
    /// The parts, by kind and the first byte of the id.
    parts: BTreeMap<(Kind, u8), Arc<BTreeMap<Key, Bytes>>>,
    count: usize,
}

impl Entities {
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Bytes> {
        self.parts.get(&part(key))?.get(key)
    }

    pub(super) fn insert(&mut self, key: Key, bytes: Bytes) {
        let part = Arc::make_mut(self.parts.entry(part(&key)).or_default());
        self.count += usize::from(part.insert(key, bytes).is_none());
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let Some(shared) = self.parts.get_mut(&part(key)) else { return };
        if !shared.contains_key(key) {
            return;
        }
        let entities = Arc::make_mut(shared);
        entities.remove(key);
        self.count -= 1;
        if entities.is_empty() {
            self.parts.remove(&part(key));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Bytes)> {
        self.parts.values().flat_map(|part| part.iter())
    }

    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Bytes)> {
        self.parts.range((kind, u8::MIN)..=(kind, u8::MAX)).flat_map(|(_, part)| part.iter())
    }
}

impl FromIterator<(Key, Bytes)> for Entities {
    fn from_iter<I: IntoIterator<Item = (Key, Bytes)>>(entities: I) -> Self {
        let mut all = Self::default();
        entities.into_iter().for_each(|(key, bytes)| all.insert(key, bytes));
        all
    }
}

fn part(key: &Key) -> (Kind, u8) {
    (key.kind, key.id.as_bytes()[0])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn copy_stays_as_it_was_and_keys_keep_their_order() {
        let keys = [
            model::Route::key(Uuid::from_u128(1 << 120)),
            model::Route::key(Uuid::nil()),
            model::Service::key(Uuid::max()),
        ];
        let mut entities: Entities = keys.iter().map(|key| (*key, Bytes::from_static(b"{}"))).collect();
        let copy = entities.clone();
        entities.remove(&keys[0]);
        entities.remove(&keys[0]);
        entities.insert(keys[1], Bytes::from_static(b"[]"));
        assert_eq!((entities.len(), copy.len()), (2, 3));
        assert_eq!(copy.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [keys[2], keys[1], keys[0]]);
        assert_eq!(copy.get(&keys[1]).unwrap(), "{}");
        assert_eq!(entities.get(&keys[1]).unwrap(), "[]");
        assert_eq!(entities.get(&keys[0]), None);
    }
}
