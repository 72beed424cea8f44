//! Nested paths: the entities below the one that they name, and the named one below each of them.

use serde_json::{Value, json};

use super::certificates::{id, pair};
use super::{Admin, on_both_databases, revision};

on_both_databases!(
    services_of_a_certificate,
    the_certificate_of_a_service_is_made_with_it,
    violations_below_another_entity,
);

fn https(name: &str) -> Value {
    json!({ "name": name, "host": "x", "protocol": "https" })
}

async fn services_of_a_certificate(admin: &Admin) {
    let mut body = pair(&["a.example"]);
    body["snis"] = json!(["a.example"]);
    let certificate = id(&admin.post("/certificates", &body).await.expect(201).json());
    // A path may give the certificate by a server name, too.
    let made = admin.post("/certificates/a.example/services", &https("a")).await.expect(201).json();
    assert_eq!(made["client_certificate"], json!({ "id": certificate }));
    let nested = format!("/certificates/{certificate}/services");
    assert_eq!(admin.get(&nested).await.expect(200).json()["data"], json!([made]));
    assert_eq!(admin.get(&format!("{nested}/a")).await.expect(200).json(), made);

    // What the path says counts, not what the body says.
    let mut elsewhere = https("a");
    elsewhere["client_certificate"] = json!({ "id": "00000000-0000-4000-8000-000000000001" });
    let put = admin.put(&format!("{nested}/a"), &elsewhere).await.expect(200).json();
    assert_eq!(put["client_certificate"], json!({ "id": certificate }));
    admin.post("/services", &https("other")).await.expect(201);
    for answer in [
        admin.get(&format!("{nested}/other")).await,
        admin.delete(&format!("{nested}/missing")).await,
        admin.patch(&format!("{nested}/other"), &json!({})).await,
        admin.delete(&format!("{nested}/other")).await,
    ] {
        assert_eq!(answer.expect(404).json(), json!({ "message": "Not found" }));
    }
    admin.delete(&format!("{nested}/a")).await.expect(204);
    admin.get("/services/a").await.expect(404);
    // A replacement moves one that names another entity, or none.
    let moved = admin.put(&format!("{nested}/other"), &https("other")).await.expect(200).json();
    assert_eq!(moved["client_certificate"], json!({ "id": certificate }));
    admin.get(&format!("{nested}/other")).await.expect(200);
}

async fn the_certificate_of_a_service_is_made_with_it(admin: &Admin) {
    admin.post("/services", &https("a")).await.expect(201);
    let at = "/services/a/client_certificate";
    admin.get(at).await.expect(404);
    admin.patch(at, &json!({ "tags": ["t"] })).await.expect(404);
    let mut body = pair(&["a.example"]);
    body["snis"] = json!(["b.example", "a.example"]);
    let made = admin.put(at, &body).await.expect(200);
    assert_eq!(revision(&made), 2, "the certificate, its names and the link to it are one write");
    let made = made.json();
    assert_eq!(made["snis"], json!(["a.example", "b.example"]));
    let service = admin.get("/services/a").await.json();
    assert_eq!(service["client_certificate"], json!({ "id": made["id"] }));
    assert_eq!(admin.get(at).await.expect(200).json(), made);
    let changed = admin.patch(at, &json!({ "snis": ["b.example"] })).await.expect(200).json();
    assert_eq!((&changed["id"], &changed["snis"]), (&made["id"], &json!(["b.example"])));
    admin.delete(at).await.expect(405);

    // A service that may have no certificate is not linked to one, and the certificate is not made.
    admin.post("/services", &json!({ "name": "plain", "host": "x" })).await.expect(201);
    let refused = admin.put("/services/plain/client_certificate", &pair(&["c.example"])).await;
    assert_eq!(refused.expect(400).json()["fields"]["client_certificate"], "value must be null");
    assert_eq!(admin.get("/certificates").await.json()["data"].as_array().map(Vec::len), Some(1));
}

/// The violations below another entity are those of the flat collection, and all of them.
async fn violations_below_another_entity(admin: &Admin) {
    let certificate = id(&admin.post("/certificates", &pair(&["a.example"])).await.expect(201).json());
    admin.post("/services", &https("a")).await.expect(201);
    let sources =
        json!({ "protocols": ["tcp"], "sources": [{ "port": 1 }, { "ip": "x", "port": 70_000 }, {}] });
    for (method, target, body, fields) in [
        (
            "POST",
            "/services/a/routes".to_owned(),
            json!({ "paths": ["x"], "tags": ["a,b", "ok", 1], "nonsense": 1 }),
            json!(["nonsense", "paths", "tags"]),
        ),
        ("POST", "/services/a/routes".to_owned(), sources, json!(["sources"])),
        ("PUT", "/services/a/routes/r".to_owned(), json!({ "name": 1, "hosts": [1] }), json!(["hosts"])),
        ("POST", format!("/certificates/{certificate}/snis"), json!({ "name": "1.2.3.4" }), json!(["name"])),
        (
            "POST",
            format!("/certificates/{certificate}/services"),
            json!({ "url": "http://x/y z" }),
            json!(["@entity", "client_certificate", "path"]),
        ),
        ("PUT", "/services/a/client_certificate".to_owned(), json!({ "cert": "x" }), json!(["cert", "key"])),
    ] {
        let request = testkit::http::Request::new(method, &target).json(&body);
        let answer = admin.client.send(&request).await.unwrap().expect(400).json();
        assert_eq!(answer["name"], "schema violation", "{answer}");
        let mut found: Vec<&String> = answer["fields"].as_object().unwrap().keys().collect();
        found.sort();
        assert_eq!(json!(found), fields, "{method} {target}: {answer}");
    }
    let answer = admin.post("/services/a/routes", &json!({ "protocols": ["tcp"], "sources": [{}, 1] })).await;
    let elements = answer.expect(400).json()["fields"]["sources"].clone();
    assert_eq!(elements[1], "expected a record", "{elements}");
}
