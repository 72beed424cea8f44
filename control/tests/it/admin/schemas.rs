//! Schemas, and the check of a body that writes nothing.

use serde_json::{Value, json};
use testkit::http::Request;

use super::bad::cases;
use super::certificates::pair;
use super::{Admin, on_both_databases};

on_both_databases!(
    every_kind_has_a_schema,
    names_without_a_schema,
    validation_answers_as_a_write_does,
    validation_looks_for_no_other_entity,
);

async fn every_kind_has_a_schema(admin: &Admin) {
    for kind in model::KINDS.iter().filter(|kind| !kind.is_operational()) {
        let at = format!("/schemas/{}", kind.collection());
        let mut without = kind.schema();
        model::without_additions(&mut without);
        assert_eq!(admin.get(&at).await.expect(200).json(), without);
        let schema = admin.get(&format!("{at}?additions=true")).await.expect(200).json();
        assert_eq!(schema, kind.schema());
        let names: Vec<&String> = schema["fields"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|field| field.as_object().unwrap().keys())
            .collect();
        for field in kind.fields().iter().filter(|field| field.is_shown()) {
            assert!(names.iter().any(|name| *name == field.name), "{kind:?}: {names:?}");
        }
    }
    let field = async |collection: &str, name: &str| {
        let schema = admin.get(&format!("/schemas/{collection}")).await.expect(200).json();
        schema["fields"].as_array().unwrap().iter().find_map(|field| field.get(name)).unwrap().clone()
    };
    for (collection, name, shown) in [
        ("services", "port", json!({ "type": "integer", "default": 80 })),
        ("services", "path", json!({ "starts_with": "/" })),
        ("keyauth_credentials", "key", json!({ "unique": true, "auto": true })),
        ("jwt_secrets", "secret", json!({ "auto": true })),
        ("acls", "group", json!({ "unique": null })),
        ("plugins", "config", json!({ "abstract": true, "default": null, "required": null })),
    ] {
        let found = field(collection, name).await;
        for (attribute, value) in shown.as_object().unwrap() {
            assert_eq!(&found[attribute], value, "{collection}.{name}: {found}");
        }
    }
    let content_type = "application/json; charset=utf-8";
    assert_eq!(admin.get("/schemas/services").await.header("content-type"), Some(content_type));
}

async fn names_without_a_schema(admin: &Admin) {
    for (target, message) in [
        ("/schemas/x", "No entity named 'x'"),
        ("/schemas/plugins/x", "No plugin named 'x'"),
        ("/schemas/vaults/x", "No vault named 'x'"),
    ] {
        assert_eq!(admin.get(target).await.expect(404).json(), json!({ "message": message }), "{target}");
    }
    let unknown = admin.post("/schemas/x/validate", &json!({})).await.expect(404).json();
    assert_eq!(unknown, json!({ "message": "No entity named 'x'" }));
    assert_eq!(admin.get("/schemas/%ff").await.expect(404).json(), json!({ "message": "Not found" }));
}

/// Every bad body of a collection is refused with the answer that a write gives.
async fn validation_answers_as_a_write_does(admin: &Admin) {
    for (method, target, body, _, field, _) in cases() {
        if method != "POST" || target.matches('/').count() > 1 {
            continue;
        }
        let written = admin.post(target, &body).await;
        if written.status != 400 || written.json()["code"] != 2 {
            continue;
        }
        let checked = admin.post(&format!("/schemas{target}/validate"), &body).await.expect(400);
        assert_eq!(checked.json(), written.json(), "{target} {body} {field}");
    }
    let request =
        Request::new("POST", "/schemas/services/validate").header("Content-Type", "text/plain").body("{}");
    admin.client.send(&request).await.unwrap().expect(415);
}

/// Defaults and automatic fields are filled in; neither unique values nor references are looked up.
async fn validation_looks_for_no_other_entity(admin: &Admin) {
    let absent = "00000000-0000-4000-8000-000000000001";
    admin.post("/services", &json!({ "name": "taken", "host": "x" })).await.expect(201);
    let mut certificate = pair(&["a.example"]);
    certificate["snis"] = json!(["a.example"]);
    let bodies: [(&str, Value); 7] = [
        ("services", json!({ "name": "taken", "host": "x" })),
        ("services", json!({ "url": "https://x", "client_certificate": { "id": absent } })),
        ("routes", json!({ "paths": ["/"], "service": { "name": "absent" } })),
        ("routes", json!({ "paths": ["/"], "service": { "id": absent } })),
        ("snis", json!({ "name": "a", "certificate": { "id": absent } })),
        ("certificates", certificate),
        ("ca_certificates", super::authorities::authority()),
    ];
    for (collection, body) in bodies {
        let answer = admin.post(&format!("/schemas/{collection}/validate"), &body).await.expect(200);
        assert_eq!(answer.json(), json!({ "message": "schema validation successful" }), "{body}");
        assert_eq!(answer.header("gibbon-revision"), None);
    }
    assert_eq!(admin.get("/certificates").await.json()["data"], json!([]));
    let bad = json!({ "paths": ["/"], "service": { "nonsense": "x" } });
    let refused = admin.post("/schemas/routes/validate", &bad).await.expect(400).json();
    let expected = json!({ "id": "required field missing", "nonsense": "unknown field" });
    assert_eq!(refused["fields"]["service"], expected);
}
