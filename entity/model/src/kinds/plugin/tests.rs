mod logs;

use serde_json::json;

use super::*;
use crate::entity::Unreadable;
use crate::{Common, Described, Input, TOGETHER, described};

const ID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

fn plugins() -> &'static dyn Described {
    described(kind::PLUGIN).unwrap()
}

/// The canonical bytes of the plugin that a body describes, or all violations.
fn read(body: &Value) -> Result<Vec<u8>, Violations> {
    let mut input = Input { fields: body.as_object().unwrap().clone(), form: false };
    let mut violations = Violations::default();
    plugins().imply(None, &mut input, &mut violations);
    let common = Common { id: Uuid::nil(), created_at: 0, updated_at: 0, tags: None };
    plugins().read(input, &common, violations).map(|content| content.bytes)
}

fn broken(body: &Value) -> Vec<String> {
    let violations = read(body).err().unwrap_or_default();
    violations.iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

/// What the Admin API shows of the plugin that a body describes.
fn view(body: &Value) -> Value {
    Value::Object(plugins().show(&read(body).unwrap()).unwrap())
}

#[test]
fn defaults_are_filled_in() {
    let expected = json!({
        "name": "request-termination",
        "instance_name": null,
        "consumer": null,
        "route": null,
        "service": null,
        "protocols": ["grpc", "grpcs", "http", "https"],
        "enabled": true,
        "config": {
            "status_code": 503,
            "message": null,
            "content_type": null,
            "body": null,
            "echo": false,
            "trigger": null,
        },
    });
    for config in [json!(null), json!({}), json!({ "status_code": null })] {
        assert_eq!(view(&json!({ "name": "request-termination", "config": config })), expected);
    }
}

#[test]
fn rules_and_their_messages() {
    let termination = |config: Value| json!({ "name": "request-termination", "config": config });
    let http = "expected one of: grpc, grpcs, http, https";
    for (body, expected) in [
        (json!({}), vec!["name: required field missing"]),
        (json!({ "name": 1, "nonsense": 1 }), vec!["name: expected a string"]),
        (
            json!({ "name": "nosuch", "nonsense": 1, "config": 1 }),
            vec!["name: plugin 'nosuch' not enabled; add it to the 'plugins' configuration property"],
        ),
        (json!({ "name": "key-auth", "nonsense": 1 }), vec!["nonsense: unknown field"]),
        (json!({ "name": "key-auth", "config": 1 }), vec!["config: expected a record"]),
        (json!({ "name": "key-auth", "config": [1] }), vec!["config: expected a record"]),
        (json!({ "name": "key-auth", "enabled": "x" }), vec!["enabled: expected a boolean"]),
        (json!({ "name": "key-auth", "consumer": { "id": ID } }), vec!["consumer: value must be null"]),
        (json!({ "name": "key-auth", "protocols": ["ftp"] }), vec![&*format!("protocols.1: {http}")]),
        (json!({ "name": "key-auth", "protocols": ["http", "tcp"] }), vec![&*format!("protocols.2: {http}")]),
        (json!({ "name": "key-auth", "protocols": "http" }), vec!["protocols: expected an array"]),
        (
            json!({ "name": "key-auth", "instance_name": "a b" }),
            vec![
                "instance_name: invalid value 'a b': the only accepted ascii characters are alphanumerics or \
                 ., -, _, and ~",
            ],
        ),
        (termination(json!({ "nonsense": 1 })), vec!["config.nonsense: unknown field"]),
        (
            termination(json!({ "status_code": 600, "echo": "x" })),
            vec!["config.echo: expected a boolean", "config.status_code: value should be between 100 and 599"],
        ),
        (
            termination(json!({ "message": "a", "body": "b" })),
            vec!["config: message cannot be used with content_type or body"],
        ),
        (
            termination(json!({ "message": "a", "body": "b", "trigger": "" })),
            vec!["config.trigger: length must be at least 1"],
        ),
        (termination(json!({ "content_type": "text/plain" })), vec!["config: content_type requires a body"]),
        (
            termination(json!({ "echo": true, "body": "b" })),
            vec!["config: echo cannot be used with content_type and body"],
        ),
        (
            termination(json!({ "trigger": "a b" })),
            vec![
                "config.trigger: bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'",
            ],
        ),
    ] {
        assert_eq!(broken(&body), expected, "{body}");
    }
}

#[test]
fn canonical_bytes_hold_the_configuration_under_the_plugins_name() {
    let bytes = read(&json!({
        "config": { "key_names": ["k"], "hide_credentials": false },
        "route": { "id": ID },
        "name": "key-auth",
    }));
    let expected = format!(r#"{{"name":"key-auth","route":"{ID}","config":{{"!key-auth":{{"key_names":["k"]}}}}}}"#);
    assert_eq!(String::from_utf8(bytes.unwrap()).unwrap(), expected);
    let members = plugins().members(expected.as_bytes()).unwrap();
    assert_eq!(members["config"], json!({ "key_names": ["k"] }));
}

#[test]
fn an_unknown_plugin_is_unsupported() {
    for (bytes, is_unsupported) in [
        (r#"{"name":"new","config":{"!new":{"a":[1,{}]}}}"#, true),
        (r#"{"config":{"!new":{}},"name":"new"}"#, true),
        (r#"{"name":"key-auth","config":{"!key-auth":{"!new":1}}}"#, true),
        (r#"{"name":"key-auth","config":{"!key-auth":{"new":1}}}"#, false),
        (r#"{"name":"key-auth","config":{}}"#, false),
        (r#"{"name":"key-auth","config":{"!key-auth":{},"!request-termination":{}}}"#, false),
    ] {
        let refused = plugins().parse(Uuid::nil(), bytes.as_bytes()).err();
        assert_eq!(matches!(refused, Some(Unreadable::Unsupported(_))), is_unsupported, "{bytes}");
    }
    let other = br#"{"name":"key-auth","config":{"!request-termination":{}}}"#;
    assert!(matches!(plugins().parse(Uuid::nil(), other), Err(Unreadable::Invalid(_))));
    let marked = crate::marked_fields(kind::PLUGIN, br#"{"config":{"!new":{}},"name":"new"}"#);
    assert_eq!(marked, ["plugins.config.new"]);
    assert!(crate::must_understand_fields().contains(&"plugins.config.key-auth".to_owned()));
}

#[test]
fn a_name_is_unique_in_its_scope() {
    let key = |body: &Value| {
        let content = plugins().content(&read(body).unwrap()).unwrap();
        content.unique.iter().find(|(name, _)| *name == TOGETHER).unwrap().1.clone()
    };
    let global = key(&json!({ "name": "key-auth" }));
    assert_eq!(global, "- key-auth - -");
    let routed = key(&json!({ "name": "key-auth", "route": { "id": ID } }));
    let expected = [
        ("consumer", Value::Null),
        ("name", json!("key-auth")),
        ("route", json!({ "id": ID })),
        ("service", Value::Null),
    ];
    assert_eq!(plugins().split_together(&routed), expected);
}

#[test]
fn a_change_merges_the_configuration() {
    let held = json!({ "name": "key-auth", "config": { "key_names": ["a", "b"], "realm": "r" } });
    let changed = |given: Value| {
        let Value::Object(mut shown) = view(&held) else { panic!("a view is an object") };
        plugins().merge(&mut shown, given.as_object().unwrap().clone());
        Value::Object(shown)
    };
    let merged = changed(json!({ "config": { "key_names": ["c"], "hide_credentials": true } }));
    assert_eq!(merged["config"]["key_names"], json!(["c"]));
    assert_eq!((&merged["config"]["realm"], &merged["config"]["hide_credentials"]), (&json!("r"), &json!(true)));
    for empty in [json!({}), json!([])] {
        assert_eq!(changed(json!({ "config": empty }))["config"]["realm"], "r");
    }
    assert_eq!(view(&changed(json!({ "config": { "realm": null } })))["config"]["realm"], Value::Null);
    // The configuration stays, and is not that of the other plugin.
    let renamed = broken(&changed(json!({ "name": "request-termination" })));
    assert_eq!(renamed.len(), 8, "{renamed:?}");
    assert!(renamed.iter().all(|message| message.ends_with(": unknown field")), "{renamed:?}");
}
