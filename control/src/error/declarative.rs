//! The answers to declarative configurations that are refused.

use axum::Json;
use serde_json::{Map, Value, json};

use crate::declarative::Errors;

/// The answer to a document with errors: by field in the shape of the document or, flattened, as a list of
/// entities.
pub(super) fn invalid(errors: &Errors, flatten: bool) -> Json<Value> {
    let fields = if flatten { Value::Object(errors.about_document()) } else { errors.nested() };
    let mut body = coded(&errors.message(), fields);
    if flatten {
        body.insert("flattened_errors".to_owned(), errors.flattened().into());
    }
    if errors.unnamed() > 0 {
        body.insert("unnamed_errors".to_owned(), errors.unnamed().into());
    }
    Json(Value::Object(body))
}

/// The answer to a document that cannot be parsed.
pub(super) fn unreadable(reason: &str) -> Json<Value> {
    let reason = format!("failed parsing declarative configuration: {reason}");
    Json(Value::Object(coded(
        &format!("declarative config is invalid: {reason}"),
        json!({ "error": reason }),
    )))
}

/// The answer to a document that needs more than `most` bytes of memory.
pub(super) fn too_large(most: usize) -> Json<Value> {
    let text = format!(
        "The configuration needs more than {most} bytes of memory (admin.max_config_memory), with the one that it \
         is compared with; nothing was changed"
    );
    Json(json!({ "message": text }))
}

/// The answer to a rollback that would need secrets which are not kept.
pub(super) fn not_kept(entities: &[String], more: usize) -> Json<Value> {
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let text = format!("{}{more}. Nothing was changed", entities.join("; "));
    Json(json!({ "message": text }))
}

/// The answer while another document is being read or written.
pub(super) fn busy() -> Json<Value> {
    Json(json!({ "message": "Currently loading another configuration; try again later" }))
}

fn coded(message: &str, fields: Value) -> Map<String, Value> {
    let name = "invalid declarative configuration";
    Map::from_iter([
        ("code".to_owned(), json!(14)),
        ("name".to_owned(), json!(name)),
        ("message".to_owned(), json!(message)),
        ("fields".to_owned(), fields),
    ])
}
