//! The marks of fields that must be understood, in what is declared and in canonical bytes.

use serde_json::Value;

use crate::field::Field;
use crate::members::MARK;

/// Adds the marked fields of a record: those in `value`, or without a value all that are declared.
pub(crate) fn find(fields: &[Field], value: Option<&Value>, path: &str, found: &mut Vec<String>) {
    let Some(value) = value else {
        for field in fields {
            let path = format!("{path}.{}", field.name);
            if field.must_understand() {
                found.push(path.clone());
            }
            (field.marks)(None, &path, found);
        }
        return;
    };
    for (member, value) in value.as_object().into_iter().flatten() {
        let marked = member.strip_prefix(char::from(MARK));
        let name = marked.unwrap_or(member);
        let path = format!("{path}.{name}");
        if let Some(field) = fields.iter().find(|field| field.name == name) {
            (field.marks)(Some(value), &path, found);
        }
        if marked.is_some() {
            found.push(path);
        }
    }
}
