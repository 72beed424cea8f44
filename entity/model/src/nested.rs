//! Records as fields of records. The derive macro calls these.

use serde::Deserializer;
use serde_json::{Map, Value, json};

use crate::field::Level;
use crate::marks;
use crate::members;
use crate::record::{self, Record};
use crate::schema;
use crate::violations::FieldErrors;

/// The violations of a record.
pub fn check<R: Record>(record: &R, level: Level) -> Option<FieldErrors> {
    FieldErrors::of_record(record::check(record, level))
}

/// Shows a record.
pub fn show<R: Record>(record: &R) -> Value {
    Value::Object(record::show(record))
}

/// Reads a record.
///
/// # Errors
/// All violations of what was read.
pub fn read<R: Record>(value: Value, form: bool) -> Result<R, FieldErrors> {
    match record::read_nested(value, form) {
        (Some(read), None) => Ok(read),
        (_, errors) => Err(errors.unwrap_or_else(|| "expected a record".into())),
    }
}

/// Reads as much of a record as can be read; see `FieldType::read_part`.
pub fn read_part<R: Record>(value: Value, form: bool) -> (Option<R>, Option<FieldErrors>) {
    record::read_nested(value, form)
}

/// Describes a record in the words of a schema.
pub fn describe<R: Record>() -> Map<String, Value> {
    let fields = schema::fields(R::fields());
    let mut schema = Map::from_iter([("type".to_owned(), json!("record")), ("fields".to_owned(), fields)]);
    let checks = R::entity_checks();
    if !checks.is_empty() {
        schema.insert("entity_checks".to_owned(), checks.into());
    }
    schema
}

/// Adds the fields of a record that must be understood; see `FieldType::marks`.
pub fn marks<R: Record>(value: Option<&Value>, path: &str, found: &mut Vec<String>) {
    marks::find(R::fields(), value, path, found);
}

/// Reads the canonical form of a record.
///
/// # Errors
/// Those of the deserializer, and a member that must be understood and is unknown.
pub fn deserialize<'de, R: Record, D: Deserializer<'de>>(deserializer: D) -> Result<R, D::Error> {
    members::deserialize(deserializer)
}
