//! Upstreams over HTTP: what a body becomes, and the policy that no replacement takes away.

use serde_json::{Value, json};

use super::certificates::{id, pair};
use super::{Admin, on_both_databases, revision};

on_both_databases!(
    body_is_completed_as_kong_does,
    changes_merge_and_replacements_do_not,
    names_are_unique_in_any_case,
    certificate_of_an_upstream_stays,
    policy_is_a_resource_of_its_own,
    replacement_keeps_the_policy,
    deletion_takes_everything_along,
    errors_name_the_nested_field,
);

async fn body_is_completed_as_kong_does(admin: &Admin) {
    let made = admin.post("/upstreams", &json!({ "name": "a", "tags": ["t"] })).await.expect(201).json();
    assert_eq!(made["algorithm"], "round-robin");
    assert_eq!(made["slots"], 10_000);
    assert_eq!(made["healthchecks"]["active"]["unhealthy"]["http_statuses"][0], 429);
    assert!(made["created_at"].is_i64() && made["updated_at"].is_i64());
    for quiet in ["policy", "sticky_sessions_cookie", "sticky_sessions_cookie_path"] {
        assert!(made.get(quiet).is_none(), "{quiet}");
    }
    assert_eq!(made.as_object().unwrap().len(), 21);
    assert_eq!(admin.get("/upstreams/a").await.expect(200).json(), made);
    assert_eq!(admin.get("/upstreams?tags=t").await.expect(200).json()["data"], json!([made]));

    let hashed = json!({ "hash_on": "header", "hash_on_header": "x-user" });
    let put = admin.put("/upstreams/a", &hashed).await.expect(200).json();
    assert_eq!((&put["algorithm"], &put["id"]), (&json!("consistent-hashing"), &made["id"]));
    let latency = admin.patch("/upstreams/a", &json!({ "algorithm": "latency" })).await.expect(200).json();
    assert_eq!((&latency["algorithm"], &latency["hash_on"]), (&json!("latency"), &json!("none")));
    let form = [("name", "b"), ("healthchecks.active.timeout", "0.5"), ("slots", "100")];
    let form = admin.client.post_form("/upstreams", &form).await.unwrap().expect(201).json();
    assert_eq!((&form["healthchecks"]["active"]["timeout"], &form["slots"]), (&json!(0.5), &json!(100)));
}

async fn changes_merge_and_replacements_do_not(admin: &Admin) {
    let timeout = json!({ "active": { "timeout": 3 } });
    admin.post("/upstreams", &json!({ "name": "a", "healthchecks": timeout })).await.expect(201);
    let change = json!({ "healthchecks": { "active": { "healthy": { "interval": 5 } }, "threshold": 40 } });
    let changed = admin.patch("/upstreams/a", &change).await.expect(200).json();
    let active = &changed["healthchecks"]["active"];
    assert_eq!((&active["timeout"], &active["healthy"]["interval"]), (&json!(3), &json!(5)));
    assert_eq!(changed["healthchecks"]["threshold"], 40);
    let replaced = admin.put("/upstreams/a", &change).await.expect(200).json();
    assert_eq!(replaced["healthchecks"]["active"]["timeout"], 1);
    let renamed = admin.patch("/upstreams/a", &json!({ "name": "b" })).await.expect(200).json();
    assert_eq!(renamed["id"], changed["id"]);
    admin.get("/upstreams/a").await.expect(404);
}

async fn names_are_unique_in_any_case(admin: &Admin) {
    let made = admin.post("/upstreams", &json!({ "name": "Orders.Internal" })).await.expect(201).json();
    assert_eq!(made["name"], "Orders.Internal");
    let taken = admin.post("/upstreams", &json!({ "name": "orders.internal" })).await.expect(409).json();
    assert_eq!((&taken["code"], &taken["fields"]), (&json!(5), &json!({ "name": "orders.internal" })));
    assert_eq!(admin.get("/upstreams/ORDERS.internal").await.expect(200).json(), made);
    let address = admin.post("/upstreams", &json!({ "name": "10.0.0.1" })).await.expect(400).json();
    assert_eq!(address["fields"]["name"], "Invalid name ('10.0.0.1'); no ip addresses allowed");
}

async fn certificate_of_an_upstream_stays(admin: &Admin) {
    let certificate = id(&admin.post("/certificates", &pair(&["a.example"])).await.expect(201).json());
    let nested = format!("/certificates/{certificate}/upstreams");
    let made = admin.post(&nested, &json!({ "name": "a" })).await.expect(201).json();
    assert_eq!(made["client_certificate"], json!({ "id": certificate }));
    assert_eq!(admin.get(&nested).await.expect(200).json()["data"], json!([made]));
    let shown = admin.get("/upstreams/a/client_certificate").await.expect(200).json();
    assert_eq!(shown["id"], certificate);
    let kept = admin.delete(&format!("/certificates/{certificate}")).await.expect(400).json();
    assert_eq!(kept["fields"], json!({ "@referenced_by": "upstreams" }));
    admin.delete("/upstreams/a").await.expect(204);
    admin.delete(&format!("/certificates/{certificate}")).await.expect(204);
}

