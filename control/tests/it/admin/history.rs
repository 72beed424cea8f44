//! The history of the configuration: who changed what, and when.

use serde_json::{Value, json};

use super::{Admin, on_both_databases, revision};

on_both_databases!(revisions_say_who_changed_what);

async fn revisions_say_who_changed_what(admin: &Admin) {
    let service = json!({ "name": "a", "host": "a.test" });
    let created = admin.post("/services", &service).await;
    let id = created.json()["id"].clone();
    admin.patch("/services/a", &json!({ "port": 81 })).await.expect(200);
    // It changes nothing, and so is no revision.
    admin.patch("/services/a", &json!({ "port": 81 })).await.expect(200);
    let deleted = admin.delete("/services/a").await.expect(204);

    let audit = admin.get("/audit?size=2").await.expect(200).json();
    let data = audit["data"].as_array().unwrap();
    assert_eq!(data[0]["revision"], revision(&deleted));
    for (entry, operation) in data.iter().zip(["delete", "update"]) {
        let change = json!([{ "entity": "services", "id": id, "operation": operation }]);
        assert_eq!((&entry["changes"], &entry["count"]), (&change, &json!(1)));
        assert!(entry["source"].as_str().unwrap().starts_with("127.0.0.1:"), "{entry}");
        assert!(entry["written_at"].as_i64().unwrap() > 1_700_000_000, "{entry}");
    }
    let last = admin.get(audit["next"].as_str().unwrap()).await.expect(200).json();
    assert_eq!(last["data"][0]["revision"], revision(&created));
    assert_eq!(last["data"][0]["changes"][0]["operation"], "create");
    assert_eq!((last["data"].as_array().map(Vec::len), &last["next"]), (Some(1), &Value::Null));
    admin.get("/audit?offset=AAAA").await.expect(400);
}
