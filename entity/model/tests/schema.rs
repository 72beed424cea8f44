#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
//! The schema of each kind has the shape that Kong's clients read, and says what writes are checked by.

use std::collections::BTreeSet;

use model::{Common, Described, Input, KINDS, Map, Value, Violations};
use serde_json::json;
use uuid::Uuid;

const TYPES: [&str; 10] =
    ["string", "number", "integer", "boolean", "array", "set", "map", "record", "foreign", "function"];

/// The name and the attributes of a field.
fn named(field: &Value) -> (&str, &Value) {
    let field = field.as_object().expect("a field is an object");
    assert_eq!(field.len(), 1, "{field:?}");
    field.iter().next().map(|(name, attributes)| (name.as_str(), attributes)).unwrap()
}

fn check_type(path: &str, attributes: &Value) {
    let name = attributes["type"].as_str().unwrap_or_default();
    assert!(TYPES.contains(&name), "{path}: {attributes}");
    match name {
        "array" | "set" => check_type(&format!("{path}.elements"), &attributes["elements"]),
        "map" => check_type(&format!("{path}.values"), &attributes["values"]),
        "foreign" => assert!(model::of_collection(attributes["reference"].as_str().unwrap()).is_some()),
        "record" => check_fields(path, attributes),
        _ => {}
    }
}

fn check_fields(path: &str, schema: &Value) {
    let mut names = BTreeSet::new();
    for field in schema["fields"].as_array().unwrap() {
        let (name, attributes) = named(field);
        assert!(names.insert(name.to_owned()), "{path}.{name} stands twice");
        check_type(&format!("{path}.{name}"), attributes);
    }
}

/// The attributes of one field of a kind.
fn attributes(kind: &dyn Described, name: &str) -> Value {
    let schema = kind.schema();
    let fields = schema["fields"].as_array().unwrap().iter().map(named);
    fields.into_iter().find(|(field, _)| *field == name).map(|(_, found)| found.clone()).unwrap()
}

#[test]
fn every_kind_has_the_shape() {
    for kind in KINDS {
        let schema = kind.schema();
        assert!(schema["entity_checks"].is_array(), "{kind:?}");
        check_fields(kind.collection(), &schema);
        for field in kind.fields().iter().filter(|field| field.is_shown()) {
            attributes(*kind, field.name);
        }
        for (name, auto) in [("id", true), ("created_at", true), ("tags", false)] {
            assert_eq!(attributes(*kind, name)["auto"] == json!(true), auto, "{kind:?}.{name}");
        }
        let has_updated_at =
            schema["fields"].as_array().unwrap().iter().any(|field| named(field).0 == "updated_at");
        assert_eq!(has_updated_at, kind.credential().is_none(), "{kind:?}");
    }
}

#[test]
fn fields_have_their_attributes() {
    let field = |collection: &str, name: &str| attributes(model::of_collection(collection).unwrap(), name);
    let port = field("services", "port");
    assert_eq!((&port["default"], &port["between"]), (&json!(80), &json!([0, 65_535])));
    assert_eq!((&port["type"], &port["required"]), (&json!("integer"), &json!(true)));
    assert_eq!(field("services", "name")["unique"], true);
    assert_eq!(field("routes", "protocols")["default"], json!(["http", "https"]));
    assert_eq!(field("routes", "service")["reference"], "services");
    assert_eq!(field("snis", "certificate")["on_delete"], "cascade");
    assert_eq!(field("certificates", "snis")["transient"], true);
    assert_eq!(field("ca_certificates", "cert_digest")["unique"], true);
    let sources = field("routes", "sources");
    assert_eq!(sources["elements"]["entity_checks"], json!([{ "at_least_one_of": ["ip", "port"] }]));
    let services = model::of_collection("services").unwrap().schema();
    assert_eq!(services["shorthand_fields"], json!([{ "url": { "type": "string" } }]));
}

/// The violations of a service with this protocol and this field.
fn violations(protocol: &str, field: &str, value: &Value) -> Violations {
    let mut fields = Map::new();
    fields.insert("host".into(), "a".into());
    fields.insert("protocol".into(), protocol.into());
    fields.insert(field.into(), value.clone());
    let common = Common { id: Uuid::nil(), created_at: 0, updated_at: 0, tags: None };
    let services = model::of_collection("services").unwrap();
    let read = services.read(Input { fields, form: false }, &common, Violations::default());
    read.err().unwrap_or_default()
}

/// What the schema says of services is what writes are checked by, for every protocol and every rule.
#[test]
fn rules_between_fields_are_those_of_writes() {
    let id = json!(Uuid::from_u128(1));
    let values = json!({
        "path": "/a",
        "client_certificate": { "id": id },
        "tls_verify": true,
        "tls_verify_depth": 1,
        "ca_certificates": [id],
    });
    let schema = model::of_collection("services").unwrap().schema();
    let mut said = BTreeSet::new();
    for check in schema["entity_checks"].as_array().unwrap() {
        let rule = &check["conditional"];
        assert_eq!((&rule["if_field"], &rule["then_match"]), (&json!("protocol"), &json!({ "eq": null })));
        let field = rule["then_field"].as_str().unwrap();
        said.insert(field);
        for protocol in ["grpc", "grpcs", "http", "https", "tcp", "tls", "udp"] {
            let listed = |list: &Value| list.as_array().is_some_and(|list| list.contains(&json!(protocol)));
            let condition = &rule["if_match"];
            let applies = listed(&condition["one_of"])
                || (condition["not_one_of"].is_array() && !listed(&condition["not_one_of"]));
            let broken = violations(protocol, field, &values[field]);
            assert_eq!(broken.fields.contains_key(field), applies, "{protocol} {field}: {broken}");
        }
    }
    assert_eq!(said.len(), 5);
}
