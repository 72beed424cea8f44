//! The configuration as one document: `POST /config`, `GET /config`, and the commands that use them.

mod commands;
mod dump_file;
mod hostile;
mod many;
mod swapped;
mod upstreams;

use serde_json::{Value, json};
use testkit::certs;
use testkit::http::{Request, Response};
use testkit::plane::Database;

use super::certificates::pair;
use super::{Admin, on_both_databases, revision};

on_both_databases!(
    a_document_is_applied_at_one_revision,
    a_dump_changes_nothing,
    a_dry_run_changes_nothing,
    all_errors_are_told_at_once,
    tags_bound_a_document,
    names_are_exchanged,
    forms_and_yaml_are_read,
    what_others_need_is_not_deleted,
    an_earlier_configuration_is_made_again,
);

impl Admin {
    async fn apply(&self, query: &str, document: &Value) -> Response {
        self.post(&format!("/config{query}"), document).await
    }

    async fn head(&self) -> u64 {
        self.get("/config").await.expect(200).header("gibbon-revision").unwrap().parse().unwrap()
    }

    async fn count(&self, collection: &str) -> usize {
        let listed = self.get(&format!("/{collection}?size=1000")).await.expect(200).json();
        listed["data"].as_array().unwrap().len()
    }
}

/// A service with two routes, one of them without a name, and a certificate with its names and an authority.
fn document() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let pair = certs::server(folder.path(), "a", &["a.example"]);
    let authority = certs::Authority::new(folder.path(), "authority");
    let text = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    json!({
        "_format_version": "3.0",
        "services": [{
            "name": "orders", "url": "https://orders.internal:8443/v1", "tags": ["a", "b"],
            "routes": [{ "name": "list", "paths": ["/list"] }, { "hosts": ["a.example"], "protocols": ["https"] }],
        }],
        "routes": [{ "name": "bare", "paths": ["~/bare/\\d+$"], "headers": { "x-v": ["1"] } }],
        "certificates": [{ "cert": text(&pair.cert), "key": text(&pair.key), "snis": ["a.example", "*.a.example"] }],
        "ca_certificates": [{ "cert": text(&authority.cert), "tags": ["root"] }],
    })
}

async fn a_document_is_applied_at_one_revision(admin: &Admin) {
    let document = document();
    let answer = admin.apply("", &document).await.expect(201);
    assert_eq!(revision(&answer), 1);
    let body = answer.json();
    assert_eq!(body["created"], 8);
    assert_eq!(body["counts"]["routes"], json!({ "created": 3, "updated": 0, "deleted": 0 }));
    admin.published(1).await;
    let service = admin.get("/services/orders").await.expect(200).json();
    assert_eq!((&service["port"], &service["path"]), (&json!(8443), &json!("/v1")));
    let route = admin.get("/routes/list").await.expect(200).json();
    assert_eq!(route["service"]["id"], service["id"]);
    let certificate = admin.get("/certificates/a.example").await.expect(200).json();
    assert_eq!(certificate["snis"], json!(["*.a.example", "a.example"]));

    let again = admin.apply("", &document).await.expect(200);
    assert_eq!((revision(&again), &again.json()["unchanged"]), (1, &json!(8)));
    assert_eq!(
        admin.apply("?check_hash=1", &document).await.expect(304).header("gibbon-revision"),
        Some("1")
    );

    let changed = json!({
        "_format_version": "3.0",
        "services": [{ "name": "orders", "host": "other" }, { "name": "new", "host": "new" }],
    });
    let body = admin.apply("", &changed).await.expect(201).json();
    assert_eq!((&body["created"], &body["updated"], &body["deleted"]), (&json!(1), &json!(1), &json!(7)));
    assert_eq!(admin.get("/services/orders").await.expect(200).json()["id"], service["id"]);
    assert_eq!(admin.count("routes").await + admin.count("snis").await, 0);
    assert_eq!(admin.published(2).await, 2);
    let audit = admin.get("/audit").await.expect(200).json();
    assert_eq!(audit["data"][0]["count"], 9);
}

