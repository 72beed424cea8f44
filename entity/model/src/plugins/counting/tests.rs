//! The fields and messages of the plugins that count or measure.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::plugin::PluginKind;
use crate::violations::Violations;
use crate::{Common, Input, described, kind};

/// Reads the configuration of a plugin, as the Admin API does, and returns how that shows it.
fn read(name: &str, config: &Value) -> Result<Value, Violations> {
    let body = json!({ "name": name, "config": config });
    let mut input = Input { fields: body.as_object().unwrap().clone(), form: false };
    let (plugins, mut violations) = (described(kind::PLUGIN).unwrap(), Violations::default());
    plugins.imply(None, &mut input, &mut violations);
    let common = Common { id: Uuid::nil(), created_at: 0, updated_at: 0, tags: None };
    let content = plugins.read(input, &common, violations)?;
    Ok(plugins.show(&content.bytes).unwrap()["config"].clone())
}

fn broken(name: &str, config: &Value) -> Vec<String> {
    let violations = read(name, config).err().unwrap_or_default();
    violations.iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

fn redis() -> Value {
    json!({
        "host": null,
        "port": 6379,
        "timeout": 2000,
        "username": null,
        "password": null,
        "database": 0,
        "ssl": false,
        "ssl_verify": false,
        "server_name": null,
    })
}

/// The names that the fields of the server had before, with their values.
fn flat() -> Value {
    json!({
        "redis_host": null,
        "redis_port": 6379,
        "redis_password": null,
        "redis_username": null,
        "redis_ssl": false,
        "redis_ssl_verify": false,
        "redis_server_name": null,
        "redis_timeout": 2000,
        "redis_database": 0,
    })
}

fn joined(parts: [Value; 2]) -> Value {
    parts.into_iter().flat_map(|part| part.as_object().unwrap().clone()).collect::<crate::Map>().into()
}

#[test]
fn defaults() {
    let rate_limiting = json!({
        "second": null,
        "minute": 1.5,
        "hour": 100,
        "day": null,
        "month": null,
        "year": null,
        "limit_by": "consumer",
        "header_name": null,
        "path": null,
        "policy": "local",
        "fault_tolerant": true,
        "redis": redis(),
        "hide_client_headers": false,
        "error_code": 429,
        "error_message": "API rate limit exceeded",
        "sync_rate": -1,
    });
    let periods =
        json!({ "second": 5, "minute": null, "hour": null, "day": null, "month": null, "year": null });
    let response_ratelimiting = json!({
        "header_name": "x-kong-limit",
        "limit_by": "consumer",
        "policy": "local",
        "fault_tolerant": true,
        "redis": redis(),
        "block_on_first_violation": false,
        "hide_client_headers": false,
        "limits": { "videos": periods },
    });
    let size = json!({
        "allowed_payload_size": 128,
        "size_unit": "megabytes",
        "require_content_length": false,
    });
    for (name, config, expected) in [
        ("rate-limiting", json!({ "minute": 1.5, "hour": 100 }), joined([rate_limiting, flat()])),
        (
            "response-ratelimiting",
            json!({ "limits": { "videos": { "second": 5 } } }),
            joined([response_ratelimiting, flat()]),
        ),
        ("request-size-limiting", json!({}), size),
    ] {
        let shown = read(name, &config).unwrap();
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&shown[field], value, "{name}: {field}");
        }
        assert_eq!(shown.as_object().unwrap().len(), expected.as_object().unwrap().len(), "{name}: {shown}");
    }
}

