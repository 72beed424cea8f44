//! Entities: records that have an identity, and what the planes do with one whatever its kind.

use std::fmt::Debug;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;
use wire::Kind;

use crate::common::Common;
use crate::computed::Computed;
use crate::field::{Field, Level};
use crate::kinds::AnyEntity;
use crate::members;
use crate::record::{self, Reader, Record, Reference};
use crate::schema;
use crate::violations::Violations;

/// A record with an identity of its own.
pub trait Entity: Record + Serialize + DeserializeOwned {
    /// Its kind.
    const KIND: Kind;

    /// The name of the collection, in paths and messages.
    const COLLECTION: &'static str;

    /// The field by which a path may name an entity, beside its id.
    const ENDPOINT_KEY: Option<&'static str> = None;

    /// Sets its identity, which is no part of the canonical bytes.
    fn set_id(&mut self, id: Uuid);

    /// Sets the time of its creation, if the data planes need it.
    fn set_created_at(&mut self, _created_at: i64) {}

    /// Replaces shorthand fields of a body by those that they stand for.
    fn expand(_fields: &mut Map<String, Value>, _violations: &mut Violations) {}

    /// The shorthand fields, with their types in the words of a schema.
    fn shorthands() -> Vec<(&'static str, Map<String, Value>)> {
        Vec::new()
    }

    /// The fields that follow from the content.
    fn computed() -> Vec<Computed<Self>> {
        Vec::new()
    }

    /// The fields of bodies and views that stand for entities of other kinds, which are written with this
    /// one.
    fn companions() -> Vec<Field> {
        Vec::new()
    }

    /// Checks the rules of every version, as both planes do.
    ///
    /// # Errors
    /// All rules that it breaks.
    fn validate(&self) -> Result<(), Violations> {
        record::check(self, Level::Rules).into_result()
    }

    /// Checks what is written: the bounds, and then every rule, also those that are narrower for new writes.
    ///
    /// # Errors
    /// All bounds that it exceeds, or all rules that it breaks.
    fn validate_write(&self) -> Result<(), Violations> {
        record::check_written(self).into_result()
    }

    /// The canonical bytes.
    fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("records have string keys and no failing serialiser")
    }
}

/// The content of an entity, and what the database keeps beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The canonical bytes.
    pub bytes: Vec<u8>,
    /// The values of unique fields, by name.
    pub unique: Vec<(&'static str, String)>,
    /// The entities that it names.
    pub references: Vec<Reference>,
}

/// A body, as far as it is read.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The fields.
    pub fields: Map<String, Value>,
    /// Whether the body was a form, in which every value is a string.
    pub form: bool,
}

/// Why the canonical bytes of an entity are refused.
#[derive(Debug)]
pub enum Unreadable {
    /// They are not the bytes of an entity of the kind.
    Bytes(serde_json::Error),
    /// They hold this field, which must be understood, and this version does not know it.
    Unsupported(String),
    /// The entity breaks these rules.
    Invalid(Violations),
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        match members::unsupported(&error) {
            Some(field) => Self::Unsupported(field),
            None => Self::Bytes(error),
        }
    }
}

/// A kind of entity, whatever its type.
pub trait Described: Debug + Send + Sync {
    /// The kind.
    fn kind(&self) -> Kind;

    /// The name of the collection, in paths and messages.
    fn collection(&self) -> &'static str;

    /// The field by which a path may name an entity, beside its id.
    fn endpoint_key(&self) -> Option<&'static str>;

    /// The fields, without those that all kinds have.
    fn fields(&self) -> &'static [Field];

    /// The fields of bodies and views that stand for entities of other kinds, which are written with one of
    /// this kind.
    fn companions(&self) -> Vec<Field>;

    /// The schema, in the form that Kong's clients read.
    fn schema(&self) -> Value;

    /// Whether an entity may hold a secret, such as a private key.
    fn may_hold_secrets(&self) -> bool {
        self.fields().iter().any(Field::is_secret)
    }

    /// Replaces shorthand fields of a body by those that they stand for.
    fn expand(&self, fields: &mut Map<String, Value>, violations: &mut Violations);

    /// Reads an entity from the fields of a body and checks it, as all writes are.
    ///
    /// # Errors
    /// All violations, those given included.
    fn read(&self, input: Input, common: &Common, violations: Violations) -> Result<Content, Violations>;

