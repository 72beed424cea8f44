mod policies;

use serde_json::json;

use super::*;
use crate::record::Record;
use crate::{Common, Number, described};

/// The upstream that a body describes, or all violations.
fn read(mut body: Value) -> Result<Upstream, Violations> {
    let fields = body.as_object_mut().unwrap();
    fields.entry("name").or_insert_with(|| "a".into());
    let mut input = Input { fields: fields.clone(), form: false };
    Upstream::imply(None, &mut input, &mut Violations::default());
    let common = Common { id: Uuid::nil(), created_at: 0, updated_at: 0, tags: None };
    let kind = described(kind::UPSTREAM).unwrap();
    let content = kind.read(input, &common, Violations::default())?;
    Ok(serde_json::from_slice(&content.bytes).unwrap())
}

fn broken(body: Value) -> Vec<String> {
    let violations = read(body).err().unwrap_or_default();
    violations.iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

fn view(upstream: &Upstream) -> Value {
    Value::Object(crate::record::show(upstream))
}

#[test]
fn defaults_are_those_of_kong() {
    let unhealthy = [429, 404, 500, 501, 502, 503, 504, 505];
    let expected = json!({
        "name": "a",
        "algorithm": "round-robin",
        "hash_on": "none",
        "hash_fallback": "none",
        "hash_on_header": null,
        "hash_fallback_header": null,
        "hash_on_cookie": null,
        "hash_on_cookie_path": "/",
        "hash_on_query_arg": null,
        "hash_fallback_query_arg": null,
        "hash_on_uri_capture": null,
        "hash_fallback_uri_capture": null,
        "slots": 10_000,
        "healthchecks": {
            "active": {
                "type": "http",
                "timeout": 1,
                "concurrency": 10,
                "http_path": "/",
                "https_sni": null,
                "https_verify_certificate": true,
                "headers": null,
                "healthy": { "interval": 0, "http_statuses": [200, 302], "successes": 0 },
                "unhealthy": {
                    "interval": 0,
                    "http_statuses": unhealthy,
                    "tcp_failures": 0,
                    "timeouts": 0,
                    "http_failures": 0,
                },
            },
            "passive": {
                "type": "http",
                "healthy": {
                    "http_statuses": [
                        200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306,
                        307, 308,
                    ],
                    "successes": 0,
                },
                "unhealthy": {
                    "http_statuses": [429, 500, 503],
                    "tcp_failures": 0,
                    "timeouts": 0,
                    "http_failures": 0,
                },
            },
            "threshold": 0,
        },
        "host_header": null,
        "client_certificate": null,
        "use_srv_name": false,
    });
    assert_eq!(view(&read(json!({})).unwrap()), expected);
}

#[test]
fn names() {
    for good in ["a", "A.b", "a_b.c-d", "a.b.", "-a", "1and1.com", "foo.1"] {
        assert!(broken(json!({ "name": good })).is_empty(), "{good}");
    }
    for (bad, reason) in [
        ("a b", "must be a valid hostname"),
        ("a..b", "must be a valid hostname"),
        ("a-.b", "must be a valid hostname"),
        ("123", "must be a valid hostname"),
        ("a:b", "must be a valid hostname"),
        ("\u{fc}", "must be a valid hostname"),
        ("10.0.0.1", "no ip addresses allowed"),
        ("10.0.0.1:80", "no ip addresses allowed"),
        ("::1", "no ip addresses allowed"),
        ("a:80", "no port allowed"),
    ] {
        assert_eq!(broken(json!({ "name": bad })), [format!("name: Invalid name ('{bad}'); {reason}")]);
    }
    assert_eq!(broken(json!({ "name": null })), ["name: required field missing"]);
    let folded = crate::record::unique(&read(json!({ "name": "A.b" })).unwrap());
    assert_eq!(folded, [("name", "a.b".to_owned())]);
}

#[test]
fn fields_have_their_texts() {
    let hash = "expected one of: none, consumer, ip, header, cookie, path, query_arg, uri_capture";
    let cookie = "contains one or more invalid characters. ASCII control characters (0-31;127), space, tab and \
                  the characters ()<>@,;:\\\"/?={}[] are not allowed.";
    for (field, value, message) in [
        (
            "algorithm",
            json!("random"),
            "expected one of: consistent-hashing, least-connections, round-robin, latency",
        ),
        ("hash_on", json!("method"), hash),
        ("hash_fallback", json!("method"), hash),
        (
            "hash_on_header",
            json!("a b"),
            "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'",
        ),
        ("hash_on_cookie", json!("a;b"), cookie),
        ("hash_on_cookie", json!("a b"), cookie),
        ("hash_on_cookie_path", json!("a"), "should start with: /"),
        ("hash_on_query_arg", json!(""), "length must be at least 1"),
        ("hash_fallback_uri_capture", json!(""), "length must be at least 1"),
        ("slots", json!(9), "value should be between 10 and 65536"),
        ("slots", json!(65_537), "value should be between 10 and 65536"),
        ("slots", json!("10"), "expected an integer"),
        ("host_header", json!("a b"), "invalid hostname: a b"),
        ("host_header", json!("a:65536"), "invalid hostname: a:65536"),
        ("use_srv_name", json!(1), "expected a boolean"),
        ("healthchecks", json!(1), "expected a record"),
    ] {
        assert_eq!(broken(json!({ field: value })), [format!("{field}: {message}")], "{value}");
    }
    for host in ["a", "a:80", "10.0.0.1:80", "[::1]:80"] {
        assert!(broken(json!({ "host_header": host })).is_empty(), "{host}");
    }
}

#[test]
fn fields_of_checks_have_their_texts() {
    for (path, value, message) in [
        ("active.timeout", json!(65_535.5), "value should be between 0 and 65535"),
        ("active.timeout", json!("1"), "expected a number"),
        ("active.concurrency", json!(0), "value should be between 1 and 2147483648"),
        ("active.concurrency", json!(2_147_483_649_u64), "value should be between 1 and 2147483648"),
        ("active.type", json!("udp"), "expected one of: tcp, http, https, grpc, grpcs"),
        ("active.http_path", json!(""), "length must be at least 1"),
        ("active.http_path", json!("a"), "should start with: /"),
        ("active.https_sni", json!("10.0.0.1"), "must not be an IP"),
        ("active.https_sni", json!("a:443"), "must not have a port"),
        ("active.https_sni", json!("*.a"), "invalid value: *.a"),
        ("active.https_verify_certificate", json!("x"), "expected a boolean"),
        ("active.headers", json!([1]), "expected a map"),
        ("active.headers", json!({ "x-a": "1" }), "expected an array"),
        ("active.healthy.interval", json!(-1), "value should be between 0 and 65535"),
        ("active.healthy.successes", json!(256), "value should be between 0 and 255"),
        ("active.unhealthy.tcp_failures", json!(-1), "value should be between 0 and 255"),
        ("active.unhealthy.timeouts", json!(0.5), "expected an integer"),
        ("passive.type", json!("x"), "expected one of: tcp, http, https, grpc, grpcs"),
        ("passive.unhealthy.http_failures", json!(256), "value should be between 0 and 255"),
        ("passive.healthy.interval", json!(1), "unknown field"),
        ("threshold", json!(100.5), "value should be between 0 and 100"),
    ] {
        let body = path.rsplit('.').fold(value, |value, name| json!({ name: value }));
        assert_eq!(broken(json!({ "healthchecks": body })), [format!("healthchecks.{path}: {message}")]);
    }
    let statuses = json!({ "active": { "healthy": { "http_statuses": [200, 99, 1000] } } });
    let range = "value should be between 100 and 999";
    let at = |index| format!("healthchecks.active.healthy.http_statuses.{index}: {range}");
    assert_eq!(broken(json!({ "healthchecks": statuses })), [at(2), at(3)]);
    let headers = json!({ "active": { "headers": { "x-a": [1] } } });
    assert_eq!(
        broken(json!({ "healthchecks": headers })),
        ["healthchecks.active.headers.x-a.1: expected a string"]
    );
    let value = json!({ "active": { "headers": { "x-a": ["1", "a\r\nb: c"] } } });
    assert_eq!(
        broken(json!({ "healthchecks": value })),
        ["healthchecks.active.headers.x-a.2: invalid value: \"a\\r\\nb: c\""]
    );
}

#[test]
fn inputs_need_their_names() {
    for (on, name) in [
        ("header", "hash_on_header"),
        ("cookie", "hash_on_cookie"),
        ("query_arg", "hash_on_query_arg"),
        ("uri_capture", "hash_on_uri_capture"),
    ] {
        let entity = "@entity: failed conditional validation given value of field 'hash_on'";
        let missing = format!("{name}: required field missing");
        assert_eq!(broken(json!({ "hash_on": on })), [entity, &missing]);
        assert!(broken(json!({ "hash_on": on, name: "x" })).is_empty());
    }
    for (fallback, name) in [
        ("header", "hash_fallback_header"),
        ("cookie", "hash_on_cookie"),
        ("query_arg", "hash_fallback_query_arg"),
        ("uri_capture", "hash_fallback_uri_capture"),
    ] {
        let entity = "@entity: failed conditional validation given value of field 'hash_fallback'";
        let missing = format!("{name}: required field missing");
        let with = json!({ "hash_on": "consumer", "hash_fallback": fallback, name: "x" });
        assert!(broken(with).is_empty());
        assert_eq!(
            broken(json!({ "hash_on": "consumer", "hash_fallback": fallback })),
            [entity, &missing]
        );
    }
}

#[test]
fn second_input_differs_from_the_first() {
    let entity = "@entity: failed conditional validation given value of field 'hash_on'";
    let all = ["none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"];
    for (on, forbidden) in [("consumer", "consumer"), ("ip", "ip"), ("path", "path")] {
        let allowed: Vec<_> = all.into_iter().filter(|input| *input != forbidden).collect();
        let text = format!("hash_fallback: expected one of: {}", allowed.join(", "));
        assert_eq!(broken(json!({ "hash_on": on, "hash_fallback": forbidden })), [entity, &text]);
    }
    for on in [json!({ "hash_on": "none" }), json!({ "hash_on": "cookie", "hash_on_cookie": "c" }), json!({})] {
        let mut body = on.clone();
        body["hash_fallback"] = "ip".into();
        assert_eq!(broken(body), [entity, "hash_fallback: expected one of: none"], "{on}");
    }
    for field in ["header", "query_arg", "uri_capture"] {
        let (one, other) = (format!("hash_on_{field}"), format!("hash_fallback_{field}"));
        let told = format!("@entity: values of these fields must be distinct: '{one}', '{other}'");
        assert_eq!(broken(json!({ &one: "x", &other: "x" })), [told]);
        assert!(broken(json!({ &one: "x", &other: "y" })).is_empty());
    }
}

#[test]
fn rules_between_fields_are_told_beside_errors_of_others() {
    let conditional = "@entity: failed conditional validation given value of field 'hash_on'";
    let slots = "slots: value should be between 10 and 65536";
    assert_eq!(
        broken(json!({ "hash_on": "header", "slots": 3 })),
        [conditional, "hash_on_header: required field missing", slots]
    );
    // Not about one that could not be read.
    assert_eq!(
        broken(json!({ "hash_on": "header", "hash_on_header": 5, "slots": 3 })),
        ["hash_on_header: expected a string", slots]
    );
    let name = broken(json!({ "name": "10.0.0.1", "hash_on": "header", "hash_on_header": 5 }));
    assert!(!name.contains(&conditional.to_owned()), "{name:?}");
    let same = json!({ "hash_on_header": "a", "hash_fallback_header": "a", "slots": 3 });
    assert!(broken(same)[0].starts_with("@entity: values of these fields must be distinct"));
}

#[test]
fn fields_imply_others_in_their_order() {
    let of = |body: Value| {
        let read = read(body).unwrap();
        (read.algorithm, read.hash_on)
    };
    let (none, header) = (HashInput::None, HashInput::Header);
    assert_eq!(of(json!({})), (Algorithm::RoundRobin, none));
    let hashed = json!({ "hash_on": "header", "hash_on_header": "x" });
    assert_eq!(of(hashed.clone()), (Algorithm::ConsistentHashing, header));
    for (algorithm, expected) in [
        ("least-connections", Algorithm::LeastConnections),
        ("latency", Algorithm::Latency),
        ("sticky-sessions", Algorithm::StickySessions),
    ] {
        let mut body = hashed.clone();
        body["algorithm"] = algorithm.into();
        body["sticky_sessions_cookie"] = "c".into();
        assert_eq!(of(body), (expected, none), "{algorithm}");
        let body =
            json!({ "algorithm": algorithm, "hash_on": "none", "sticky_sessions_cookie": "c" });
        assert_eq!(of(body), (expected, none), "{algorithm}");
    }
    let mut round = hashed;
    round["algorithm"] = "round-robin".into();
    assert_eq!(of(round), (Algorithm::ConsistentHashing, header));
    let both = json!({ "algorithm": "consistent-hashing", "hash_on": "none" });
    assert_eq!(of(both), (Algorithm::RoundRobin, none));
    let alone = json!({ "algorithm": "consistent-hashing" });
    assert_eq!(of(alone), (Algorithm::RoundRobin, none));
    let null = json!({ "algorithm": "consistent-hashing", "hash_on": null });
    assert_eq!(of(null), (Algorithm::ConsistentHashing, none));
}

#[test]
fn algorithm_that_hashes_keeps_the_input_of_a_changed_upstream() {
    let implied = |held: Option<&Upstream>| {
        let fields = json!({ "algorithm": "consistent-hashing" }).as_object().unwrap().clone();
        let mut input = Input { fields, form: false };
        Upstream::imply(held, &mut input, &mut Violations::default());
        input.fields["algorithm"].clone()
    };
    let hashed = read(json!({ "hash_on": "header", "hash_on_header": "x" })).unwrap();
    assert_eq!(implied(Some(&hashed)), "consistent-hashing");
    let unhashed = read(json!({})).unwrap();
    assert_eq!((implied(Some(&unhashed)), implied(None)), (json!("round-robin"), json!("round-robin")));
}

#[test]
fn checks_are_on_by_intervals_and_limits() {
    let on = |healthchecks: Value| read(json!({ "healthchecks": healthchecks })).unwrap().checks_on();
    assert!(!on(json!({})));
    assert!(!on(json!({ "passive": { "healthy": { "successes": 1 } } })));
    assert!(!on(json!({ "active": { "unhealthy": { "tcp_failures": 1 } } })));
    assert!(on(json!({ "active": { "healthy": { "interval": 0.5 } } })));
    assert!(on(json!({ "active": { "unhealthy": { "interval": 1 } } })));
    for limit in ["tcp_failures", "timeouts", "http_failures"] {
        assert!(on(json!({ "passive": { "unhealthy": { limit: 1 } } })), "{limit}");
    }
}

#[test]
fn schema_says_the_rules() {
    let schema = described(kind::UPSTREAM).unwrap().schema();
    let checks = schema["entity_checks"].as_array().unwrap();
    let distinct = checks.iter().filter(|check| check.get("distinct").is_some()).count();
    let conditional = checks.iter().filter(|check| check.get("conditional").is_some()).count();
    assert_eq!((distinct, conditional, checks.len()), (3, 14, 17));
}
