//! The index of references: how often each entity is named, and which entities hold parts of it.
//!
//! Of most references only the number is kept. It says whether the named entity may be removed. Which entity
//! still names it is looked up when that is refused: the control plane does not let it happen. To know it at
//! once would take 50 bytes for each of a million credentials.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;
use wire::{Key, Kind};

use super::{References, Section};

/// How entities are named by others.
#[derive(Clone, Debug, Default)]
pub struct Referrers {
    /// The number of references to each entity that is named.
    counts: BTreeMap<Key, u32>,
    /// An entity, and one that names it and holds a part of it. Sorted, so that all holders of one stand together.
    holders: BTreeSet<(Key, Key)>,
}

/// What changes in the index.
#[derive(Debug, Default)]
pub struct ReferenceChanges {
    /// By how much the number of references to an entity grows.
    counts: HashMap<Key, i32>,
    /// An entity, one that names it, and whether that one will hold a part of it, or holds it no longer.
    holders: Vec<(Key, Key, bool)>,
}

impl Referrers {
    /// The number of references to an entity.
    pub fn count(&self, named: Key) -> u32 {
        self.counts.get(&named).copied().unwrap_or_default()
    }

    /// The number of references to an entity after `changes`.
    pub fn count_after(&self, changes: &ReferenceChanges, named: Key) -> u32 {
        let change = changes.counts.get(&named).copied().unwrap_or_default();
        self.count(named).saturating_add_signed(change)
    }

    /// The entities of the kind `by` that hold parts of `named`.
    pub fn holders(&self, named: Key, by: Kind) -> impl Iterator<Item = Key> {
        let [first, last] = [Uuid::nil(), Uuid::max()].map(|id| (named, Key { kind: by, id }));
        self.holders.range(first..=last).map(|(_, by)| *by)
    }

    /// Takes the changes.
    pub fn apply(&mut self, changes: ReferenceChanges) {
        let named = changes.counts.keys();
        let after: Vec<_> = named.map(|named| (*named, self.count_after(&changes, *named))).collect();
        if self.counts.is_empty() {
            // Built at once: faster, and without free space in its nodes.
            self.counts = after.into_iter().filter(|(_, count)| *count > 0).collect();
        } else {
            for (named, count) in after {
                match count {
                    0 => self.counts.remove(&named),
                    _ => self.counts.insert(named, count),
                };
            }
        }
        for (named, by, holds) in changes.holders {
            match holds {
                true => self.holders.insert((named, by)),
                false => self.holders.remove(&(named, by)),
            };
        }
    }
}

impl ReferenceChanges {
    /// Adds that the entity `by` changes from one form to another.
    pub fn add<T: Section>(&mut self, by: Key, before: Option<&T>, after: Option<&T>) {
        let [before, after] =
            [before, after].map(|form| form.map_or(Cow::Borrowed(&References::NONE), Section::references));
        if before == after {
            return;
        }
        for (references, by_how_much) in [(before, -1), (after, 1)] {
            for named in references.iter() {
                *self.counts.entry(named.to).or_default() += by_how_much;
                if T::HOLDS.contains(&named.to.kind) {
                    self.holders.push((named.to, by, by_how_much > 0));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{AnyEntity, kind};

    use super::super::{Service, Sni};
    use super::*;

    const fn id(id: u128) -> Uuid {
        Uuid::from_u128(id)
    }

    fn compiled<T: Section>(entity: T::Entity) -> Arc<T>
    where
        T::Entity: Clone + Into<AnyEntity>,
    {
        let references = References::of(&entity.clone().into());
        Arc::new(T::compile(&entity, references).unwrap())
    }

    fn service(of: u128, authorities: &[u128]) -> Arc<Service> {
        let ca_certificates = Some(authorities.iter().copied().map(id).collect());
        compiled(model::Service {
            id: id(of),
            host: "a".into(),
            ca_certificates,
            ..model::Service::default()
        })
    }

    #[test]
    fn references_are_counted_and_holders_of_parts_are_known() {
        let authority = |of| model::CaCertificate::key(id(of));
        let holders = |index: &Referrers, of| {
            let holders = index.holders(authority(of), kind::SERVICE);
            holders.map(|key| key.id.as_u128()).collect::<Vec<_>>()
        };
        let mut index = Referrers::default();
        let mut changes = ReferenceChanges::default();
        let (one, two) = (service(1, &[7, 7, 8]), service(2, &[8]));
        changes.add(one.key(), None, Some(&*one));
        changes.add(two.key(), None, Some(&*two));
        let sni: Arc<Sni> = compiled(model::Sni { id: id(3), certificate: id(9), ..model::Sni::default() });
        changes.add(sni.key(), None, Some(&*sni));
        assert_eq!((index.count(authority(8)), index.count_after(&changes, authority(8))), (0, 2));
        index.apply(changes);
        assert_eq!([7, 8, 9].map(|of| index.count(authority(of))), [2, 2, 0]);
        assert_eq!([7, 8].map(|of| holders(&index, of)), [vec![1], vec![1, 2]]);
        let certificate = model::Certificate::key(id(9));
        assert_eq!((index.count(certificate), index.holders(certificate, kind::SNI).count()), (1, 0));

        let mut changes = ReferenceChanges::default();
        let other = service(1, &[8, 9]);
        changes.add(one.key(), Some(&*one), Some(&*other));
        changes.add(two.key(), Some(&*two), None);
        assert_eq!(index.count_after(&changes, authority(7)), 0);
        index.apply(changes);
        assert_eq!([7, 8, 9].map(|of| index.count(authority(of))), [0, 1, 1]);
        assert_eq!([7, 8, 9].map(|of| holders(&index, of)), [vec![], vec![1], vec![1]]);
        assert_eq!(index.counts.len(), 3);
    }
}
