//! Schemas of entities in the form that Kong's clients read.

use serde_json::{Map, Value, json};

use crate::common::{self, Times};
use crate::field::Field;

/// The attribute of a field that Kong does not have.
const ADDITION: &str = "addition";

/// What the schema of a kind shows.
pub(crate) struct Schema {
    /// The unit of its times.
    pub(crate) times: Times,
    /// Whether the control plane keeps the time of the last write.
    pub(crate) has_updated_at: bool,
    /// The declared fields, in their order.
    pub(crate) fields: &'static [Field],
    /// The fields that follow from the content.
    pub(crate) computed: Vec<Field>,
    /// The fields that stand for entities of other kinds.
    pub(crate) companions: Vec<Field>,
    /// The rules between fields.
    pub(crate) checks: Vec<Value>,
    /// The shorthand fields.
    pub(crate) shorthands: Vec<(&'static str, Map<String, Value>)>,
}

impl Schema {
    pub(crate) fn show(self) -> Value {
        let mut common = common::schema(self.times);
        common.retain(|(name, _)| self.has_updated_at || *name != "updated_at");
        let declared = self
            .fields
            .iter()
            .filter(|field| field.is_shown() && common.iter().all(|(name, _)| *name != field.name));
        let mut fields: Vec<Value> = common.iter().map(|(name, schema)| one(name, schema.clone())).collect();
        fields.extend(declared.chain(&self.computed).map(|field| one(field.name, attributes(field))));
        fields.extend(self.companions.iter().map(|field| one(field.name, transient(field))));
        let mut schema = json!({ "entity_checks": self.checks, "fields": fields });
        if !self.shorthands.is_empty() {
            let shorthands = self.shorthands.into_iter().map(|(name, attributes)| one(name, attributes));
            schema["shorthand_fields"] = shorthands.collect();
        }
        schema
    }
}

/// The fields of a record.
pub(crate) fn fields(fields: &[Field]) -> Value {
    fields.iter().map(|field| one(field.name, attributes(field))).collect()
}

/// The rule that a field must have a value of a certain form if another field has one.
pub(crate) fn conditional(if_field: &str, if_match: &Value, then_field: &str, then_match: &Value) -> Value {
    let conditional = json!({
        "if_field": if_field,
        "if_match": if_match,
        "then_field": then_field,
        "then_match": then_match,
    });
    json!({ "conditional": conditional })
}

fn one(name: &str, attributes: Map<String, Value>) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), Value::Object(attributes))]))
}

/// A field of bodies and views that is stored elsewhere.
fn transient(field: &Field) -> Map<String, Value> {
    let mut attributes = attributes(field);
    attributes.insert("transient".to_owned(), true.into());
    attributes
}

fn attributes(field: &Field) -> Map<String, Value> {
    let mut attributes = (field.describe)(&field.rules);
    let is_abstract = attributes.contains_key("abstract");
    let mut add = |name: &str, value: Value| drop(attributes.insert(name.to_owned(), value));
    if !field.description.is_empty() {
        add("description", field.description.into());
    }
    // The record in its place has a schema of its own.
    if is_abstract {
        return attributes;
    }
    if !field.nullable {
        add("required", true.into());
    }
    if !field.default.is_null() {
        add("default", field.default.clone());
    }
    if field.rules.unique && field.rules.within.is_none() || field.rules.unique_by_hash {
        add("unique", true.into());
    }
    if field.rules.auto {
        add("auto", true.into());
    }
    if field.is_secret() {
        add("encrypted", true.into());
    }
    if field.rules.quiet {
        add(ADDITION, true.into());
    }
    attributes
}

/// Takes the fields that Kong does not have out of a schema: views leave them out while they have their defaults,
/// and Kong's clients add the defaults of a schema to what they compare with views.
pub fn without_additions(schema: &mut Value) {
    match schema {
        Value::Array(elements) => elements.iter_mut().for_each(without_additions),
        Value::Object(members) => {
            if let Some(Value::Array(fields)) = members.get_mut("fields") {
                fields.retain(|field| !is_addition(field));
            }
            members.values_mut().for_each(without_additions);
        }
        _ => {}
    }
}

/// Whether an element of a list of fields is one that Kong does not have.
fn is_addition(field: &Value) -> bool {
    field.as_object().is_some_and(|named| named.values().any(|attributes| attributes[ADDITION] == true))
}
