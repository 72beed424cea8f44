//! References between entities: which ones an entity names, and which ones name it.

use std::collections::BTreeSet;

use model::AnyEntity;
use smallvec::SmallVec;
use uuid::Uuid;
use wire::{Key, Kind};

/// The entities that one entity names, by the fields that its kind declares. A compiled entity keeps them, so
/// that the index can follow when it is replaced. Most entities name one or none: 24 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References(Few);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Few {
    #[default]
    None,
    One(Named),
    Many(Box<[Named]>),
}

/// An entity that a field names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The index of the field among those of its kind.
    field: u8,
    /// The named entity.
    pub to: Key,
}

impl References {
    /// No reference.
    pub const NONE: Self = Self(Few::None);

    /// The references of `entity`, as its fields declare them.
    pub fn of(entity: &AnyEntity) -> Self {
        let mut found = SmallVec::<[Named; 4]>::new();
        entity.each_reference(&mut |field, to| {
            found.push(Named { field: u8::try_from(field).unwrap_or(u8::MAX), to });
        });
        Self(match found[..] {
            [] => Few::None,
            [one] => Few::One(one),
            _ => Few::Many(found.as_slice().into()),
        })
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Named> {
        let all: &[Named] = match &self.0 {
            Few::None => &[],
            Few::One(one) => std::slice::from_ref(one),
            Few::Many(many) => many,
        };
        all.iter()
    }

    /// The ids of the named entities of one kind.
    pub fn to(&self, kind: Kind) -> impl Iterator<Item = Uuid> {
        self.iter().filter(move |named| named.to.kind == kind).map(|named| named.to.id)
    }
}

impl Named {
    /// The name of the field, of an entity of the kind `by`.
    pub fn field(&self, by: Kind) -> Option<&'static str> {
        model::described(by)?.fields().get(usize::from(self.field)).map(|field| field.name)
    }
}

/// Which entities name each other one. `N` is how they name it: a [`Key`], or a kind and a name.
#[derive(Clone, Debug)]
pub struct Referrers<N> {
    /// Sorted, so that all that name one entity stand together.
    edges: BTreeSet<(N, Key)>,
}

impl<N: Ord + Clone> Referrers<N> {
    /// Adds that `by` names `named`.
    pub fn add(&mut self, named: N, by: Key) {
        self.edges.insert((named, by));
    }

    /// Removes that `by` names `named`.
    pub fn remove(&mut self, named: N, by: Key) {
        self.edges.remove(&(named, by));
    }

    /// The entities that name `named`.
    pub fn of(&self, named: &N) -> impl Iterator<Item = Key> {
        self.between(named, Kind(0), Kind(u8::MAX))
    }

    /// The entities of one kind that name `named`.
    pub fn of_kind(&self, named: &N, kind: Kind) -> impl Iterator<Item = Key> {
        self.between(named, kind, kind)
    }

    fn between(&self, named: &N, first: Kind, last: Kind) -> impl Iterator<Item = Key> {
        let first = (named.clone(), Key { kind: first, id: Uuid::nil() });
        let last = (named.clone(), Key { kind: last, id: Uuid::max() });
        self.edges.range(first..=last).map(|(_, by)| *by)
    }
}

impl<N> Default for Referrers<N> {
    fn default() -> Self {
        Self { edges: BTreeSet::new() }
    }
}

impl<N: Ord + Clone> Extend<(N, Key)> for Referrers<N> {
    /// An empty index is built at once from sorted edges: faster, and without free space in its nodes.
    fn extend<I: IntoIterator<Item = (N, Key)>>(&mut self, edges: I) {
        if self.edges.is_empty() {
            self.edges = edges.into_iter().collect();
        } else {
            self.edges.extend(edges);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(kind: u8, id: u128) -> Key {
        Key { kind: Kind(kind), id: Uuid::from_u128(id) }
    }

    #[test]
    fn entities_by_id_and_by_name_know_their_referrers() {
        let mut by_id = Referrers::default();
        by_id.extend([(key(1, 1), key(2, 9)), (key(1, 1), key(2, 8)), (key(1, 2), key(2, 8))]);
        by_id.add(key(1, 1), key(4, 1));
        assert_eq!(by_id.of(&key(1, 1)).collect::<Vec<_>>(), [key(2, 8), key(2, 9), key(4, 1)]);
        assert_eq!(by_id.of_kind(&key(1, 1), Kind(4)).collect::<Vec<_>>(), [key(4, 1)]);
        by_id.remove(key(1, 1), key(2, 9));
        assert_eq!(by_id.of(&key(1, 1)).collect::<Vec<_>>(), [key(2, 8), key(4, 1)]);
        assert_eq!(by_id.of(&key(3, 1)).count(), 0);

        let name = |name: &str| (Kind(7), name.to_owned());
        let mut by_name = Referrers::default();
        by_name.add(name("a.internal"), key(1, 1));
        by_name.add(name("a.internal"), key(1, 2));
        by_name.add(name("b.internal"), key(1, 3));
        assert_eq!(by_name.of(&name("a.internal")).collect::<Vec<_>>(), [key(1, 1), key(1, 2)]);
    }

    #[test]
    fn references_are_those_that_the_fields_declare() {
        let id = Uuid::from_u128;
        let service = model::Service {
            id: id(1),
            ca_certificates: Some(vec![id(8), id(7)]),
            client_certificate: Some(id(9)),
            ..model::Service::default()
        };
        let references = References::of(&service.into());
        assert_eq!(references.to(model::kind::CA_CERTIFICATE).collect::<Vec<_>>(), [id(8), id(7)]);
        let fields: Vec<_> =
            references.iter().filter_map(|named| named.field(model::kind::SERVICE)).collect();
        assert_eq!(fields, ["ca_certificates", "ca_certificates", "client_certificate"]);
        let sni = model::Sni { certificate: id(3), ..model::Sni::default() };
        assert_eq!(References::of(&sni.into()).iter().count(), 1);
        // No id is special, not even the one of zeros.
        let route = model::Route { service: Some(Uuid::nil()), ..model::Route::default() };
        assert_eq!(References::of(&route.into()).to(model::kind::SERVICE).collect::<Vec<_>>(), [Uuid::nil()]);
        assert_eq!(References::of(&model::CaCertificate::default().into()), References::NONE);
        assert_eq!(size_of::<References>(), 24);
    }
}
