//! The kinds, each described whatever its type: what the planes do with an entity by its declaration.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;

use serde_json::{Map, Value, json};
use uuid::Uuid;
use wire::Kind;

use crate::common::{Common, Times};
use crate::computed::Computed;
use crate::entity::{Content, Credential, Entity, Input, Unreadable};
use crate::field::Field;
use crate::kind::{self, with_every_kind};
use crate::kinds::AnyEntity;
use crate::record::{self, Reader};
use crate::schema::Schema;
use crate::secrets;
use crate::violations::Violations;

/// The name of the unique value that fields have [together](Entity::UNIQUE_TOGETHER), beside those of unique
/// fields.
pub const TOGETHER: &str = "together";

/// A kind of entity, whatever its type.
pub trait Described: Debug + Send + Sync {
    /// The kind.
    fn kind(&self) -> Kind;

    /// The name of the collection, in paths and messages.
    fn collection(&self) -> &'static str;

    /// What paths call an entity of the kind if it belongs to a consumer.
    fn credential(&self) -> Option<Credential>;

    /// The name of the collection in paths of the Admin API.
    fn path(&self) -> &'static str {
        self.credential().map_or_else(|| self.collection(), |credential| credential.collection)
    }

    /// The name of the collection in paths of the Admin API below the entity that its entities name.
    fn nested_path(&self) -> &'static str {
        self.credential().map_or_else(|| self.collection(), |credential| credential.nested)
    }

    /// The field by which a path may name an entity, beside its id.
    fn endpoint_key(&self) -> Option<&'static str>;

    /// The fields, without those that all kinds have.
    fn fields(&self) -> &'static [Field];

    /// The fields of bodies and views that stand for entities of other kinds, which are written with one of
    /// this kind.
    fn companions(&self) -> Vec<Field>;

    /// The fields of a unique value of several fields together, as bodies give them.
    fn split_together(&self, value: &str) -> Vec<(&'static str, Value)> {
        let is_foreign =
            |name| self.fields().iter().any(|field| field.name == name && field.foreign().is_some());
        let show = |(name, value): (&'static str, &str)| match value {
            "-" => (name, Value::Null),
            id if is_foreign(name) => (name, json!({ "id": id })),
            text => (name, text.into()),
        };
        self.unique_together().iter().copied().zip(value.split(' ')).map(show).collect()
    }

    /// The schema, in the form that Kong's clients read.
    fn schema(&self) -> Value;

    /// Whether an entity may hold a secret, such as a private key.
    fn may_hold_secrets(&self) -> bool;

    /// Visits the secrets within the fields of a body or the members of canonical bytes, each with the path of
    /// its field, such as `config.redis.password`.
    fn each_secret(&self, members: &mut Map<String, Value>, visit: &mut dyn FnMut(&str, &mut Value));

    /// The fields whose values no other entity of the kind has together.
    fn unique_together(&self) -> &'static [&'static str];

    /// Whether it has a collection of its own in the Admin API; see [`Entity::HAS_COLLECTION`].
    fn has_collection(&self) -> bool;

    /// Whether it is what an operator does at run time; see [`Entity::OPERATIONAL`].
    fn is_operational(&self) -> bool;

    /// The unit of the times that the control plane keeps.
    fn times(&self) -> Times;

    /// Adds the values that fields of a body imply for others. Call it with the fields that a client has
    /// given, before they are merged with those of an entity. `held` are the canonical bytes of the entity that
    /// the body changes; none of one that it replaces.
    fn imply(&self, held: Option<&[u8]>, input: &mut Input, violations: &mut Violations);

    /// Puts the fields that a body gives in place of those of an entity, as the Admin API shows it. Of a
    /// record, the fields that are not given stay.
    fn merge(&self, shown: &mut Map<String, Value>, given: Map<String, Value>);

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

    /// The fields that canonical bytes hold, in the form in which a document gives them; secrets in clear.
    ///
    /// # Errors
    /// When they are not JSON of an object.
    fn members(&self, bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error>;

    /// Restores the secrets of `held`, in canonical bytes, that a client sends back in the form in which it
    /// was shown them.
    fn reveal(&self, held: &[u8], fields: &mut Map<String, Value>) {
        let Some(mut held) = self.may_hold_secrets().then(|| self.members(held).ok()).flatten() else {
            return;
        };
        let mut clear = BTreeMap::new();
        self.each_secret(&mut held, &mut |path, value| drop(clear.insert(path.to_owned(), value.take())));
        self.each_secret(fields, &mut |path, value| {
            if secrets::is_hidden(value)
                && let Some(secret) = clear.get(path)
            {
                *value = secret.clone();
            }
        });
    }

    /// Puts [`crate::HIDDEN`] in place of each secret.
    fn hide(&self, members: &mut Map<String, Value>) {
        self.each_secret(members, &mut |_, value| *value = crate::HIDDEN.into());
    }

    /// Completes a replacement of `held`, in canonical bytes, by the fields that a client leaves as they are.
    fn keep(&self, held: &[u8], fields: &mut Map<String, Value>);

    /// Canonical bytes with [`crate::HIDDEN`] in place of each secret.
    ///
    /// # Errors
    /// When they are not JSON of an object.
    fn without_secrets(&self, bytes: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
        let mut all: Map<String, Value> = serde_json::from_slice(bytes)?;
        self.hide(&mut all);
        serde_json::to_vec(&all)
    }

    /// Reads canonical bytes as a data plane does.
    ///
    /// # Errors
    /// When they cannot be read, or break a rule.
    fn parse(&self, id: Uuid, bytes: &[u8]) -> Result<AnyEntity, Unreadable>;
}

