//! Secrets within the fields of a body or of canonical bytes.

use serde_json::{Map, Value};

use crate::field::{Field, HIDDEN};
use crate::members::MARK;
use crate::types::is_secret_name;

/// Takes a secret, by the path of its field, such as `redis.password`.
pub(crate) type Visit<'a> = dyn FnMut(&str, &mut Value) + 'a;

/// Visits the secrets of a record with these fields; `outer` is the path of the record.
pub(crate) fn each(fields: &[Field], members: &mut Map<String, Value>, outer: &str, visit: &mut Visit<'_>) {
    for (member, value) in members {
        let name = member.strip_prefix(char::from(MARK)).unwrap_or(member);
        if let Some(field) = fields.iter().find(|field| field.name == name) {
            within(field, value, &format!("{outer}{name}"), visit);
        }
    }
}

fn within(field: &Field, value: &mut Value, path: &str, visit: &mut Visit<'_>) {
    match value {
        Value::Null => {}
        Value::Array(list) => {
            for (index, element) in list.iter_mut().enumerate() {
                within(field, element, &format!("{path}.{index}"), visit);
            }
        }
        Value::Object(members) if !field.nested().is_empty() => {
            each(field.nested(), members, &format!("{path}."), visit);
        }
        Value::Object(members) if field.is_secret() => {
            let secret = members.iter_mut().filter(|(name, _)| is_secret_name(name));
            secret.for_each(|(name, value)| visit(&format!("{path}.{name}"), value));
        }
        value if field.is_secret() => visit(path, value),
        _ => {}
    }
}

/// Whether a value stands for a secret that is not shown.
pub(crate) fn is_hidden(value: &Value) -> bool {
    value.as_str() == Some(HIDDEN)
}
