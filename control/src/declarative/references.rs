//! References by name: the field `service` of a route may be an id, a name, `{id: …}` or `{name: …}`.

use model::{Described, Field};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use wire::Kind;

/// A name that stands for no entity.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// The field.
    pub(super) field: &'static str,
    /// Why, in Kong's words.
    pub(super) message: String,
}

/// The most characters of a name that a message repeats.
const SHOWN: usize = 200;

/// Replaces the names in `fields` by the ids that `find` knows. Other names stay.
pub(super) fn resolve(
    kind: &dyn Described,
    fields: &mut Map<String, Value>,
    find: impl Fn(Kind, &str) -> Option<Uuid>,
) -> Vec<Unknown> {
    let mut unknown = Vec::new();
    for field in kind.fields() {
        let target = field.target().and_then(|target| model::described(target.kind));
        if let (Some(target), Some(value)) = (target, fields.get_mut(field.name)) {
            unknown.extend(resolve_field(field, target, value, &find));
        }
    }
    unknown
}

fn resolve_field(
    field: &'static Field,
    target: &dyn Described,
    value: &mut Value,
    find: &impl Fn(Kind, &str) -> Option<Uuid>,
) -> Option<Unknown> {
    let find = |name: &str| match find(target.kind(), name) {
        Some(id) => Ok(id),
        None => Err(unknown(field.name, name, target.collection())),
    };
    match value {
        Value::Array(list) if field.foreign().is_none() => {
            let results: Vec<_> = list
                .iter_mut()
                .filter_map(|element| {
                    let name = named(element, target)?;
                    Some(find(&name).map(|id| *element = json!(id)))
                })
                .collect();
            results.into_iter().find_map(Result::err)
        }
        value => match named(value, target) {
            Some(name) => find(&name).map(|id| *value = json!({ "id": id })).err(),
            None => {
                if let Value::String(id) = value {
                    *value = json!({ "id": id });
                }
                None
            }
        },
    }
}

/// The name in a reference, if it is one by name.
fn named(value: &Value, target: &dyn Described) -> Option<String> {
    let key = naming_field(target)?;
    let name = match value {
        Value::String(text) if parse_id(text).is_none() => Some(text.as_str()),
        Value::Object(record) if record.len() == 1 => record.get(key).and_then(Value::as_str),
        _ => None,
    }?;
    Some(canonical(target, name))
}

/// The form of a name in which it is compared.
pub(super) fn canonical(kind: &dyn Described, name: &str) -> String {
    let field = kind.fields().iter().find(|field| Some(field.name) == kind.endpoint_key());
    field.map_or_else(|| name.to_owned(), |field| field.key(name, None))
}

/// The field whose value identifies an entity among those of its kind.
pub(super) fn naming_field(kind: &dyn Described) -> Option<&'static str> {
    let key = kind.endpoint_key()?;
    let within = kind.fields().iter().any(|field| field.name == key && field.within().is_some());
    (!within).then_some(key)
}

/// Whether a field of the kind is a secret.
pub(super) fn is_secret(kind: &dyn Described, field: &str) -> bool {
    kind.fields().iter().any(|declared| declared.name == field && declared.is_secret())
}

/// The field of canonical bytes that identifies an entity among those of its kind: the hash of a secret one.
pub(super) fn stored_naming_field(kind: &dyn Described) -> Option<&'static str> {
    let named = naming_field(kind)?;
    match is_secret(kind, named) {
        false => Some(named),
        true => {
            kind.fields().iter().find(|field| field.is_unique() && !field.is_shown()).map(|field| field.name)
        }
    }
}

/// The name of an entity that gives none.
pub(super) fn default_name(kind: &dyn Described, field: &str) -> Option<String> {
    let declared = kind.fields().iter().find(|declared| declared.name == field)?;
    declared.default.as_str().map(str::to_owned)
}

/// Parses an id in the form in which ids are shown.
pub(super) fn parse_id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

/// The message for a reference to an entity that the configuration does not have.
pub(super) fn unknown(field: &'static str, value: &str, collection: &str) -> Unknown {
    let shown: String = value.chars().take(SHOWN).collect();
    let message = format!("invalid reference '{field}: {shown}' (no such entry in '{collection}')");
    Unknown { field, message }
}