async fn policy_is_a_resource_of_its_own(admin: &Admin) {
    admin.get("/upstreams/a/policy").await.expect(404);
    admin.put("/upstreams/a/policy", &json!({})).await.expect(404);
    let upstream = admin.post("/upstreams", &json!({ "name": "a" })).await.expect(201).json();
    let default = admin.get("/upstreams/a/policy").await.expect(200).json();
    assert_eq!((&default["outlier"], &default["retry"]["budget_min"]), (&Value::Null, &json!(3)));

    let outlier = json!({ "outlier": { "consecutive": 3 }, "recover_after": 2 });
    let put = admin.put("/upstreams/a/policy", &outlier).await.expect(200);
    assert!(revision(&put) > 1);
    let put = put.json();
    assert_eq!((&put["outlier"]["consecutive"], &put["outlier"]["base"]), (&json!(3), &json!(30)));
    assert_eq!(admin.get("/upstreams/a").await.expect(200).json()["policy"], put);

    let changed = admin.patch("/upstreams/a/policy", &json!({ "outlier": { "base": 5 } })).await;
    let changed = changed.expect(200).json();
    assert_eq!((&changed["outlier"]["consecutive"], &changed["recover_after"]), (&json!(3), &json!(2)));
    let put = admin.put("/upstreams/a/policy", &json!({ "outlier": {} })).await.expect(200).json();
    assert_eq!((&put["outlier"]["consecutive"], &put["recover_after"]), (&json!(5), &json!(0)));

    let bad = admin.put("/upstreams/a/policy", &json!({ "recover_after": -1, "x": 1 })).await.expect(400);
    let fields = json!({ "recover_after": "value should be between 0 and 86400", "x": "unknown field" });
    assert_eq!(bad.json()["fields"], json!({ "policy": fields }));
    let reset = admin.delete("/upstreams/a/policy").await.expect(204);
    assert!(reset.body.is_empty());
    let now = admin.get("/upstreams/a").await.expect(200).json();
    assert!(now.get("policy").is_none());
    assert_eq!(now["id"], upstream["id"]);
}

async fn replacement_keeps_the_policy(admin: &Admin) {
    let body = json!({ "name": "a", "policy": { "panic_threshold": 20 } });
    admin.post("/upstreams", &body).await.expect(201);
    let put = admin.put("/upstreams/a", &json!({ "slots": 20 })).await.expect(200).json();
    assert_eq!((&put["slots"], &put["policy"]["panic_threshold"]), (&json!(20), &json!(20)));
    let both = admin.patch("/upstreams/a", &json!({ "healthchecks": { "threshold": 5 } })).await.expect(400);
    let told = "cannot be set together with healthchecks.threshold";
    assert_eq!(both.json()["fields"]["policy"]["panic_threshold"], told);
    let reset = admin.put("/upstreams/a", &json!({ "policy": null })).await.expect(200).json();
    assert!(reset.get("policy").is_none());
}

async fn deletion_takes_everything_along(admin: &Admin) {
    let checks = json!({ "active": { "healthy": { "interval": 1 } } });
    admin.post("/upstreams", &json!({ "name": "a", "healthchecks": checks })).await.expect(201);
    admin.post("/upstreams/a/targets", &json!({ "target": "b:1" })).await.expect(201);
    admin.put("/upstreams/a/targets/b:1/state", &json!({ "state": "drain" })).await.expect(200);
    admin.put("/upstreams/a/targets/b:1/unhealthy", &json!({})).await.expect(204);
    let gone = admin.delete("/upstreams/a").await.expect(204);
    admin.published(revision(&gone)).await;
    admin.post("/upstreams", &json!({ "name": "a" })).await.expect(201);
    let targets = admin.get("/upstreams/a/targets").await.expect(200).json();
    assert_eq!(targets, json!({ "data": [], "next": null }));
}

async fn errors_name_the_nested_field(admin: &Admin) {
    let body = json!({
        "name": "a",
        "hash_on": "header",
        "healthchecks": {
            "active": { "timeout": -1, "healthy": { "http_statuses": [200, 1] } },
            "passive": { "unhealthy": { "timeouts": 300 } },
        },
    });
    let told = admin.post("/upstreams", &body).await.expect(400).json();
    assert_eq!(told["code"], 2);
    let range = "value should be between 0 and 65535";
    let statuses = json!([null, "value should be between 100 and 999"]);
    let limit = "value should be between 0 and 255";
    assert_eq!(
        told["fields"]["healthchecks"],
        json!({
            "active": { "timeout": range, "healthy": { "http_statuses": statuses } },
            "passive": { "unhealthy": { "timeouts": limit } },
        })
    );
    let hashed = json!({ "name": "a", "hash_on": "header" });
    let told = admin.post("/upstreams", &hashed).await.expect(400).json();
    assert_eq!(
        told["fields"],
        json!({
            "@entity": ["failed conditional validation given value of field 'hash_on'"],
            "hash_on_header": "required field missing",
        })
    );
}
