//! Creating, reading, changing and deleting, flat and nested.

use serde_json::{Value, json};
use testkit::http::Request;

use super::{Admin, on_both_databases, revision};

on_both_databases!(
    a_service_from_end_to_end,
    a_route_from_end_to_end,
    put_makes_or_replaces,
    puts_that_make_and_replace_alternate,
    patch_changes_what_it_names,
    url_is_a_way_of_writing,
    nested_routes,
    the_service_of_a_route,
);

async fn a_service_from_end_to_end(admin: &Admin) {
    let created = admin.post("/services", &json!({ "name": "a", "host": "example.com" })).await.expect(201);
    assert_eq!(revision(&created), 1);
    let created = created.json();
    let id = created["id"].as_str().unwrap();
    let mut expected = json!({
        "id": id, "name": "a", "protocol": "http", "host": "example.com", "port": 80, "path": null, "retries": 5,
        "connect_timeout": 60000, "write_timeout": 60000, "read_timeout": 60000, "tags": null,
        "client_certificate": null, "tls_verify": null, "tls_verify_depth": null, "ca_certificates": null,
        "enabled": true,
    });
    expected["created_at"] = created["created_at"].clone();
    expected["updated_at"] = created["updated_at"].clone();
    assert!(created["created_at"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!(created, expected);

    assert_eq!(admin.get(&format!("/services/{id}")).await.expect(200).json(), created);
    assert_eq!(admin.get("/services/a").await.expect(200).json(), created);
    let head = admin.client.send(&Request::new("HEAD", "/services/a")).await.unwrap().expect(200);
    assert!(head.body.is_empty());

    assert_eq!(revision(&admin.delete("/services/a").await.expect(204)), 2);
    let again = admin.delete("/services/a").await.expect(204);
    assert_eq!(again.header("gibbon-revision"), None);
    let gone = admin.get("/services/a").await.expect(404);
    assert_eq!(gone.json(), json!({ "message": "Not found" }));
    admin.delete(&format!("/services/{id}")).await.expect(204);
    admin.patch("/services/a", &json!({})).await.expect(404);
}

async fn a_route_from_end_to_end(admin: &Admin) {
    let body = json!({
        "name": "r", "paths": ["/a", "~/b"], "methods": ["GET"], "hosts": ["*.example.com", "a:80"],
        "headers": { "x-a": ["1", "~*2"] }, "tags": ["t", "t"], "regex_priority": -3, "path_handling": "v1",
        "preserve_host": true, "strip_path": false, "https_redirect_status_code": 301,
    });
    let created = admin.post("/routes", &body).await.expect(201).json();
    for (name, value) in body.as_object().unwrap().iter().filter(|(name, _)| *name != "tags") {
        assert_eq!(&created[name], value, "{name}");
    }
    assert_eq!(created["tags"], json!(["t"]));
    assert_eq!(created["protocols"], json!(["http", "https"]));
    for name in ["service", "snis", "sources", "destinations"] {
        assert_eq!(created.get(name), Some(&Value::Null), "{name}");
    }
    assert_eq!(admin.get("/routes/r").await.expect(200).json(), created);
    let grpc = json!({ "protocols": ["grpc"], "paths": ["/a"] });
    assert_eq!(admin.post("/routes", &grpc).await.expect(201).json()["strip_path"], false);
    admin.delete("/routes/r").await.expect(204);
    admin.get("/routes/r").await.expect(404);
}

async fn put_makes_or_replaces(admin: &Admin) {
    let made = admin.put("/services/a", &json!({ "host": "one", "retries": 1 })).await.expect(200).json();
    assert_eq!((&made["name"], &made["retries"]), (&json!("a"), &json!(1)));
    let replaced = admin.put("/services/a", &json!({ "host": "two" })).await.expect(200).json();
    assert_eq!((&replaced["id"], &replaced["retries"]), (&made["id"], &json!(5)));
    assert_eq!(replaced["created_at"], made["created_at"]);

    let id = "6f1b2c3d-0000-4000-8000-0000000000aa";
    let target = format!("/services/{id}");
    let by_id = admin.put(&target, &json!({ "host": "one", "name": "b" })).await.expect(200).json();
    assert_eq!((&by_id["id"], &by_id["name"]), (&json!(id), &json!("b")));
    let unnamed = admin.put(&target, &json!({ "host": "one" })).await.expect(200).json();
    assert_eq!(unnamed["name"], Value::Null);
    admin.put(&target, &json!({ "host": "one", "name": "a" })).await.expect(409);
    // A client can send back the view that it was shown.
    let same = admin.put("/services/a", &replaced).await.expect(200).json();
    assert_eq!(same["id"], replaced["id"]);
    let taken = json!({ "host": "x", "id": id });
    let conflict = admin.post("/services", &taken).await.expect(400).json();
    assert_eq!((&conflict["code"], &conflict["fields"]), (&json!(3), &json!({ "id": id })));
    assert_eq!(conflict["message"], format!("primary key violation on key '{{id=\"{id}\"}}'"));
}

/// After a `PUT` that made an entity, the next is expected to make one too.
async fn puts_that_make_and_replace_alternate(admin: &Admin) {
    let body = |host: &str| json!({ "host": host });
    let first = admin.put("/services/a", &body("x")).await.expect(200).json();
    for round in 0..3 {
        let made = admin.put(&format!("/services/new-{round}"), &body("x")).await.expect(200);
        let host = format!("h{round}");
        let replaced = admin.put("/services/a", &body(&host)).await.expect(200);
        assert_eq!(revision(&replaced), revision(&made) + 1);
        let replaced = replaced.json();
        assert_eq!(
            (&replaced["id"], &replaced["created_at"], &replaced["host"]),
            (&first["id"], &first["created_at"], &json!(host))
        );

        admin.put(&format!("/services/newer-{round}"), &body("x")).await.expect(200);
        let refused = admin.put("/services/a", &json!({ "host": "x", "port": 65536 })).await.expect(400);
        assert_eq!(refused.json()["fields"]["port"], "value should be between 0 and 65535");
        assert_eq!(admin.get("/services/a").await.expect(200).json(), replaced);
    }
    // With an id, a body says which one it is about.
    admin.put("/services/last", &body("x")).await.expect(200);
    let mut renaming = body("y");
    renaming["id"] = first["id"].clone();
    let renamed = admin.put("/services/renamed", &renaming).await.expect(200).json();
    assert_eq!((&renamed["id"], &renamed["name"]), (&first["id"], &json!("renamed")));
    admin.get("/services/a").await.expect(404);
}

async fn patch_changes_what_it_names(admin: &Admin) {
    let body = json!({ "name": "a", "host": "one", "retries": 1, "path": "/x", "tags": ["t"] });
    let before = admin.post("/services", &body).await.expect(201).json();
    let after = admin.patch("/services/a", &json!({ "host": "two" })).await.expect(200).json();
    let mut expected = before.clone();
    expected["host"] = json!("two");
    expected["updated_at"] = after["updated_at"].clone();
    assert_eq!(after, expected);
    let reset = json!({ "retries": null, "path": null, "tags": null });
    let after = admin.patch("/services/a", &reset).await.expect(200).json();
    assert_eq!((&after["retries"], &after["path"], &after["tags"]), (&json!(5), &Value::Null, &Value::Null));
    let renamed = admin.patch("/services/a", &json!({ "name": "b" })).await.expect(200).json();
    assert_eq!(renamed["id"], before["id"]);
    admin.get("/services/a").await.expect(404);
    admin.get("/services/b").await.expect(200);
}

async fn url_is_a_way_of_writing(admin: &Admin) {
    let body = json!({ "name": "a", "url": "https://example.com/base" });
    let made = admin.post("/services", &body).await.expect(201).json();
    let parts = |row: &Value| ["protocol", "host", "port", "path"].map(|name| row[name].clone());
    assert_eq!(parts(&made), [json!("https"), json!("example.com"), json!(443), json!("/base")]);
    assert!(made.get("url").is_none());
    let changed = admin.patch("/services/a", &json!({ "url": "http://other:8080" })).await.expect(200).json();
    assert_eq!(parts(&changed), [json!("http"), json!("other"), json!(8080), Value::Null]);
    let plain = json!({ "host": "a", "protocol": "https" });
    assert_eq!(admin.post("/services", &plain).await.expect(201).json()["port"], 80);
}

async fn nested_routes(admin: &Admin) {
    for name in ["a", "b"] {
        admin.post("/services", &json!({ "name": name, "host": "x" })).await.expect(201);
    }
    let id = admin.get("/services/a").await.json()["id"].clone();
    let route = json!({ "name": "r", "paths": ["/"] });
    let made = admin.post("/services/a/routes", &route).await.expect(201).json();
    assert_eq!(made["service"], json!({ "id": id }));
    assert_eq!(admin.get("/services/a/routes").await.expect(200).json()["data"], json!([made]));
    assert_eq!(admin.get("/services/b/routes").await.expect(200).json()["data"], json!([]));
    assert_eq!(admin.get("/services/a/routes/r").await.expect(200).json(), made);
    admin.get("/services/b/routes/r").await.expect(404);
    admin.get("/services/absent/routes").await.expect(404);
    admin.post("/services/absent/routes", &route).await.expect(404);

    admin.patch("/services/b/routes/r", &json!({ "paths": ["/x"] })).await.expect(404);
    let changed = admin.patch("/services/a/routes/r", &json!({ "paths": ["/x"] })).await.expect(200).json();
    assert_eq!(changed["paths"], json!(["/x"]));
    let put = admin.put("/services/a/routes/s", &json!({ "paths": ["/s"] })).await.expect(200).json();
    assert_eq!((&put["name"], &put["service"]), (&json!("s"), &json!({ "id": id })));
    // A new name with the id of another entity renames that one.
    let renamed = json!({ "id": put["id"], "paths": ["/s"] });
    assert_eq!(admin.put("/services/a/routes/t", &renamed).await.expect(200).json()["id"], put["id"]);
    admin.get("/routes/s").await.expect(404);
    admin.put("/services/a/routes/s", &renamed).await.expect(200);
    let other = admin.delete("/services/b/routes/r").await.expect(404);
    assert_eq!(other.header("gibbon-revision"), None);
    admin.delete("/services/b/routes/absent").await.expect(404);
    admin.get("/routes/r").await.expect(200);
    // A replacement moves it, and back.
    let moved = admin.put("/services/b/routes/r", &route).await.expect(200).json();
    assert_ne!((&moved["service"], &moved["id"]), (&json!({ "id": id }), &json!(null)));
    assert_eq!(admin.put("/services/a/routes/r", &route).await.expect(200).json()["id"], moved["id"]);
    admin.delete("/services/a").await.expect(400);
    admin.delete("/services/a/routes/r").await.expect(204);
    admin.delete("/services/a/routes/s").await.expect(204);
    admin.delete("/services/a").await.expect(204);
}

async fn the_service_of_a_route(admin: &Admin) {
    admin.post("/routes", &json!({ "name": "r", "paths": ["/"] })).await.expect(201);
    admin.get("/routes/r/service").await.expect(404);
    admin.patch("/routes/r/service", &json!({ "host": "x" })).await.expect(404);
    let made = admin.put("/routes/r/service", &json!({ "name": "a", "host": "one" })).await.expect(200);
    assert_eq!(revision(&made), 2, "the service and the link to it are one write");
    let made = made.json();
    assert_eq!(admin.get("/routes/r").await.json()["service"], json!({ "id": made["id"] }));
    assert_eq!(admin.get("/routes/r/service").await.expect(200).json(), made);
    let changed = admin.patch("/routes/r/service", &json!({ "host": "two" })).await.expect(200).json();
    assert_eq!((&changed["id"], &changed["host"]), (&made["id"], &json!("two")));
    let put = admin.put("/routes/r/service", &json!({ "host": "three" })).await.expect(200).json();
    assert_eq!((&put["id"], &put["name"]), (&made["id"], &Value::Null));
    let refused = admin.delete("/routes/r/service").await.expect(405);
    assert_eq!(refused.json(), json!({ "message": "Method not allowed" }));

    admin.post("/services", &json!({ "name": "b", "host": "x" })).await.expect(201);
    let moved = admin.patch("/routes/r", &json!({ "service": { "name": "b" } })).await.expect(200).json();
    assert_eq!(admin.get("/services/b").await.json()["id"], moved["service"]["id"]);
    let unlinked = admin.patch("/routes/r", &json!({ "service": null })).await.expect(200).json();
    assert_eq!(unlinked["service"], Value::Null);
}
