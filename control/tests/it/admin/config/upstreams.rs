//! Upstreams and targets in a document, beside what operators have set.

use serde_json::{Value, json};

use crate::admin::{Admin, on_both_databases, revision};

on_both_databases!(documents_leave_what_operators_have_set, rollback_leaves_what_operators_have_set);

fn document(weight: u16) -> Value {
    json!({
        "_format_version": "3.0",
        "upstreams": [{
            "name": "a",
            "healthchecks": { "active": { "healthy": { "interval": 1 } } },
            "targets": [{ "target": "b", "weight": weight }, { "target": "c" }],
        }],
    })
}

async fn apply(admin: &Admin, document: &Value) -> u64 {
    revision(&admin.post("/config", document).await.expect(201))
}

async fn shown(admin: &Admin, path: &str) -> Value {
    admin.get(&format!("/upstreams/a/{path}")).await.expect(200).json()
}

/// An operator drains a target, and sets a policy.
async fn drain(admin: &Admin) -> (Value, Value) {
    let drain = json!({ "state": "drain" });
    let state = admin.put("/upstreams/a/targets/b/state", &drain).await.expect(200).json();
    let policy = admin.put("/upstreams/a/policy", &json!({ "recover_after": 1 })).await.expect(200).json();
    (state, policy)
}

async fn documents_leave_what_operators_have_set(admin: &Admin) {
    apply(admin, &document(1)).await;
    let (state, policy) = drain(admin).await;
    let id = shown(admin, "targets/b").await["id"].clone();
    apply(admin, &document(2)).await;
    let target = shown(admin, "targets/b").await;
    assert_eq!((&target["weight"], &target["id"]), (&json!(2), &id));
    assert_eq!(shown(admin, "targets/b/state").await, state);
    assert_eq!(shown(admin, "policy").await, policy);
    let before = admin.head().await;
    let dump = admin.get("/config").await.expect(200).json();
    assert!(dump.get("target_states").is_none() && dump["targets"].as_array().unwrap().len() == 2, "{dump}");
    admin.post("/config", &dump).await.expect(200);
    assert_eq!(admin.head().await, before);
    // A target takes what was set for it along.
    let mut without = document(2);
    without["upstreams"][0]["targets"] = json!([{ "target": "c" }]);
    let gone = apply(admin, &without).await;
    apply(admin, &document(2)).await;
    assert_eq!(shown(admin, "targets/b/state").await["state"], "ready");
    admin.published(gone + 1).await;
}

async fn rollback_leaves_what_operators_have_set(admin: &Admin) {
    let first = apply(admin, &document(1)).await;
    apply(admin, &document(2)).await;
    let drain = json!({ "state": "drain" });
    let state = admin.put("/upstreams/a/targets/b/state", &drain).await.expect(200).json();
    admin.post(&format!("/config/rollback?to={first}"), &json!({})).await.expect(201);
    assert_eq!(shown(admin, "targets/b").await["weight"], 1);
    assert_eq!(shown(admin, "targets/b/state").await, state);
    // What was drained then is not drained again.
    let drained = admin.head().await;
    admin.delete("/upstreams/a/targets/b/state").await.expect(204);
    admin.post(&format!("/config/rollback?to={drained}"), &json!({})).await.expect(200);
    assert_eq!(shown(admin, "targets/b/state").await["state"], "ready");
}
