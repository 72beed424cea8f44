//! Answers before and after the plugin.

use serde_json::{Value, json};

use super::*;

fn compiled(config: Value) -> ResponseTransformer {
    let config: Config = serde_json::from_value(config).unwrap();
    ResponseTransformer::compile(&config, &InstanceTerms::default()).unwrap()
}

#[test]
fn fields_are_changed_in_one_order() {
    let came = [("X-A", "1"), ("x-b", "2"), ("X-B", "3"), ("Content-Length", "5")];
    let unchanged = "X-A: 1, x-b: 2, X-B: 3, Content-Length: 5";
    for (config, wanted) in [
        (json!({}), unchanged),
        (json!({ "remove": { "headers": ["x-B", "x-none"] } }), "X-A: 1, Content-Length: 5"),
        (json!({ "rename": { "headers": ["x-a:X-New"] } }), "X-New: 1, x-b: 2, X-B: 3, Content-Length: 5"),
        (json!({ "rename": { "headers": ["x-a:x-B"] } }), "x-B: 1, Content-Length: 5"),
        (json!({ "rename": { "headers": ["x-none:x-B"] } }), unchanged),
        (json!({ "replace": { "headers": ["x-b: v", "x-none:v"] } }), "X-A: 1, x-b: v, Content-Length: 5"),
        (
            json!({ "replace": { "headers": ["X-A:v", "X-A:w"] } }),
            "X-A: w, x-b: 2, X-B: 3, Content-Length: 5",
        ),
        (
            json!({ "add": { "headers": ["X-A:v", "X-C:v", "X-C:w"] } }),
            "X-A: 1, x-b: 2, X-B: 3, Content-Length: 5, X-C: v",
        ),
        (
            json!({ "append": { "headers": ["X-A:v", "X-A:w:x"] } }),
            "X-A: 1, x-b: 2, X-B: 3, Content-Length: 5, X-A: v, X-A: w:x",
        ),
        (
            json!({ "remove": { "headers": ["content-length"] }, "append": { "headers": ["Transfer-Encoding:x"] } }),
            unchanged,
        ),
        (
            json!({
                "remove": { "headers": ["x-a"] },
                "rename": { "headers": ["x-b:x-a"] },
                "replace": { "headers": ["x-a:r"] },
                "add": { "headers": ["x-b:a"] },
                "append": { "headers": ["x-a:p"] },
            }),
            "x-a: r, Content-Length: 5, x-b: a, x-a: p",
        ),
    ] {
        let mut fields = AnswerFields::default();
        came.iter().for_each(|(name, value)| fields.append(name, value));
        compiled(config.clone()).change_fields(&mut fields);
        let text = |text| String::from_utf8_lossy(text).into_owned();
        let all: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect();
        assert_eq!(all.join(", "), wanted, "{config}");
    }
}

#[test]
fn bodies_are_changed_in_one_order() {
    let config = json!({
        "remove": { "json": ["a"] },
        "rename": { "json": ["b:a"] },
        "replace": { "json": ["a:1", "n:v"], "json_types": ["number"] },
        "add": { "json": ["c:true", "d:x", "e:y"], "json_types": ["boolean", "number"] },
        "append": { "json": ["a:z"] },
    });
    let plugin = compiled(config);
    for (body, wanted) in [
        (r#"{"a":0,"b":{"x":1},"z":1.50}"#, r#"{"z":1.50,"a":[1,"z"],"c":true,"e":"y"}"#),
        ("{}", r#"{"c":true,"e":"y","a":["z"]}"#),
        ("\"text\"", "\"text\""),
        ("12345678901234567890", "12345678901234567890"),
        ("[1]", "[1]"),
        ("no json", "no json"),
        ("", ""),
    ] {
        let changed = plugin.change_body(body.as_bytes().to_vec()).unwrap();
        assert_eq!(String::from_utf8(changed).unwrap(), wanted, "{body}");
    }
    let nested = compiled(json!({ "remove": { "json": ["a.b"] }, "dots_in_keys": false }));
    assert_eq!(nested.change_body(br#"{"a":{"b":1}}"#.to_vec()).unwrap(), br#"{"a":{}}"#);
    // What stays keeps its bytes.
    let same = br#"{ "a" : 1 }"#.to_vec();
    assert_eq!(compiled(json!({ "remove": { "json": ["x"] } })).change_body(same.clone()), Ok(same));
}

#[test]
fn bodies_of_other_types_stay() {
    for (content_type, coding, is_it) in [
        (Some("application/json"), None, true),
        (Some("Application/JSON; charset=utf-8"), None, true),
        (Some("application/problem+json"), None, true),
        (Some("application/json"), Some("identity"), true),
        (Some("application/json"), Some("gzip"), false),
        (Some("text/json"), None, false),
        (None, None, false),
    ] {
        let mut fields = AnswerFields::default();
        content_type.iter().for_each(|value| fields.append("content-type", value));
        coding.iter().for_each(|value| fields.append("Content-Encoding", value));
        assert_eq!(is_json(&fields), is_it, "{content_type:?} {coding:?}");
    }
}
