//! The references of an entity: which other ones it names.

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

    /// The one of an entity of the kind `by` that names `to` in `field`.
    pub fn one(by: Kind, field: &str, to: Key) -> Self {
        let fields = model::described(by).map_or(&[][..], |described| described.fields());
        let at = fields.iter().position(|described| described.name == field);
        let field = at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
        Self(Few::One(Named { field, to }))
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

#[cfg(test)]
mod tests {
    use super::*;

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
