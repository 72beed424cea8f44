//! Reads a JSON body within bounds.

use serde::de::DeserializeSeed;
use serde_json::{Map, Value};

use crate::bounded::{Bounds, MARK};
use crate::error::ApiError;

/// Reads the fields of a JSON body. An empty list counts as an object without fields, as Kong's tools send
/// it. Of a duplicate field, the last one counts.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let mut bounds = Bounds::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = bounds.whole().deserialize(&mut reader);
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
