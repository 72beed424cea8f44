//! Certificates with their server names.

use serde_json::{Value, json};
use testkit::http::Response;

use super::certificates::{id, pair};
use super::{Admin, on_both_databases, revision};

on_both_databases!(
    names_are_written_with_their_certificate,
    a_name_leads_to_its_certificate,
    names_that_are_bad_or_taken,
    a_name_that_moves_meanwhile_is_not_deleted,
    a_second_pair_has_a_key_of_another_type,
    no_answer_and_no_line_of_the_log_has_a_key,
);

fn with(names: &Value) -> Value {
    let mut body = pair(&["a.example"]);
    body["snis"] = names.clone();
    body
}

async fn names(admin: &Admin) -> Vec<String> {
    let data = admin.get("/snis").await.expect(200).json()["data"].clone();
    let names = data.as_array().unwrap().iter().map(|sni| sni["name"].as_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

async fn names_are_written_with_their_certificate(admin: &Admin) {
    let made = admin.post("/certificates", &with(&json!(["b.example", "A.Example."]))).await.expect(201);
    assert_eq!(revision(&made), 1, "a certificate and its names are one write");
    let made = made.json();
    assert_eq!(made["snis"], json!(["a.example", "b.example"]));
    let at = format!("/certificates/{}", id(&made));
    assert_eq!(admin.get(&at).await.expect(200).json(), made);
    assert_eq!(admin.get("/certificates").await.expect(200).json()["data"], json!([made]));
    let sni = admin.get("/snis/A.example").await.expect(200).json();
    assert_eq!(sni["certificate"], json!({ "id": made["id"] }));

    let kept = admin.patch(&at, &json!({ "tags": ["web"] })).await.expect(200).json();
    assert_eq!(kept["snis"], made["snis"]);
    let moved = admin.patch(&at, &json!({ "snis": ["a.example", "c.example"] })).await.expect(200).json();
    assert_eq!(moved["snis"], json!(["a.example", "c.example"]));
    assert_eq!(names(admin).await, ["a.example", "c.example"]);
    assert_eq!(admin.get("/snis/a.example").await.json()["id"], sni["id"], "what stays is not made anew");
    let without = admin.put(&at, &pair(&["a.example"])).await.expect(200).json();
    assert_eq!(without["snis"], moved["snis"], "names that are not given stay");
    let none = admin.patch(&at, &json!({ "snis": [] })).await.expect(200).json();
    assert_eq!(none["snis"], json!([]));
    admin.delete(&at).await.expect(204);
}

async fn a_name_leads_to_its_certificate(admin: &Admin) {
    let made = admin.put("/certificates/new.example", &with(&json!(["b.example"]))).await.expect(200).json();
    assert_eq!(made["snis"], json!(["b.example", "new.example"]));
    for name in ["new.example", "NEW.example", "b.example"] {
        assert_eq!(admin.get(&format!("/certificates/{name}")).await.expect(200).json(), made, "{name}");
    }
    let again = admin.put("/certificates/new.example", &pair(&["x"])).await.expect(200).json();
    assert_eq!((&again["id"], &again["snis"]), (&made["id"], &made["snis"]));
    let nested = admin.get("/certificates/b.example/snis").await.expect(200).json();
    assert_eq!(nested["data"].as_array().map(Vec::len), Some(2));
    admin.get("/certificates/absent.example").await.expect(404);
    admin.put("/certificates/a:80", &pair(&["x"])).await.expect(400);
}

async fn names_that_are_bad_or_taken(admin: &Admin) {
    admin.post("/certificates", &with(&json!(["a.example"]))).await.expect(201);
    let refused = admin.post("/certificates", &with(&json!(["b.example", "A.example"]))).await.expect(409);
    assert_eq!(refused.json()["fields"], json!({ "name": "a.example" }));
    for (snis, field, reason) in [
        (json!(["ok.example", "10.0.0.1"]), "/snis/1", "must not be an IP"),
        (json!(["*.*.example"]), "/snis/0", "only one wildcard"),
        (json!("a.example"), "/snis", "expected an array"),
        (json!([1]), "/snis/0", "expected a string"),
    ] {
        let refused = admin.post("/certificates", &with(&snis)).await.expect(400).json();
        let told = refused["fields"].pointer(field).and_then(Value::as_str).unwrap_or_default();
        assert!(told.contains(reason), "{refused}");
    }
    assert_eq!(names(admin).await, ["a.example"]);
    assert_eq!(admin.get("/certificates").await.json()["data"].as_array().map(Vec::len), Some(1));
}

/// A certificate gives up a name while the name moves to another certificate: it is deleted or moved.
async fn a_name_that_moves_meanwhile_is_not_deleted(admin: &Admin) {
    let other = id(&admin.post("/certificates", &pair(&["b.example"])).await.expect(201).json());
    let (sni, to_other) = ("/snis/x.example", json!({ "certificate": { "id": other } }));
    let (mut body, none) = (pair(&["a.example"]), json!({ "snis": [] }));
    body["snis"] = json!(["x.example"]);
    for _ in 0..10 {
        let at =
            format!("/certificates/{}", id(&admin.post("/certificates", &body).await.expect(201).json()));
        let (without, moved) = tokio::join!(admin.patch(&at, &none), admin.patch(sni, &to_other));
        without.expect(200);
        let found = admin.get(sni).await;
        match moved.status {
            200 => assert_eq!(found.expect(200).json()["certificate"], json!({ "id": other })),
            status => assert_eq!((status, found.status), (404, 404), "{}", moved.text()),
        }
        admin.delete(sni).await.expect(204);
    }
}

async fn a_second_pair_has_a_key_of_another_type(admin: &Admin) {
    let (mut body, second) = (pair(&["a.example"]), pair(&["a.example"]));
    (body["cert_alt"], body["key_alt"]) = (second["cert"].clone(), second["key"].clone());
    let refused = admin.post("/certificates", &body).await.expect(400).json();
    let told = refused["fields"]["@entity"][0].as_str().unwrap();
    assert!(told.contains("different types"), "{refused}");
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let second = rcgen::CertificateParams::default().self_signed(&ed25519).unwrap();
    (body["cert_alt"], body["key_alt"]) = (json!(second.pem()), json!(ed25519.serialize_pem()));
    let made = admin.post("/certificates", &body).await.expect(201).json();
    assert_eq!((&made["cert_alt"], &made["key_alt"]), (&body["cert_alt"], &json!("***")));
    // The hidden key is not lost.
    let tagged = admin.patch(&format!("/certificates/{}", id(&made)), &json!({ "tags": ["a"] })).await;
    assert_eq!(tagged.expect(200).json()["cert_alt"], body["cert_alt"]);
}

async fn no_answer_and_no_line_of_the_log_has_a_key(admin: &Admin) {
    let (good, other) = (with(&json!(["a.example"])), pair(&["a.example"]));
    let made = admin.post("/certificates", &good).await.expect(201);
    let at = format!("/certificates/{}", id(&made.json()));
    let swapped = json!({ "cert": good["key"], "key": good["cert"] });
    let mixed = json!({ "cert": good["cert"], "key": other["key"] });
    let cut = json!({ "cert": good["cert"], "key": good["key"].as_str().unwrap().trim_end_matches("-----END PRIVATE KEY-----\n") });
    let answers: Vec<Response> = vec![
        made,
        admin.get(&at).await.expect(200),
        admin.get("/certificates").await.expect(200),
        admin.post("/certificates", &good).await.expect(409),
        admin.post("/certificates", &swapped).await.expect(400),
        admin.post("/certificates", &mixed).await.expect(400),
        admin.post("/certificates", &cut).await.expect(400),
        admin.put(&at, &mixed).await.expect(400),
        admin.patch(&at, &json!({ "key": other["key"] })).await.expect(400),
        admin.put(&at, &other).await.expect(200),
        admin.get("/clustering/config").await.expect(200),
    ];
    let log = admin.control.node.log();
    for text in answers.iter().map(Response::text).chain([log]) {
        for key in [&good["key"], &other["key"]] {
            let secret = key.as_str().unwrap().lines().nth(1).unwrap();
            assert!(!text.contains(secret), "a key is shown: {text}");
        }
        assert!(!text.contains("PRIVATE KEY-----\n"), "a key is shown: {text}");
    }
}
