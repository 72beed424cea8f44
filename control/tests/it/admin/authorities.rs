//! CA certificates, and services that name certificates.

use std::fs;

use serde_json::{Value, json};
use testkit::certs::{self, Authority};

use super::certificates::{id, pair};
use super::{Admin, on_both_databases, revision};

on_both_databases!(
    an_authority_from_end_to_end,
    bad_authorities_are_refused,
    a_service_names_what_is_there,
    names_and_removals_at_the_same_time_leave_no_gap,
);

const ABSENT: &str = "00000000-0000-4000-8000-000000000001";

/// An authority's certificate as a body.
pub(super) fn authority() -> Value {
    let folder = tempfile::tempdir().unwrap();
    json!({ "cert": fs::read_to_string(Authority::new(folder.path(), "ca").cert).unwrap() })
}

fn upstream(fields: Value) -> Value {
    let mut body = json!({ "name": "a", "host": "a", "protocol": "https" });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

async fn an_authority_from_end_to_end(admin: &Admin) {
    let first = authority();
    let made = admin.post("/ca_certificates", &first).await.expect(201).json();
    let at = format!("/ca_certificates/{}", id(&made));
    assert_eq!((&made["cert"], &made["tags"]), (&first["cert"], &Value::Null));
    let digest = made["cert_digest"].as_str().unwrap();
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    assert_eq!(admin.get(&at).await.expect(200).json(), made);
    assert_eq!(admin.get("/ca_certificates").await.expect(200).json()["data"], json!([made]));

    let taken = admin.post("/ca_certificates", &first).await.expect(409).json();
    assert_eq!(taken["fields"], json!({ "cert_digest": digest }));
    let tagged = admin.patch(&at, &json!({ "tags": ["partner"] })).await.expect(200).json();
    assert_eq!(tagged["cert_digest"], digest);
    assert_eq!(admin.get("/tags/partner").await.json()["data"][0]["entity_name"], "ca_certificates");
    let replaced = admin.put(&at, &authority()).await.expect(200).json();
    assert_ne!(replaced["cert_digest"], digest);
    // What a client was shown can be sent back as it is.
    admin.put(&at, &replaced).await.expect(200);
    admin.put("/ca_certificates/name", &authority()).await.expect(400);
    admin.delete(&at).await.expect(204);
    admin.get(&at).await.expect(404);
}

async fn bad_authorities_are_refused(admin: &Admin) {
    let folder = tempfile::tempdir().unwrap();
    let read = |pair: certs::Pair| fs::read_to_string(pair.cert).unwrap();
    let two = format!("{0}{0}", authority()["cert"].as_str().unwrap());
    for (cert, reason) in [
        (Value::Null, "required field missing"),
        (json!(1), "expected a string"),
        (json!("x"), "no certificate in PEM"),
        (json!("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"), "not X.509"),
        (json!(two), "only one certificate"),
        (json!(read(certs::valid(folder.path(), "leaf"))), "basic constraint"),
        (json!(include_str!("pem/v1.crt")), "not X.509 version 3"),
        (json!(include_str!("pem/p521.crt")), "its key is ECDSA on another curve; TLS can verify with"),
        (json!(include_str!("pem/rsa1024.crt")), "its key is RSA of 1024 bits; TLS can verify with"),
        (json!(include_str!("pem/critical.crt")), "a critical extension that is not supported"),
    ] {
        let answer = admin.post("/ca_certificates", &json!({ "cert": cert })).await.expect(400).json();
        assert!(answer["fields"]["cert"].as_str().unwrap().contains(reason), "{answer}");
    }
    assert_eq!(revision(&admin.post("/ca_certificates", &authority()).await.expect(201)), 1);
}

async fn a_service_names_what_is_there(admin: &Admin) {
    let client = id(&admin.post("/certificates", &pair(&["a.example"])).await.expect(201).json());
    let ca = id(&admin.post("/ca_certificates", &authority()).await.expect(201).json());
    for (fields, field) in [
        (json!({ "client_certificate": { "id": ABSENT } }), "client_certificate"),
        (json!({ "ca_certificates": [ca, ABSENT] }), "ca_certificates"),
    ] {
        let refused = admin.post("/services", &upstream(fields)).await.expect(400).json();
        assert_eq!((&refused["code"], &refused["fields"][field]), (&json!(4), &json!({ "id": ABSENT })));
    }
    let both = upstream(json!({ "client_certificate": { "id": client }, "ca_certificates": [ca] }));
    assert_eq!(revision(&admin.post("/services", &both).await.expect(201)), 3, "nothing was left behind");

    for at in [format!("/certificates/{client}"), format!("/ca_certificates/{ca}")] {
        let refused = admin.delete(&at).await.expect(400).json();
        assert_eq!((&refused["code"], &refused["fields"]["@referenced_by"]), (&json!(4), &json!("services")));
        admin.get(&at).await.expect(200);
    }
    admin.put("/services/a", &upstream(json!({}))).await.expect(200);
    admin.delete(&format!("/certificates/{client}")).await.expect(204);
    admin.delete(&format!("/ca_certificates/{ca}")).await.expect(204);
}

/// A certificate is deleted while a service begins to name it: one of the two is rejected.
async fn names_and_removals_at_the_same_time_leave_no_gap(admin: &Admin) {
    admin.post("/services", &upstream(json!({}))).await.expect(201);
    for _ in 0..10 {
        let ca = id(&admin.post("/ca_certificates", &authority()).await.expect(201).json());
        let (at, names) = (format!("/ca_certificates/{ca}"), json!({ "ca_certificates": [ca] }));
        let (removed, named) = tokio::join!(admin.delete(&at), admin.patch("/services/a", &names));
        match (removed.status, named.status) {
            (204, 400) => {}
            (400, 200) => {
                admin.patch("/services/a", &json!({ "ca_certificates": null })).await.expect(200);
            }
            other => panic!("{other:?}: {} {}", removed.text(), named.text()),
        }
    }
}
