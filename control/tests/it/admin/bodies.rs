//! Forms mean the same as JSON bodies.

use serde_json::json;
use testkit::http::Request;

use super::{Admin, on_both_databases};

on_both_databases!(forms, numbers_of_forms, multipart_forms);

async fn forms(admin: &Admin) {
    let post = async |target: &str, fields: &[(&str, &str)]| {
        admin.client.post_form(target, fields).await.unwrap().expect(201).json()
    };
    let fields =
        [("name", "a"), ("host", "x"), ("port", "8080"), ("enabled", "false"), ("path", ""), ("tags", "t")];
    let service = post("/services", &fields).await;
    assert_eq!((&service["port"], &service["enabled"]), (&json!(8080), &json!(false)));
    assert_eq!((&service["path"], &service["tags"]), (&json!(null), &json!(["t"])));

    let id = service["id"].as_str().unwrap();
    let fields = [
        ("paths[]", "/a"),
        ("paths[]", "/b"),
        ("hosts[2]", "two"),
        ("hosts[1]", "one"),
        ("methods", "GET"),
        ("headers.x-a", "1"),
        ("service.id", id),
        ("strip_path", "false"),
    ];
    let route = post("/routes", &fields).await;
    assert_eq!(route["paths"], json!(["/a", "/b"]));
    assert_eq!(route["hosts"], json!(["one", "two"]));
    assert_eq!(route["methods"], json!(["GET"]));
    assert_eq!(route["headers"], json!({ "x-a": ["1"] }));
    assert_eq!(route["service"], json!({ "id": id }));
    assert_eq!(route["strip_path"], false);

    let patch = Request::new("PATCH", "/services/a").form(&[("retries", "7"), ("enabled", "true")]);
    let changed = admin.client.send(&patch).await.unwrap().expect(200).json();
    assert_eq!((&changed["retries"], &changed["enabled"]), (&json!(7), &json!(true)));
    for bad in ["eighty", "80.5", "inf", "0x"] {
        let bad = admin.client.post_form("/services", &[("host", "x"), ("port", bad)]).await.unwrap();
        assert_eq!(bad.expect(400).json()["fields"], json!({ "port": "expected an integer" }));
    }
}

/// Kong reads them by Lua's `tonumber`.
async fn numbers_of_forms(admin: &Admin) {
    for (n, port) in ["80", "80.0", "8e1", "0x50", " 80 ", "\t+80\n"].into_iter().enumerate() {
        let name = format!("0x{n}");
        let fields = [("name", &name[..]), ("host", "x"), ("port", port)];
        let service = admin.client.post_form("/services", &fields).await.unwrap().expect(201).json();
        assert_eq!(service["port"], 80, "{port:?}");
        // A field that is a text stays as it was sent.
        assert_eq!(service["name"], name);
    }
    let fields = [("name", "u"), ("healthchecks.active.timeout", "5e-1")];
    let upstream = admin.client.post_form("/upstreams", &fields).await.unwrap().expect(201).json();
    assert_eq!(upstream["healthchecks"]["active"]["timeout"], 0.5);
}

async fn multipart_forms(admin: &Admin) {
    let part = |name: &str, value: &str| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = part("name", "a")
        + &part("host", "x")
        + &part("tags[]", "one")
        + &part("tags[]", "two")
        + "--xyz--\r\n";
    let request = Request::new("POST", "/services")
        .header("Content-Type", "multipart/form-data; boundary=xyz")
        .body(body);
    let service = admin.client.send(&request).await.unwrap().expect(201).json();
    assert_eq!((&service["name"], &service["tags"]), (&json!("a"), &json!(["one", "two"])));
}
