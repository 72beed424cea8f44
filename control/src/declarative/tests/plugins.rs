use model::kind;

use super::*;

const ID: &str = "00000000-0000-4000-8000-000000000001";

fn document() -> Value {
    json!({
        "_format_version": "3.0",
        "services": [{
            "name": "a",
            "host": "x",
            "plugins": [{ "name": "key-auth", "config": { "realm": "r" } }],
            "routes": [{
                "name": "r",
                "paths": ["/"],
                "plugins": [
                    { "name": "key-auth", "instance_name": "keys" },
                    { "name": "request-termination", "config": { "status_code": 418 } },
                ],
            }],
        }],
        "plugins": [
            { "name": "key-auth", "service": "a", "route": { "name": "r" }, "enabled": false },
            { "name": "request-termination" },
        ],
    })
}

#[test]
fn plugins_stand_in_what_they_are_for_or_name_it() {
    let entities = made(&document());
    let of = |kind| key_of(&entities, kind).id.to_string();
    let (service, route) = (of(kind::SERVICE), of(kind::ROUTE));
    let mut found: Vec<String> = body(&entities, kind::PLUGIN).iter().map(Value::to_string).collect();
    found.sort();
    let expected = [
        format!(
            r#"{{"name":"key-auth","instance_name":"keys","route":"{route}","config":{{"!key-auth":{{}}}}}}"#
        ),
        format!(
            r#"{{"name":"key-auth","route":"{route}","service":"{service}","enabled":false,"config":{{"!key-auth":{{}}}}}}"#
        ),
        format!(r#"{{"name":"key-auth","service":"{service}","config":{{"!key-auth":{{"realm":"r"}}}}}}"#),
        format!(
            r#"{{"name":"request-termination","route":"{route}","config":{{"!request-termination":{{"status_code":418}}}}}}"#
        ),
        r#"{"name":"request-termination","config":{"!request-termination":{}}}"#.to_owned(),
    ];
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_plugin_stands_for_the_one_of_its_name_and_scope() {
    let before = made(&document());
    let again = read_over(&document().to_string(), Format::Json, &before, &[]).unwrap();
    assert!(again.is_empty(), "{:?}", changes(&again));
    let mut changed = document();
    changed["plugins"][1]["config"] = json!({ "message": "gone" });
    changed["services"][0]["plugins"][0]["config"]["realm"] = json!("s");
    let difference = read_over(&changed.to_string(), Format::Json, &before, &[]).unwrap();
    let operations: Vec<String> = changes(&difference);
    assert_eq!(operations.len(), 2, "{operations:?}");
    assert!(operations.iter().all(|operation| operation.starts_with("update plugins")), "{operations:?}");
}

#[test]
fn dumps_come_back() {
    let entities = made(&document());
    for with_ids in [false, true] {
        let options = DumpOptions { with_ids, ..DumpOptions::default() };
        let mut text = Vec::new();
        Dump::new(options, entities.iter().cloned()).write(Format::Json, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(r#""config":{"realm":"r"}"#), "{text}");
        let difference = read_over(&text, Format::Json, &entities, &[]).unwrap();
        assert!(difference.is_empty(), "{:?}", changes(&difference));
    }
}

/// Fields that a body must have are written, also at the default of their records.
#[test]
fn dump_has_what_a_document_must_have() {
    for metric in [
        json!({ "name": "request_count", "stat_type": "timer" }),
        json!({ "name": "request_count", "stat_type": "counter", "sample_rate": 1 }),
        json!({ "name": "latency", "stat_type": "counter", "sample_rate": 0.5 }),
    ] {
        let plugin = json!({ "name": "statsd", "config": { "metrics": [metric] } });
        let entities = made(&json!({ "_format_version": "3.0", "plugins": [plugin] }));
        let mut text = Vec::new();
        Dump::new(DumpOptions::default(), entities.iter().cloned()).write(Format::Json, &mut text).unwrap();
        let difference = read_over(&String::from_utf8(text).unwrap(), Format::Json, &entities, &[]).unwrap();
        assert!(difference.is_empty(), "{:?}", changes(&difference));
    }
}

#[test]
fn errors_have_their_places() {
    let mut wrong = document();
    wrong["services"][0]["plugins"][0]["config"]["realm"] = json!(1);
    wrong["plugins"][1]["name"] = json!("nosuch");
    wrong["plugins"][0]["route"] = json!("absent");
    let Err(ReadError::Invalid(errors)) = read_json(&wrong) else { panic!("it has errors") };
    let nested = errors.nested();
    let realm = &nested["services"][0]["plugins"][0]["config"]["realm"];
    assert_eq!(realm, "expected a string", "{nested}");
    let unknown = "plugin 'nosuch' not enabled; add it to the 'plugins' configuration property";
    assert_eq!(nested["plugins"][1]["name"], unknown, "{nested}");
    let absent = nested["plugins"][0]["route"].as_str().unwrap_or_default();
    assert!(absent.contains("no such entry in 'routes'"), "{nested}");
    let twice = json!({
        "_format_version": "3.0",
        "plugins": [{ "name": "key-auth", "id": ID }, { "name": "key-auth" }],
    });
    assert!(matches!(read_json(&twice), Err(ReadError::Invalid(_))));
}

#[test]
fn earlier_names_of_fields_stand_for_the_later_ones() {
    let plugin =
        json!({ "name": "rate-limiting", "config": { "minute": 3, "policy": "redis", "redis_host": "r" } });
    let document = json!({ "_format_version": "3.0", "plugins": [plugin] });
    let before = made(&document);
    let again = read_over(&document.to_string(), Format::Json, &before, &[]).unwrap();
    assert!(again.is_empty(), "{:?}", changes(&again));
}
