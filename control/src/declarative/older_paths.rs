//! Paths of routes in documents of the formats 1.1 and 2.1: whether one is a regular expression was guessed
//! from its characters. Since format 3.0 a `~` says so.

use serde_json::{Map, Value};

/// Converts the paths of a route, as Kong 3 does.
pub(super) fn convert(fields: &mut Map<String, Value>) {
    let paths = fields.get_mut("paths").and_then(Value::as_array_mut);
    for path in paths.into_iter().flatten() {
        if let Value::String(path) = path
            && is_regex(path)
        {
            path.insert(0, '~');
        }
    }
}

fn is_regex(path: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_~/%".contains(c);
    !path.starts_with('~') && !path.chars().all(is_plain)
}