macro_rules! descriptions {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $collection:literal: $module:ident::$entity:ident;)*) => {
        /// Every kind, in the order of the numbers.
        pub static KINDS: &[&dyn Described] = &[$(&Of::<crate::kinds::$entity>::NEW),*];
    };
}

with_every_kind!(descriptions);

/// The description of a kind; `None` for one that this version does not know.
pub fn described(kind: Kind) -> Option<&'static dyn Described> {
    KINDS.iter().copied().find(|described| described.kind() == kind)
}

/// The description of the kind with this collection.
pub fn of_collection(name: &str) -> Option<&'static dyn Described> {
    KINDS.iter().copied().find(|described| described.collection() == name)
}

/// Whether entities of the kind are what operators do at run time. False for a kind that this version does
/// not know.
pub fn is_operational(kind: Kind) -> bool {
    described(kind).is_some_and(Described::is_operational)
}

/// Whether entities of the kind may hold a secret, such as a private key. True for a kind that this version
/// does not know.
pub fn may_hold_secrets(kind: Kind) -> bool {
    described(kind).is_none_or(Described::may_hold_secrets)
}

/// The description of the kind of `E`.
pub(crate) struct Of<E>(PhantomData<fn() -> E>);

impl<E> Of<E> {
    pub(crate) const NEW: Self = Self(PhantomData);
}

impl<E: Entity> Debug for Of<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(kind::known_collection(E::KIND).unwrap_or_default())
    }
}

impl<E: Entity + Into<AnyEntity>> Described for Of<E> {
    fn kind(&self) -> Kind {
        E::KIND
    }

    fn collection(&self) -> &'static str {
        kind::known_collection(E::KIND).unwrap_or_default()
    }

    fn credential(&self) -> Option<Credential> {
        E::CREDENTIAL
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
        let schema = Schema {
            times: E::TIMES,
            has_updated_at: E::CREDENTIAL.is_none(),
            fields: E::fields(),
            computed: E::computed().into_iter().map(|computed| computed.field).collect(),
            companions: E::companions(),
            checks: E::entity_checks(),
            shorthands: E::shorthands(),
        };
        schema.show()
    }

    fn has_collection(&self) -> bool {
        E::HAS_COLLECTION
    }

    fn is_operational(&self) -> bool {
        E::OPERATIONAL
    }

    fn times(&self) -> Times {
        E::TIMES
    }

    fn may_hold_secrets(&self) -> bool {
        E::may_hold_secrets()
    }

    fn each_secret(&self, members: &mut Map<String, Value>, visit: &mut dyn FnMut(&str, &mut Value)) {
        if E::may_hold_secrets() {
            E::each_secret(members, visit);
        }
    }

    fn unique_together(&self) -> &'static [&'static str] {
        E::UNIQUE_TOGETHER
    }

    fn imply(&self, held: Option<&[u8]>, input: &mut Input, violations: &mut Violations) {
        let held = held.and_then(|held| serde_json::from_slice::<E>(held).ok());
        E::imply(held.as_ref(), input, violations);
    }

    fn merge(&self, shown: &mut Map<String, Value>, given: Map<String, Value>) {
        E::merge(shown, given);
    }

    fn members(&self, bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
        let mut members = serde_json::from_slice(bytes)?;
        E::unpack(&mut members);
        Ok(members)
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
        E::prepare(&mut input.fields, &mut violations)?;
        for computed in E::computed() {
            computed.field.take::<String>(&mut input.fields, input.form, &mut violations);
        }
        let mut reader = Reader::new(input.fields, input.form, violations);
        let mut entity = E::read(&mut reader);
        entity.set_id(common.id);
        entity.set_created_at(common.created_at);
        entity.set_tags(common.tags.as_deref().unwrap_or_default());
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
        entity.complete_view(&mut view);
        Ok(view)
    }

    fn keep(&self, held: &[u8], fields: &mut Map<String, Value>) {
        if self.fields().iter().any(|field| field.rules.kept)
            && let Ok(held) = serde_json::from_slice::<E>(held)
        {
            record::keep(&held, fields);
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
    let together = (!E::UNIQUE_TOGETHER.is_empty()).then(|| record::together(entity, E::UNIQUE_TOGETHER));
    let together = together.map(|values| (TOGETHER, values));
    let unique = record::unique(entity).into_iter().chain(computed).chain(together).collect();
    Content { bytes, unique, references: record::references(entity) }
}