async fn a_dump_changes_nothing(admin: &Admin) {
    admin.apply("", &document()).await.expect(201);
    for (query, content_type) in [
        ("", "application/json"),
        ("?ids=true", "application/json"),
        ("?format=yaml", "application/yaml"),
        ("?format=yaml&ids=true", "application/yaml"),
    ] {
        let dump = admin.get(&format!("/config{query}")).await.expect(200);
        assert!(dump.header("content-type").unwrap().starts_with(content_type));
        assert!(!dump.text().contains("PRIVATE KEY"));
        let request =
            Request::new("POST", "/config").header("content-type", content_type).body(dump.body.clone());
        let answer = admin.client.send(&request).await.unwrap().expect(200);
        assert_eq!(answer.json()["unchanged"], 8, "{query}");
    }
    let first = admin.get("/config?format=yaml").await.expect(200).text();
    assert_eq!(admin.get("/config?format=yaml").await.expect(200).text(), first, "it is stable");
    assert_eq!(admin.head().await, 1);
}

async fn a_dry_run_changes_nothing(admin: &Admin) {
    admin.post("/services", &json!({ "name": "a", "host": "a" })).await.expect(201);
    admin.post("/services", &json!({ "name": "gone", "host": "a" })).await.expect(201);
    let document = json!({
        "_format_version": "3.0",
        "services": [{ "name": "a", "host": "b", "routes": [{ "name": "r", "paths": ["/r"] }] }],
    });
    let answer = admin.apply("?dry_run=true", &document).await.expect(200);
    assert_eq!(answer.header("gibbon-revision"), None);
    let body = answer.json();
    let changes = body["changes"].as_array().unwrap();
    let text = |change: &Value| {
        ["operation", "entity_type", "entity_name"]
            .map(|key| change[key].as_str().unwrap().to_owned())
            .join(" ")
    };
    let texts: Vec<String> = changes.iter().map(text).collect();
    assert_eq!(texts, ["update service a", "create route r", "delete service gone"]);
    assert_eq!(changes[0]["fields"], json!(["host"]));
    assert_eq!(admin.head().await, 2);
    assert_eq!(admin.count("services").await, 2);
    assert_eq!(admin.count("routes").await, 0);
}

