//! Converts forms into the object that a JSON body would be: `service.id=…`, `paths[]=/a`, `hosts[1]=b`.

use serde_json::{Map, Value};

/// Maximum depth of a field's path: nothing in the API is nested deeper.
const DEPTH: usize = 8;

/// One step of a field's path.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Key(&'a str),
    /// `[]`: behind the last element.
    Push,
    /// `[n]`, counted from 1.
    Index(usize),
}

/// Converts fields to an object; `None` when they contradict each other, as `a=1&a.b=2` does. All values are
/// strings, or `null` where the value is empty: the reader of a field knows its type.
pub(super) fn object<'a>(
    pairs: impl ExactSizeIterator<Item = (impl AsRef<str> + 'a, String)>,
) -> Option<Map<String, Value>> {
    // Bounds the list elements of the whole form: each index could create as many as there are fields.
    let mut places = 2 * pairs.len();
    let mut root = Value::Object(Map::new());
    for (name, value) in pairs {
        let value = if value.is_empty() { Value::Null } else { Value::String(value) };
        place(&mut root, &steps(name.as_ref())?, value, &mut places)?;
    }
    prune(&mut root);
    match root {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

fn steps(name: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        if let Some(bracketed) = rest.strip_prefix('[') {
            let (inside, after) = bracketed.split_once(']')?;
            steps.push(match (inside, inside.parse()) {
                ("", _) => Step::Push,
                (_, Ok(index)) if index > 0 => Step::Index(index),
                _ => Step::Key(inside),
            });
            rest = after;
        } else {
            let plain = rest.strip_prefix('.').filter(|_| !steps.is_empty()).unwrap_or(rest);
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            steps.push(Step::Key(&plain[..end]));
            rest = &plain[end..];
            if end == 0 {
                return None;
            }
        }
    }
    (!steps.is_empty() && steps.len() <= DEPTH).then_some(steps)
}

/// Stores the value at the end of the steps and creates missing objects and lists on the way. All lists
/// together grow by at most `places`; a value with an index beyond that is appended.
fn place(at: &mut Value, steps: &[Step<'_>], value: Value, places: &mut usize) -> Option<()> {
    let Some((step, rest)) = steps.split_first() else {
        return settle(at, value);
    };
    let next = match step {
        Step::Key(key) => {
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
            at.as_object_mut()?.entry(*key).or_insert(Value::Null)
        }
        Step::Push | Step::Index(_) => {
            if at.is_null() {
                *at = Value::Array(Vec::new());
            }
            let list = at.as_array_mut()?;
            let index = match step {
                Step::Index(index) if *index <= list.len() + *places => index - 1,
                _ => list.len(),
            };
            if list.len() <= index {
                *places = places.saturating_sub(index + 1 - list.len());
                list.resize(index + 1, Value::Null);
            }
            list.get_mut(index)?
        }
    };
    place(next, rest, value, places)
}

/// Stores a value. A field that is given twice becomes a list.
fn settle(at: &mut Value, value: Value) -> Option<()> {
    match at {
        Value::Null => *at = value,
        Value::String(_) => *at = Value::Array(vec![at.take(), value]),
        Value::Array(list) => list.push(value),
        _ => return None,
    }
    Some(())
}

/// Removes list elements that no field has filled: `hosts[2]=b` alone is one host, and `paths[]=` an empty
/// list.
fn prune(value: &mut Value) {
    match value {
        Value::Array(list) => {
            list.retain(|element| !element.is_null());
            list.iter_mut().for_each(prune);
        }
        Value::Object(map) => map.values_mut().for_each(prune),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(form: &str) -> Option<Value> {
        let pairs: Vec<_> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        object(pairs.into_iter()).map(Value::Object)
    }

    #[test]
    fn forms() {
        for (form, expected) in [
            ("", json!({})),
            ("name=a&port=80", json!({ "name": "a", "port": "80" })),
            ("name=", json!({ "name": null })),
            ("paths[]=/a&paths[]=/b", json!({ "paths": ["/a", "/b"] })),
            ("paths=/a&paths=/b", json!({ "paths": ["/a", "/b"] })),
            ("paths[]=", json!({ "paths": [] })),
            ("hosts[2]=b&hosts[1]=a", json!({ "hosts": ["a", "b"] })),
            ("hosts[999999999]=a", json!({ "hosts": ["a"] })),
            ("service.id=x", json!({ "service": { "id": "x" } })),
            ("service[id]=x", json!({ "service": { "id": "x" } })),
            ("headers.x-a=1", json!({ "headers": { "x-a": "1" } })),
            ("headers.x-a[]=1", json!({ "headers": { "x-a": ["1"] } })),
            (
                "sources[1].ip=::1&sources[1].port=1&sources[2].port=2",
                json!({ "sources": [{ "ip": "::1", "port": "1" }, { "port": "2" }] }),
            ),
            ("%70aths[]=%2Fa+b", json!({ "paths": ["/a b"] })),
        ] {
            assert_eq!(parse(form), Some(expected), "{form}");
        }
    }

    #[test]
    fn contradictions() {
        for form in ["a=1&a.b=2", "a.b=1&a=2", "a[]=1&a.b=1", "=1", "a..b=1", "a[1=2", "a.b.c.d.e.f.g.h.i=1"]
        {
            assert_eq!(parse(form), None, "{form}");
        }
    }
}