    /// The content of canonical bytes.
    ///
    /// # Errors
    /// When they are not those of an entity of the kind.
    fn content(&self, bytes: &[u8]) -> Result<Content, serde_json::Error>;

    /// Shows canonical bytes as the Admin API does, without the fields that all kinds have.
    ///
    /// # Errors
    /// When they are not those of an entity of the kind.
    fn show(&self, bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error>;

    /// Restores the secrets of `held`, in canonical bytes, that a client sends back in the form in which it
    /// was shown them.
    fn reveal(&self, held: &[u8], fields: &mut Map<String, Value>);

    /// Canonical bytes with [`crate::HIDDEN`] in place of each secret.
    ///
    /// # Errors
    /// When they are not JSON of an object.
    fn without_secrets(&self, bytes: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
        let mut all: Map<String, Value> = serde_json::from_slice(bytes)?;
        for field in self.fields().iter().filter(|field| field.is_secret()) {
            if let Some(value) = all.get_mut(field.name) {
                *value = crate::HIDDEN.into();
            }
        }
        serde_json::to_vec(&all)
    }

    /// Reads canonical bytes as a data plane does.
    ///
    /// # Errors
    /// When they cannot be read, or break a rule.
    fn parse(&self, id: Uuid, bytes: &[u8]) -> Result<AnyEntity, Unreadable>;
}

/// The description of the kind of `E`.
pub(crate) struct Of<E>(PhantomData<fn() -> E>);

impl<E> Of<E> {
    pub(crate) const NEW: Self = Self(PhantomData);
}

impl<E: Entity> Debug for Of<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(E::COLLECTION)
    }
}

impl<E: Entity + Into<AnyEntity>> Described for Of<E> {
    fn kind(&self) -> Kind {
        E::KIND
    }

    fn collection(&self) -> &'static str {
        E::COLLECTION
    }

    fn endpoint_key(&self) -> Option<&'static str> {
        E::ENDPOINT_KEY
    }

    fn fields(&self) -> &'static [Field] {
        E::fields()
    }

    fn companions(&self) -> Vec<Field> {
        E::companions()
    }

    fn schema(&self) -> Value {
        schema::of::<E>()
    }

    fn expand(&self, fields: &mut Map<String, Value>, violations: &mut Violations) {
        E::expand(fields, violations);
    }

    fn read(
        &self,
        mut input: Input,
        common: &Common,
        mut violations: Violations,
    ) -> Result<Content, Violations> {
        for computed in E::computed() {
            computed.field.take::<String>(&mut input.fields, input.form, &mut violations);
        }
        let mut reader = Reader::new(input.fields, input.form, violations);
        let mut entity = E::read(&mut reader);
        entity.set_id(common.id);
        entity.set_created_at(common.created_at);
        let mut violations = reader.finish();
        violations.merge(record::check_written(&entity));
        violations.into_result()?;
        Ok(content(&entity, entity.canonical()))
    }

    fn content(&self, bytes: &[u8]) -> Result<Content, serde_json::Error> {
        Ok(content(&serde_json::from_slice::<E>(bytes)?, bytes.to_vec()))
    }

    fn show(&self, bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
        let entity = serde_json::from_slice::<E>(bytes)?;
        let mut view = record::show(&entity);
        let computed = E::computed().into_iter();
        view.extend(computed.map(|Computed { field, value }| (field.name.to_owned(), value(&entity).into())));
        Ok(view)
    }

    fn reveal(&self, held: &[u8], fields: &mut Map<String, Value>) {
        if self.may_hold_secrets()
            && let Ok(held) = serde_json::from_slice::<E>(held)
        {
            record::reveal(&held, fields);
        }
    }

    fn parse(&self, id: Uuid, bytes: &[u8]) -> Result<AnyEntity, Unreadable> {
        let mut entity: E = serde_json::from_slice(bytes).map_err(Unreadable::from)?;
        entity.set_id(id);
        entity.validate().map_err(Unreadable::Invalid)?;
        Ok(entity.into())
    }
}

fn content<E: Entity>(entity: &E, bytes: Vec<u8>) -> Content {
    let computed = E::computed().into_iter().filter(|computed| computed.field.is_unique());
    let computed = computed.filter_map(|Computed { field, value }| Some((field.name, value(entity)?)));
    let unique = record::unique(entity).into_iter().chain(computed).collect();
    Content { bytes, unique, references: record::references(entity) }
}