async fn all_errors_are_told_at_once(admin: &Admin) {
    let document = json!({
        "_format_version": "3.0",
        "nonsense": [],
        "services": [
            { "name": "good", "host": "a" },
            { "name": "bad", "host": "a:1", "tags": ["t"], "routes": [{ "name": "r", "paths": ["x"], "methods": ["get"] }] },
        ],
        "routes": [{ "name": "lost", "paths": ["/l"], "service": "nowhere" }],
        "certificates": [{ "cert": "x", "key": "secret" }],
    });
    let body = admin.apply("", &document).await.expect(400).json();
    assert_eq!((&body["code"], &body["name"]), (&json!(14), &json!("invalid declarative configuration")));
    let fields = &body["fields"];
    assert_eq!(fields["nonsense"], "unknown field");
    assert_eq!(fields["services"][0], Value::Null);
    assert_eq!(fields["services"][1]["host"], "must not have a port");
    assert!(fields["services"][1]["routes"][0]["methods"].is_array(), "{fields}");
    assert!(fields["routes"][0]["service"].as_str().unwrap().contains("invalid reference"));

    let flat = admin.apply("?flatten_errors=1", &document).await.expect(400).json();
    assert_eq!(flat["fields"], json!({ "nonsense": "unknown field" }));
    let errors = flat["flattened_errors"].as_array().unwrap();
    let kinds: Vec<_> = errors.iter().map(|error| error["entity_type"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 4, "{flat}");
    let service = errors.iter().find(|error| error["entity_name"] == "bad").unwrap();
    assert_eq!(
        service["errors"],
        json!([{ "type": "field", "field": "host", "message": "must not have a port" }])
    );
    assert!(!format!("{body}{flat}").contains("secret"));
    assert_eq!(admin.head().await, 0);

    let text = b"_format_version: \"3.0\"\nservices: [".to_vec();
    let request = Request::new("POST", "/config").header("content-type", "text/yaml").body(text);
    let body = admin.client.send(&request).await.unwrap().expect(400).json();
    assert_eq!(body["code"], 14);
    assert!(body["fields"]["error"].as_str().unwrap().contains("line"), "{body}");
}

async fn tags_bound_a_document(admin: &Admin) {
    for (name, tags) in
        [("mine", json!(["team"])), ("old", json!(["team", "x"])), ("theirs", json!(["other"]))]
    {
        admin.post("/services", &json!({ "name": name, "host": "a", "tags": tags })).await.expect(201);
    }
    let document = |service: &str| {
        json!({
            "_format_version": "3.0",
            "services": [{ "name": service, "host": "b" }],
            "routes": [{ "name": "r", "paths": ["/r"], "service": "theirs" }],
        })
    };
    let body = admin.apply("?select_tags=team", &document("mine")).await.expect(201).json();
    assert_eq!((&body["created"], &body["updated"], &body["deleted"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(admin.get("/routes/r").await.expect(200).json()["tags"], json!(["team"]));
    assert_eq!(admin.get("/services/theirs").await.expect(200).json()["host"], "a");
    let refused = admin.apply("?select_tags=team", &document("theirs")).await.expect(400).text();
    assert!(refused.contains("does not carry the selected tags"), "{refused}");
    let dump = admin.get("/config?select_tags=team").await.expect(200).json();
    assert_eq!(dump["services"], json!([{ "name": "mine", "host": "b" }]));
    assert_eq!(dump["_info"], json!({ "select_tags": ["team"] }));
    admin.apply("", &dump).await.expect(200);
}

async fn names_are_exchanged(admin: &Admin) {
    let document = |first: &str, second: &str| {
        json!({
            "_format_version": "3.0",
            "services": [
                { "id": "00000000-0000-4000-8000-000000000001", "name": first, "host": "one" },
                { "id": "00000000-0000-4000-8000-000000000002", "name": second, "host": "two" },
            ],
        })
    };
    admin.apply("", &document("a", "b")).await.expect(201);
    assert_eq!(admin.apply("", &document("b", "a")).await.expect(201).json()["updated"], 2);
    assert_eq!(admin.get("/services/a").await.expect(200).json()["host"], "two");
    // The name of an entity that ends at the same time.
    let other = json!({
        "_format_version": "3.0",
        "services": [{ "id": "00000000-0000-4000-8000-000000000003", "name": "a", "host": "three" }],
    });
    let body = admin.apply("", &other).await.expect(201).json();
    assert_eq!((&body["created"], &body["deleted"]), (&json!(1), &json!(2)));
}

async fn forms_and_yaml_are_read(admin: &Admin) {
    let yaml = "_format_version: \"2.1\"\nservices:\n- name: a\n  host: a\n  routes:\n  - name: r\n    paths: [/a/\\d+]\n";
    let answer = admin.client.post_form("/config", &[("config", yaml)]).await.unwrap().expect(201);
    assert_eq!(answer.json()["created"], 2);
    assert_eq!(admin.get("/routes/r").await.expect(200).json()["paths"], json!(["~/a/\\d+"]));
    let request = Request::new("POST", "/config").header("content-type", "application/yaml").body(yaml);
    admin.client.send(&request).await.unwrap().expect(200);
    admin.client.post_form("/config", &[("file", yaml)]).await.unwrap().expect(400);
    let request = Request::new("POST", "/config").header("content-type", "text/plain").body(yaml);
    admin.client.send(&request).await.unwrap().expect(415);
}

async fn what_others_need_is_not_deleted(admin: &Admin) {
    admin.post("/services", &json!({ "name": "s", "host": "a", "tags": ["team"] })).await.expect(201);
    admin
        .post("/routes", &json!({ "name": "r", "paths": ["/"], "service": { "name": "s" } }))
        .await
        .expect(201);
    let nothing = json!({ "_format_version": "3.0" });
    for dry_run in ["", "&dry_run=true"] {
        let options = format!("?select_tags=team{dry_run}");
        let refused = admin.apply(&options, &nothing).await.expect(400).text();
        assert!(
            refused.contains("an existing 'routes' entity references this 'services' entity"),
            "{refused}"
        );
    }
    assert_eq!(admin.count("services").await, 1);
    assert_eq!(admin.apply("", &nothing).await.expect(201).json()["deleted"], 2);
}

async fn an_earlier_configuration_is_made_again(admin: &Admin) {
    admin.apply("", &document()).await.expect(201);
    let first = admin.get("/config?ids=true").await.expect(200).text();
    admin.patch("/services/orders", &json!({ "host": "changed" })).await.expect(200);
    admin.delete("/routes/bare").await.expect(204);
    admin.post("/services", &json!({ "name": "later", "host": "a" })).await.expect(201);
    assert_eq!(admin.get("/config?ids=true&revision=1").await.expect(200).text(), first);

    let shown = admin.post("/config/rollback?to=1&dry_run=true", &json!({})).await.expect(200).json();
    let counts =
        |body: &Value| ["created", "updated", "deleted", "unchanged"].map(|key| body[key].as_u64().unwrap());
    assert_eq!(counts(&shown), [1, 1, 1, 6]);
    assert_eq!(admin.head().await, 4);
    let done = admin.post("/config/rollback?to=1", &json!({})).await.expect(201);
    assert_eq!((revision(&done), counts(&done.json())), (5, [1, 1, 1, 6]));
    assert_eq!(admin.get("/config?ids=true").await.expect(200).text(), first);
    admin.post("/config/rollback?to=1", &json!({})).await.expect(200);

    // The key of a certificate that was renewed is not kept, and the new one does not fit the old certificate.
    admin.put("/certificates/a.example", &pair(&["a.example"])).await.expect(200);
    let refused = admin.post("/config/rollback?to=1", &json!({})).await.expect(409).text();
    assert!(refused.contains("certificate does not match key"), "{refused}");
    // Nor is that of a deleted one.
    admin.delete("/certificates/a.example").await.expect(204);
    let refused = admin.post("/config/rollback?to=1", &json!({})).await.expect(409).text();
    assert!(refused.contains("the value of key is not kept"), "{refused}");
    // A secret that was replaced is that of now, and no change.
    admin.post("/consumers", &json!({ "username": "jane" })).await.expect(201);
    let secret = json!({ "username": "h", "secret": "first" });
    let then = revision(&admin.post("/consumers/jane/hmac-auth", &secret).await.expect(201));
    admin.patch("/consumers/jane/hmac-auth/h", &json!({ "secret": "second" })).await.expect(200);
    let back = admin.post(&format!("/config/rollback?to={then}"), &json!({})).await.expect(200);
    assert_eq!((&back.json()["updated"], revision(&back)), (&json!(0), then + 1));
    admin.post("/config/rollback?to=99", &json!({})).await.expect(404);
    admin.post("/config/rollback", &json!({})).await.expect(400);
    admin.get("/config?revision=x").await.expect(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_that_the_log_has_lost_are_not_found() {
    let admin = Admin::start(Database::Postgres).await;
    for name in ["a", "b", "c"] {
        admin.post("/services", &json!({ "name": name, "host": "a" })).await.expect(201);
    }
    admin.control.execute("DELETE FROM config_change WHERE revision <= 2");
    let names = |body: Value| body["services"].as_array().map(Vec::len);
    assert_eq!(names(admin.get("/config?format=json&revision=2").await.expect(200).json()), Some(2));
    for refused in [
        admin.get("/config?revision=1").await,
        admin.post("/config/rollback?to=1", &json!({})).await,
        admin.post("/config/rollback?to=1&dry_run=true", &json!({})).await,
    ] {
        let text = refused.expect(404).text();
        assert!(text.contains("revision 1") && text.contains("from 2 to 3"), "{text}");
    }
    assert_eq!(admin.post("/config/rollback?to=2", &json!({})).await.expect(201).json()["deleted"], 1);
}