#[test]
fn messages_of_rate_limiting() {
    let none = "@entity: at least one of these fields must be non-empty: 'config.second', 'config.minute', \
                'config.hour', 'config.day', 'config.month', 'config.year'";
    let given =
        |field: &str| format!("@entity: failed conditional validation given value of field 'config.{field}'");
    for (config, expected) in [
        (json!({}), vec![none.to_owned()]),
        (json!({ "minute": 0 }), vec!["config.minute: value must be greater than 0".to_owned()]),
        (json!({ "minute": "5" }), vec!["config.minute: expected a number".to_owned()]),
        (json!({ "minute": -1 }), vec!["config.minute: value must be greater than 0".to_owned()]),
        (
            json!({ "second": 20, "minute": 20, "hour": 10 }),
            vec!["config: The limit for hour(10.0) cannot be lower than the limit for second(20.0)".to_owned()],
        ),
        (
            json!({ "minute": 1.25, "year": 1 }),
            vec!["config: The limit for year(1.0) cannot be lower than the limit for minute(1.2)".to_owned()],
        ),
        (
            json!({ "minute": 5, "limit_by": "header" }),
            vec![given("limit_by"), "config.header_name: required field missing".to_owned()],
        ),
        (
            json!({ "minute": 5, "limit_by": "path" }),
            vec![given("limit_by"), "config.path: required field missing".to_owned()],
        ),
        (json!({ "minute": 5, "limit_by": "path", "path": "/a" }), vec![]),
        (json!({ "minute": 5, "path": "a" }), vec!["config.path: should start with: /".to_owned()]),
        (
            json!({ "minute": 5, "limit_by": "x" }),
            vec!["config.limit_by: expected one of: consumer, credential, ip, service, header, path".to_owned()],
        ),
        (
            json!({ "minute": 5, "policy": "redis" }),
            vec![given("policy"), "config.redis.host: required field missing".to_owned()],
        ),
        (json!({ "minute": 5, "policy": "redis", "redis": { "host": "a.test" } }), vec![]),
        (json!({ "minute": 5, "policy": "redis", "redis_host": "a.test" }), vec![]),
        (
            json!({ "minute": 5, "redis_host": "a.test", "redis": { "host": "b.test" } }),
            vec![
                "config.redis_host: both deprecated and new field are used but their values mismatch: \
                 redis_host = a.test vs redis.host = b.test"
                    .to_owned(),
            ],
        ),
        (
            json!({ "minute": 5, "policy": "cluster" }),
            vec!["config.policy: expected one of: local, redis".to_owned()],
        ),
        (
            json!({ "minute": 5, "sync_rate": 1 }),
            vec!["@entity: sync_rate can only be used with the redis policy".to_owned()],
        ),
        (
            json!({ "minute": 5, "sync_rate": 0.01, "policy": "redis", "redis": { "host": "a" } }),
            vec!["@entity: sync_rate must be greater than 0.02, or -1 to disable".to_owned()],
        ),
        (json!({ "minute": 5, "sync_rate": 0.02, "policy": "redis", "redis": { "host": "a" } }), vec![]),
        (json!({ "minute": 5, "error_code": 0 }), vec!["config.error_code: value must be greater than 0".to_owned()]),
        (json!({ "minute": 5, "error_code": 99_999, "window_type": "sliding" }), vec![]),
        (
            json!({ "minute": 5, "additional_limits": [{ "minute": 1 }, { "limit_by": ["ip"] }] }),
            vec!["config.additional_limits.2: at least one of these fields must be non-empty: 'second', 'minute', \
                  'hour', 'day', 'month', 'year'"
                .to_owned()],
        ),
        (
            json!({ "minute": 5, "additional_limits": [{ "minute": 1, "limit_by": ["ip", "header"] }] }),
            vec!["config.additional_limits.1.header_name: required field missing".to_owned()],
        ),
        (
            json!({ "minute": 5, "additional_limits": [{ "minute": 1, "limit_by": [] }] }),
            vec!["config.additional_limits.1.limit_by: length must be at least 1".to_owned()],
        ),
    ] {
        assert_eq!(broken("rate-limiting", &config), expected, "{config}");
    }
}

#[test]
fn messages_of_response_ratelimiting() {
    for (config, expected) in [
        (json!({}), vec!["config.limits: required field missing"]),
        (json!({ "limits": {} }), vec!["config.limits: length must be at least 1"]),
        (json!({ "limits": 5 }), vec!["config.limits: expected a map"]),
        (json!({ "limits": { "a": 5 } }), vec!["config.limits: expected a record"]),
        (
            json!({ "limits": { "a": { "minute": 1 }, "b": {} } }),
            vec![
                "config.limits: at least one of these fields must be non-empty: 'second', 'minute', 'hour', \
                 'day', 'month', 'year'",
            ],
        ),
        (
            json!({ "limits": { "a": { "minute": 0 } } }),
            vec!["config.limits.a.minute: value must be greater than 0"],
        ),
        (
            json!({ "limits": { "a": { "second": 20, "hour": 10 } } }),
            vec!["config.limits: the limit for hour(10.0) cannot be lower than the limit for second(20.0)"],
        ),
        (
            json!({ "limits": { "a": { "minute": 1 } }, "limit_by": "service" }),
            vec!["config.limit_by: expected one of: consumer, credential, ip"],
        ),
    ] {
        assert_eq!(broken("response-ratelimiting", &config), expected, "{config}");
    }
}

#[test]
fn messages_of_request_size_limiting() {
    for (config, expected) in [
        (json!({ "allowed_payload_size": 1.5 }), vec!["config.allowed_payload_size: expected an integer"]),
        (
            json!({ "size_unit": "mb" }),
            vec!["config.size_unit: expected one of: megabytes, kilobytes, bytes"],
        ),
        (json!({ "allowed_payload_size": 0, "size_unit": "bytes" }), vec![]),
    ] {
        assert_eq!(broken("request-size-limiting", &config), expected, "{config}");
    }
}

#[test]
fn passwords_are_not_shown() {
    for name in ["rate-limiting", "response-ratelimiting"] {
        let config = json!({
            "minute": 5,
            "limits": { "a": { "minute": 5 } },
            "policy": "redis",
            "redis": { "host": "a", "password": "hunter2" },
        });
        let mut config = config.as_object().unwrap().clone();
        config.remove(if name == "rate-limiting" { "limits" } else { "minute" });
        let shown = read(name, &config.into()).unwrap();
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
        assert_eq!(shown["redis"]["password"], crate::HIDDEN);
    }
}

#[test]
fn additions_are_shown_when_they_are_used() {
    let shown = |config: Value| read("rate-limiting", &config).unwrap();
    let plain = shown(json!({ "minute": 5 }));
    assert!(plain.get("window_type").is_none() && plain.get("additional_limits").is_none());
    let used = shown(json!({
        "minute": 5,
        "window_type": "sliding",
        "additional_limits": [{ "limit_by": ["consumer", "ip"], "minute": 2 }],
    }));
    assert_eq!(used["window_type"], "sliding");
    assert_eq!(used["additional_limits"][0]["limit_by"], json!(["consumer", "ip"]));
}

#[test]
fn schemas_have_the_rules() {
    let schema = PluginKind::named("rate-limiting").unwrap().schema().to_string();
    for part in
        ["at_least_one_of", "config.redis.timeout", "custom_entity_check", "shorthand_fields", "\"gt\":0"]
    {
        assert!(schema.contains(part), "{part}");
    }
}
