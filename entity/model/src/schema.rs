//! Schemas of entities in the form that Kong's clients read.

use serde_json::{Map, Value, json};

use crate::common;
use crate::entity::Described;
use crate::field::Field;

/// The schema of a kind, as `GET /schemas/{collection}` shows it.
pub fn schema(kind: &dyn Described) -> Value {
    let common = common::schema();
    let own = kind.fields().iter().filter(|field| common.iter().all(|(name, _)| *name != field.name));
    let fields = common.iter().map(|(name, schema)| one(name, schema.clone()));
    let fields: Vec<Value> = fields.chain(own.map(|field| one(field.name, attributes(field)))).collect();
    json!({ "entity_checks": [], "fields": fields })
}

/// The fields of a record.
pub(crate) fn fields(fields: &[Field]) -> Value {
    fields.iter().map(|field| one(field.name, attributes(field))).collect()
}

fn one(name: &str, attributes: Map<String, Value>) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), Value::Object(attributes))]))
}

fn attributes(field: &Field) -> Map<String, Value> {
    let mut attributes = (field.describe)(&field.rules);
    let mut add = |name: &str, value: Value| drop(attributes.insert(name.to_owned(), value));
    if !field.description.is_empty() {
        add("description", field.description.into());
    }
    if !field.nullable {
        add("required", true.into());
    }
    if !field.default.is_null() {
        add("default", field.default.clone());
    }
    if field.is_unique() {
        add("unique", true.into());
    }
    if field.is_secret() {
        add("encrypted", true.into());
    }
    attributes
}
