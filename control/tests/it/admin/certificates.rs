//! Certificates and server names. The Admin API accepts private keys and never returns them.

use std::fs;

use serde_json::{Value, json};
use testkit::certs;

use super::{Admin, on_both_databases, revision};

on_both_databases!(
    a_certificate_is_made_changed_and_removed,
    names_have_their_certificate,
    bad_pairs_and_names_are_refused,
);

/// Builds a body with a certificate and its key.
pub(super) fn pair(names: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let pair = certs::server(folder.path(), "pair", names);
    let read = |path| fs::read_to_string(path).unwrap();
    json!({ "cert": read(&pair.cert), "key": read(&pair.key) })
}

/// Returns the id of a row.
pub(super) fn id(body: &Value) -> String {
    body["id"].as_str().unwrap().to_owned()
}

async fn a_certificate_is_made_changed_and_removed(admin: &Admin) {
    let first = pair(&["a.example"]);
    let made = admin.post("/certificates", &first).await.expect(201);
    let (at, made) = (format!("/certificates/{}", id(&made.json())), made.json());
    assert_eq!((&made["cert"], &made["key"]), (&first["cert"], &json!("***")));
    assert_eq!(admin.get(&at).await.expect(200).json(), made);

    // A change of another field keeps the hidden key.
    let tagged = admin.patch(&at, &json!({ "tags": ["web"] })).await.expect(200);
    assert_eq!(tagged.json()["tags"], json!(["web"]));
    let second = pair(&["a.example"]);
    let only_cert = json!({ "cert": second["cert"] });
    let mismatch = admin.patch(&at, &only_cert).await.expect(400).json();
    assert_eq!(mismatch["fields"]["@entity"], json!(["certificate does not match key"]));
    let replaced = admin.put(&at, &second).await.expect(200);

    // A client may send back the view that it was shown: the key stays, and nothing changes.
    let shown = admin.get(&at).await.expect(200).json();
    let same = admin.put(&at, &shown).await.expect(200);
    assert_eq!((revision(&same), same.json()), (revision(&replaced), shown));

    let everything = admin.get("/certificates").await.expect(200).text();
    assert!(!everything.contains("PRIVATE KEY"), "{everything}");
    admin.delete(&at).await.expect(204);
    admin.get(&at).await.expect(404);
}

async fn names_have_their_certificate(admin: &Admin) {
    let certificate = id(&admin.post("/certificates", &pair(&["a.example"])).await.expect(201).json());
    let body = json!({ "name": "A.Example", "certificate": { "id": certificate } });
    let sni = admin.post("/snis", &body).await.expect(201).json();
    assert_eq!(sni["name"], "a.example");
    let taken =
        admin.post("/snis", &json!({ "name": "a.example", "certificate": { "id": certificate } })).await;
    assert_eq!(taken.expect(409).json()["name"], "unique constraint violation");

    let nested = format!("/certificates/{certificate}/snis");
    admin.post(&nested, &json!({ "name": "*.a.example" })).await.expect(201);
    assert_eq!(admin.get(&nested).await.expect(200).json()["data"].as_array().unwrap().len(), 2);
    admin.get("/snis/a.example/certificate").await.expect(404);

    admin.delete("/snis/a.example").await.expect(204);
    // Its server names are deleted with it, at one revision.
    let removed = admin.delete(&format!("/certificates/{certificate}")).await.expect(204);
    assert_eq!(admin.get("/snis").await.expect(200).json()["data"], json!([]));
    admin.published(revision(&removed)).await;
}

async fn bad_pairs_and_names_are_refused(admin: &Admin) {
    let (good, other) = (pair(&["a.example"]), pair(&["a.example"]));
    let unknown = "00000000-0000-4000-8000-000000000001";
    for (target, body, field, reason) in [
        ("/certificates", json!({ "key": good["key"] }), "/cert", "required field missing"),
        ("/certificates", json!({ "cert": good["cert"] }), "/key", "required field missing"),
        ("/certificates", json!({ "cert": "x", "key": good["key"] }), "/cert", "invalid certificate"),
        ("/certificates", json!({ "cert": good["cert"], "key": "x" }), "/key", "invalid key"),
        (
            "/certificates",
            json!({ "cert": include_str!("pem/v1.crt"), "key": include_str!("pem/v1.key") }),
            "/cert",
            "not X.509 version 3",
        ),
        (
            "/certificates",
            json!({ "cert": good["cert"], "key": other["key"] }),
            "/@entity/0",
            "does not match",
        ),
        (
            "/certificates",
            json!({ "cert": good["cert"], "key": good["key"], "cert_alt": good["cert"] }),
            "/@entity/0",
            "all or none of these fields",
        ),
        ("/snis", json!({ "name": "a.example" }), "/certificate", "required field missing"),
        ("/snis", json!({ "certificate": { "id": unknown } }), "/name", "required field missing"),
        (
            "/snis",
            json!({ "name": "10.0.0.1", "certificate": { "id": unknown } }),
            "/name",
            "must not be an IP",
        ),
        (
            "/snis",
            json!({ "name": "a.example", "certificate": { "id": unknown } }),
            "/certificate/id",
            unknown,
        ),
    ] {
        let answer = admin.post(target, &body).await.expect(400);
        let said = answer.json()["fields"].pointer(field).map(Value::to_string).unwrap_or_default();
        assert!(said.contains(reason), "{target} {field}: {}", answer.text());
        assert!(!answer.text().contains("PRIVATE KEY"), "{}", answer.text());
    }
    assert_eq!(revision(&admin.post("/certificates", &good).await.expect(201)), 1);
}
