//! Bodies before and after the plugin. Everything else is tested over a real data plane.

use http::HeaderMap;
use serde_json::{Value, json};

use super::*;

fn changed(config: Value, content_type: &str, body: &str) -> Option<String> {
    let config: Config = serde_json::from_value(config).unwrap();
    let plugin = RequestTransformer::compile(&config, &InstanceTerms::default()).unwrap();
    let headers: HeaderMap = [(CONTENT_TYPE, content_type.parse().unwrap())].into_iter().collect();
    let edits = plugin.body.unwrap();
    let values: Vec<Vec<u8>> = config
        .replace
        .body
        .iter()
        .chain(&config.add.body)
        .chain(&config.append.body)
        .map(|entry| model::plugins::edits::pair(entry).unwrap().1.as_bytes().to_vec())
        .collect();
    if !edits.concern(&headers) {
        return None;
    }
    edits.apply(&headers, body.as_bytes(), &values).unwrap().map(|body| String::from_utf8(body).unwrap())
}

#[test]
fn bodies_are_changed_in_the_form_of_their_type() {
    let all = json!({
        "remove": { "body": ["a"] },
        "rename": { "body": ["b:a"] },
        "replace": { "body": ["a:1 2"] },
        "add": { "body": ["c:x"] },
        "append": { "body": ["a:z"] },
    });
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    for (config, content_type, body, wanted) in [
        (&all, json, r#"{"a":0,"b":1,"z":2.0}"#, Some(r#"{"z":2.0,"a":["1 2","z"],"c":"x"}"#)),
        (&all, json, "", Some(r#"{"c":"x","a":["z"]}"#)),
        (&all, json, "\"text\"", None),
        (&all, json, "5", None),
        (&all, json, "{", None),
        (&all, form, "a=0&b=1&z=2", Some("a=1%202&z=2&c=x&a=z")),
        (&all, form, "", Some("c=x&a=z")),
        (&all, "text/plain", "a=0", None),
        (&json!({ "remove": { "body": ["a"] } }), json, "", None),
        (&json!({ "remove": { "body": ["a"] } }), json, r#"{"b":1}"#, None),
        (&json!({ "add": { "body": ["a.b:1"] } }), json, "{}", Some(r#"{"a.b":"1"}"#)),
        (
            &json!({ "add": { "body": ["a.b:1"] }, "dots_in_keys": false }),
            json,
            "{}",
            Some(r#"{"a":{"b":"1"}}"#),
        ),
    ] {
        assert_eq!(changed(config.clone(), content_type, body).as_deref(), wanted, "{content_type} {body}");
    }
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n0\r\n--B--\r\n";
    let config = json!({ "replace": { "body": ["a:1"] } });
    let wanted = multipart.replace("\r\n0\r\n", "\r\n1\r\n");
    assert_eq!(changed(config, "multipart/form-data; boundary=B", multipart), Some(wanted));
}
