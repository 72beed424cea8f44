use super::*;

fn errors(document: &Value) -> Errors {
    match read_json(document) {
        Err(ReadError::Invalid(errors)) => *errors,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_errors_are_found_at_once() {
    let errors = errors(&json!({
        "_format_version": "3.0",
        "unknown": 1,
        "services": [
            { "name": "good", "host": "a" },
            {
                "name": "bad", "host": "a:1", "retries": -1, "tags": ["t"], "nonsense": [],
                "routes": [{ "name": "r", "paths": ["x"] }, 5],
            },
        ],
        "routes": [{ "name": "f", "paths": ["/f"], "service": "missing", "protocols": ["tcp"] }],
        "certificates": [{ "cert": CERT, "key": "a secret" }],
        "snis": "x",
    }));
    let nested = errors.nested();
    assert_eq!(nested["unknown"], "unknown field");
    assert_eq!(nested["snis"], "expected an array");
    assert_eq!(nested["services"][0], Value::Null);
    assert_eq!(nested["services"][1]["host"], "must not have a port");
    assert_eq!(nested["services"][1]["nonsense"], "unknown field");
    assert!(nested["services"][1]["routes"][0]["paths"][0].is_string(), "{nested}");
    assert_eq!(nested["services"][1]["routes"][1]["@entity"], json!(["expected a record"]));
    let told = "invalid reference 'service: missing' (no such entry in 'services')";
    assert_eq!(nested["routes"][0]["service"], told);

    let flattened = errors.flattened();
    let of = |kind: &str, name: Value| {
        let found =
            flattened.iter().find(|error| error["entity_type"] == kind && error["entity_name"] == name);
        found.unwrap_or_else(|| panic!("{kind} {name} in {flattened:?}")).clone()
    };
    let service = of("service", json!("bad"));
    assert_eq!(service["entity_tags"], json!(["t"]));
    assert_eq!(service["entity"]["host"], "a:1");
    assert_eq!(service["errors"].as_array().unwrap().len(), 3);
    assert_eq!(
        service["errors"][0],
        json!({ "type": "field", "field": "host", "message": "must not have a port" })
    );
    assert_eq!(of("route", json!("r"))["errors"][0]["field"], "paths.1");
    let certificate = of("certificate", Value::Null);
    assert_eq!(certificate["entity"]["key"], "***");
    let all = format!("{nested} {flattened:?} {}", errors.message());
    assert!(!all.contains("a secret"), "{all}");
    assert!(errors.message().starts_with("declarative config is invalid: "), "{}", errors.message());
}

#[test]
fn headers_are_checked() {
    for (document, key, reason) in [
        (json!({}), "_format_version", "required field missing"),
        (json!({ "_format_version": "4.2" }), "_format_version", "it is '4.2'"),
        (json!({ "_format_version": [] }), "_format_version", "expected a string"),
        (json!({ "_format_version": "3.0", "_transform": false }), "_transform", "must be true"),
        (
            json!({ "_format_version": "3.0", "_info": { "defaults": { "service": {} } } }),
            "_info",
            "defaults are not supported",
        ),
        (json!({ "_format_version": "3.0", "services": [], "_info": {} }), "_info", "must stand before"),
        (json!({ "_format_version": "3.0", "_info": { "select_tags": [] } }), "_info", "must name a tag"),
        (json!({ "_format_version": "3.0", "_info": { "select_tags": null } }), "_info", "must name a tag"),
        (json!({ "_format_version": "3.0", "_info": { "select_tags": ["a,b"] } }), "_info", "array of tags"),
        (json!({ "_format_version": "3.0", "_info": { "select_tag": null } }), "_info", "unknown field"),
    ] {
        let nested = errors(&document).nested();
        assert!(nested[key].as_str().is_some_and(|text| text.contains(reason)), "{document}: {nested}");
    }
}

#[test]
fn files_of_deck_have_headers_that_say_nothing() {
    for header in [
        json!({ "_format_version": "3.0", "_info": { "defaults": {}, "select_tags": ["t"] } }),
        json!({ "_format_version": "3.0", "_workspace": "default" }),
    ] {
        assert!(read_json(&header).is_ok(), "{header}");
    }
    let other = errors(&json!({ "_format_version": "3.0", "_workspace": "w" })).nested();
    assert!(other["_workspace"].as_str().is_some_and(|text| text.contains("must be 'default'")), "{other}");
}

/// Which of its fields are secrets is not known.
#[test]
fn configuration_of_an_unknown_plugin_is_not_repeated() {
    let plugin = json!({ "name": "openid-connekt", "config": { "client_secret": "confidential" } });
    let found = errors(&json!({ "_format_version": "3.0", "plugins": [plugin] }));
    let shown = serde_json::to_string(&found.flattened()).unwrap();
    assert!(shown.contains("openid-connekt") && !shown.contains("confidential"), "{shown}");
}

#[test]
fn entities_are_declared_once() {
    let service = json!({ "id": id(1), "name": "a", "host": "a" });
    let nested = errors(&json!({
        "_format_version": "3.0",
        "services": [service, { "name": "a", "host": "b" }, { "id": id(1), "host": "c" }],
    }))
    .nested();
    let told = "uniqueness violation: 'services' entity with name set to 'a' already declared";
    assert_eq!(nested["services"][1]["name"], told);
    assert!(nested["services"][2]["id"].as_str().unwrap().contains("already declared"), "{nested}");
}

#[test]
fn references_by_id_need_their_entity() {
    let nested = errors(&json!({
        "_format_version": "3.0",
        "routes": [{ "name": "r", "paths": ["/r"], "service": { "id": id(9) } }],
    }))
    .nested();
    let told = format!("invalid reference 'service: {}' (no such entry in 'services')", id(9));
    assert_eq!(nested["routes"][0]["service"], told);
}

#[test]
fn the_number_of_errors_is_bounded() {
    let services: Vec<Value> = (0..5000).map(|number| json!({ "name": format!("s{number}") })).collect();
    let errors = errors(&json!({ "_format_version": "3.0", "services": services }));
    assert_eq!(errors.flattened().len(), 1000);
    assert_eq!(errors.unnamed(), 4000);
    assert!(errors.message().ends_with("and more, in 5000 entities"), "{}", errors.message());
}

/// Each entity may have many, too.
#[test]
fn the_number_of_errors_of_entities_is_bounded() {
    let unknown: serde_json::Map<String, Value> = (0..900).map(|at| (format!("z{at}"), json!(1))).collect();
    let services: Vec<Value> = (0..200).map(|_| Value::Object(unknown.clone())).collect();
    let errors = errors(&json!({ "_format_version": "3.0", "services": services }));
    let told: usize = errors.flattened().iter().map(|one| one["errors"].as_array().unwrap().len()).sum();
    assert!((10_000..11_000).contains(&told), "{told}");
    assert_eq!(errors.flattened().len() + errors.unnamed(), 200);
}

#[test]
fn entity_with_a_wrong_reference_is_named() {
    let errors = errors(&json!({
        "_format_version": "3.0",
        "routes": [{ "name": "r", "paths": ["/"], "service": { "id": id(9) } }],
    }));
    assert_eq!(errors.flattened()[0]["entity_name"], "r");
}

#[test]
fn outer_entity_and_reference_agree() {
    let services = |named: Value| {
        let route = json!({ "name": "r", "paths": ["/"], "service": named });
        json!({ "_format_version": "3.0", "services": [
            { "name": "a", "host": "a", "id": id(1), "routes": [route] }, { "name": "b", "host": "b" },
        ] })
    };
    let told = "names another entity than the one in which this one is nested";
    assert_eq!(errors(&services(json!("b"))).nested()["services"][0]["routes"][0]["service"], told);
    for same in [json!("a"), json!({ "name": "a" }), json!({ "id": id(1) }), json!(null)] {
        assert!(read_json(&services(same)).is_ok());
    }
}

#[test]
fn values_that_are_unique_together_are_named() {
    let plugin = json!({ "name": "cors", "service": "a" });
    let errors = errors(&json!({
        "_format_version": "3.0",
        "services": [{ "name": "a", "host": "a", "id": id(1) }],
        "plugins": [plugin, { "name": "cors", "service": "a", "instance_name": "x", "id": id(2) }],
    }));
    let told = errors.message();
    let expected =
        format!("'plugins' entity with name set to 'cors' and service set to '{}' already declared", id(1));
    assert!(told.contains(&expected) && !told.contains("together"), "{told}");
}

#[test]
fn a_single_error_far_from_the_beginning_is_short() {
    let mut services: Vec<Value> =
        (0..5000).map(|number| json!({ "id": id(number + 1), "host": "a" })).collect();
    services[4000]["host"] = json!("a:1");
    let nested = errors(&json!({ "_format_version": "3.0", "services": services })).nested();
    assert_eq!(nested["services"], json!({ "4001": { "host": "must not have a port" } }));
}

#[test]
fn what_cannot_be_parsed_is_not_repeated() {
    for (text, format) in [
        ("{\"_format_version\": \"3.0\", \"services\": [secret]}", Format::Json),
        ("_format_version: \"3.0\"\nservices: [\"secret", Format::Yaml),
        ("_format_version: \"3.0\"\nservices: *secret", Format::Yaml),
        ("[\"secret\"]", Format::Json),
        ("secret", Format::Yaml),
    ] {
        let told = read_over(text, format, &[], &[]).unwrap_err().to_string();
        assert!(told.contains("line") && !told.contains("secret"), "{told}");
    }
}
