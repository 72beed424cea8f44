//! Reads a JSON body within bounds, so that its cost in memory is known before it is read.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::ApiError;

/// Levels of nested lists and objects: nothing in the API is deeper than four.
const DEPTH: usize = 16;
/// Values of a body, on all levels.
const VALUES: usize = 100_000;
/// Fields of one object.
const FIELDS: usize = 1000;
/// Bytes of a field's name.
const NAME: usize = 1024;

/// Reads the fields of a JSON body. An empty list counts as an object without fields, as Kong's tools send
/// it. Of a duplicate field, the last one counts.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let mut left = VALUES;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Bounded { left: &mut left, depth: 0 }.deserialize(&mut reader);
    let read = read.and_then(|value| reader.end().map(|()| value)).map_err(refusal)?;
    match read {
        Value::Object(fields) => Ok(fields),
        Value::Array(list) if list.is_empty() => Ok(Map::new()),
        _ => Err(ApiError::BadJson(None)),
    }
}

/// Converts an error. Names an exceeded bound, but not the place of a syntax error: the text may be a secret.
fn refusal(error: serde_json::Error) -> ApiError {
    let text = error.to_string();
    let bound = text.find(MARK).map(|at| &text[at + MARK.len()..]);
    ApiError::BadJson(bound.map(|bound| bound.split(" at line ").next().unwrap_or(bound).to_owned()))
}

/// The prefix that distinguishes bounds from the parser's own messages.
const MARK: &str = "bound: ";

/// Reads one value and the values within it.
struct Bounded<'a> {
    left: &'a mut usize,
    depth: usize,
}

impl Bounded<'_> {
    fn inner<E: Error>(&mut self) -> Result<Bounded<'_>, E> {
        if self.depth == DEPTH {
            return Err(E::custom(format!("{MARK}at most {DEPTH} levels, it has more")));
        }
        *self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| E::custom(format!("{MARK}at most {VALUES} values, it has more")))?;
        Ok(Bounded { left: self.left, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.inner()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if name.len() > NAME {
                let told = format!("{MARK}at most {NAME} bytes of a field's name, one has {}", name.len());
                return Err(A::Error::custom(told));
            }
            fields.insert(name, map.next_value_seed(self.inner()?)?);
            if fields.len() > FIELDS {
                return Err(A::Error::custom(format!(
                    "{MARK}at most {FIELDS} fields of an object, one has more"
                )));
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(body: &str) -> String {
        match object(body.as_bytes()) {
            Err(ApiError::BadJson(bound)) => bound.unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bodies_are_read_as_serde_json_reads_them() {
        for body in
            [json!({}), json!({ "a": null, "b": [true, 1, -1, 1.5, "x\u{0}"], "c": { "d": u64::MAX } })]
        {
            assert_eq!(object(body.to_string().as_bytes()).unwrap(), *body.as_object().unwrap());
        }
        assert!(object(b"[]").unwrap().is_empty());
        assert_eq!(object(br#"{"a":1,"a":2}"#).unwrap()["a"], 2);
        for bad in ["", "{", "null", "1", "\"a\"", "[1]", "{} x", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}"] {
            assert_eq!(told(bad), "", "{bad}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn bounds_are_told() {
        let nested = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(object(nested(15).as_bytes()).is_ok());
        assert_eq!(told(&nested(17)), "at most 16 levels, it has more");
        assert_eq!(told(&nested(10_000)), "at most 16 levels, it has more");
        let list = |count: usize| format!("{{\"a\":[{}0]}}", "0,".repeat(count - 1));
        assert!(object(list(99_000).as_bytes()).is_ok());
        assert_eq!(told(&list(100_001)), "at most 100000 values, it has more");
        let fields: Vec<String> = (0..1001).map(|n| format!("\"{n}\":0")).collect();
        let told_of_fields = told(&format!("{{{}}}", fields.join(",")));
        assert_eq!(told_of_fields, "at most 1000 fields of an object, one has more");
        let name = "n".repeat(1025);
        let told_of_name = told(&format!("{{\"{name}\":0}}"));
        assert_eq!(told_of_name, "at most 1024 bytes of a field's name, one has 1025");
    }
}
