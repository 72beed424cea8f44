//! Consumers and their groups.

use serde_json::json;

use super::certificates::id;
use super::{Admin, on_both_databases};

on_both_databases!(
    consumer_needs_a_name_or_an_id_of_another_system,
    any_text_is_a_name,
    consumer_is_found_by_its_id_in_another_system,
    deletion_takes_credentials_along,
    groups_are_named_below_their_consumer,
    credentials_have_tags_and_pages,
);

async fn consumer_needs_a_name_or_an_id_of_another_system(admin: &Admin) {
    let rule = "at least one of these fields must be non-empty: 'custom_id', 'username'";
    let refused = admin.post("/consumers", &json!({})).await.expect(400).json();
    assert_eq!((&refused["code"], &refused["fields"]), (&json!(2), &json!({ "@entity": [rule] })));
    let made =
        admin.post("/consumers", &json!({ "username": "alice", "tags": ["t"] })).await.expect(201).json();
    assert_eq!(made["custom_id"], json!(null));
    assert_eq!(made.as_object().unwrap().len(), 6);
    let neither = json!({ "username": null });
    let refused = admin.patch("/consumers/alice", &neither).await.expect(400).json();
    assert_eq!(refused["fields"], json!({ "@entity": [format!("when updating, {rule}")] }));
    let refused = admin.put("/consumers/alice", &json!({ "username": "" })).await;
    assert_eq!(refused.expect(200).json()["username"], "alice", "the path names it");
    let empty = admin.post("/consumers", &json!({ "username": "" })).await.expect(400).json();
    assert_eq!(empty["fields"], json!({ "username": "length must be at least 1" }));
    let taken = admin.post("/consumers", &json!({ "username": "alice" })).await.expect(409).json();
    assert_eq!(taken["message"], "UNIQUE violation detected on '{username=\"alice\"}'");
    assert_eq!((&taken["code"], &taken["fields"]), (&json!(5), &json!({ "username": "alice" })));
    let renamed = admin.patch("/consumers/alice", &json!({ "username": null, "custom_id": "42" })).await;
    assert_eq!(renamed.expect(200).json()["username"], json!(null));
    admin.delete("/consumers/alice").await.expect(204);
    assert_eq!(admin.get(&format!("/consumers/{}", id(&made))).await.expect(200).json()["custom_id"], "42");
}

async fn any_text_is_a_name(admin: &Admin) {
    for (name, path) in [
        ("a b", "a%20b"),
        ("a@b.example", "a@b.example"),
        ("a/b", "a%2Fb"),
        ("gr\u{fc}\u{df}e", "gr%C3%BC%C3%9Fe"),
        ("100%", "100%25"),
    ] {
        let made = admin.post("/consumers", &json!({ "username": name })).await.expect(201).json();
        assert_eq!(admin.get(&format!("/consumers/{path}")).await.expect(200).json(), made, "{name}");
        let key = admin.post(&format!("/consumers/{path}/key-auth"), &json!({})).await.expect(201).json();
        assert_eq!(key["consumer"], json!({ "id": made["id"] }));
        admin.delete(&format!("/consumers/{path}")).await.expect(204);
    }
    for bad in [json!("a\nb"), json!("a\u{0}"), json!("x".repeat(1025)), json!(1), json!(["a"])] {
        admin.post("/consumers", &json!({ "username": bad })).await.expect(400);
    }
    admin.get("/consumers/a%00b").await.expect(404);
}

async fn consumer_is_found_by_its_id_in_another_system(admin: &Admin) {
    let made = admin.post("/consumers", &json!({ "custom_id": "a b", "username": "alice" })).await;
    let made = made.expect(201).json();
    let found = admin.get("/consumers?custom_id=a+b").await.expect(200).json();
    assert_eq!(found, json!({ "data": [made], "next": null }));
    let none = admin.get("/consumers?custom_id=other").await.expect(200).json();
    assert_eq!(none, json!({ "data": [], "next": null }));
    for query in ["custom_id=", "custom_id=a&custom_id=b", "custom_id=a+b&custom_id="] {
        let refused = admin.get(&format!("/consumers?{query}")).await.expect(400).json();
        assert_eq!(refused, json!({ "message": "custom_id must be an unempty string" }), "{query}");
    }
    admin.get("/consumers?custom_id=%00").await.expect(200);
    // Other collections do not have the parameter.
    admin.get("/services?custom_id=&custom_id=").await.expect(200);
}

async fn deletion_takes_credentials_along(admin: &Admin) {
    let made = admin.post("/consumers", &json!({ "username": "alice" })).await.expect(201).json();
    for (nested, body) in [
        ("key-auth", json!({})),
        ("basic-auth", json!({ "username": "a", "password": "b" })),
        ("jwt", json!({})),
        ("hmac-auth", json!({ "username": "a" })),
        ("acls", json!({ "group": "g" })),
    ] {
        let made_below = admin.post(&format!("/consumers/alice/{nested}"), &body).await.expect(201).json();
        assert_eq!(made_below["consumer"], json!({ "id": made["id"] }), "{nested}");
        assert!(made_below["created_at"].is_i64() && made_below.get("updated_at").is_none(), "{made_below}");
    }
    admin.delete("/consumers/alice").await.expect(204);
    for collection in ["key-auths", "basic-auths", "jwts", "hmac-auths", "acls"] {
        let left = admin.get(&format!("/{collection}")).await.expect(200).json();
        assert_eq!(left["data"], json!([]), "{collection}");
    }
}

async fn groups_are_named_below_their_consumer(admin: &Admin) {
    for name in ["alice", "bob"] {
        admin.post("/consumers", &json!({ "username": name })).await.expect(201);
    }
    let put = admin.put("/consumers/alice/acls/staff", &json!({})).await.expect(200).json();
    assert_eq!(put["group"], "staff");
    let again = admin.put("/consumers/alice/acls/staff", &json!({ "tags": ["t"] })).await.expect(200).json();
    assert_eq!((&again["id"], &again["tags"]), (&put["id"], &json!(["t"])));
    assert_eq!(admin.get("/consumers/alice/acls/staff").await.expect(200).json(), again);
    let alice = put["consumer"]["id"].as_str().unwrap();
    let taken = admin.post("/consumers/alice/acls", &json!({ "group": "staff" })).await.expect(409).json();
    let expected = format!("UNIQUE violation detected on '{{consumer={{id=\"{alice}\"}},group=\"staff\"}}'");
    assert_eq!((&taken["code"], &taken["message"]), (&json!(5), &json!(expected)));
    assert_eq!(taken["fields"], json!({ "consumer": { "id": alice }, "group": "staff" }));
    admin.post("/consumers/bob/acls", &json!({ "group": "staff" })).await.expect(201);
    let missing = admin.post("/consumers/bob/acls", &json!({})).await.expect(400).json();
    assert_eq!(missing["fields"], json!({ "group": "required field missing" }));

    let by_group = admin.get("/acls/staff").await.expect(400).json();
    assert_eq!((&by_group["code"], &by_group["name"]), (&json!(1), &json!("invalid primary key")));
    let renamed = admin.patch("/consumers/alice/acls/staff", &json!({ "group": "admins" })).await;
    assert_eq!(renamed.expect(200).json()["id"], put["id"]);
    admin.get("/consumers/alice/acls/staff").await.expect(404);
    admin.delete("/consumers/alice/acls/staff").await.expect(404);
    admin.delete("/consumers/alice/acls/admins").await.expect(204);
    assert_eq!(admin.get("/acls").await.expect(200).json()["data"].as_array().map(Vec::len), Some(1));
}

async fn credentials_have_tags_and_pages(admin: &Admin) {
    admin.post("/consumers", &json!({ "username": "alice" })).await.expect(201);
    for number in 0..5 {
        let body = json!({ "key": format!("key-{number}"), "tags": [format!("t{}", number % 2)] });
        admin.post("/consumers/alice/key-auth", &body).await.expect(201);
    }
    let page = admin.get("/consumers/alice/key-auth?size=3&tags=t0").await.expect(200).json();
    assert_eq!((page["data"].as_array().map(Vec::len), &page["next"]), (Some(3), &json!(null)));
    let page = admin.get("/key-auths?size=4").await.expect(200).json();
    let next = page["next"].as_str().unwrap();
    assert!(next.starts_with("/key-auths?size=4&offset="), "{next}");
    assert_eq!(admin.get(next).await.expect(200).json()["data"].as_array().map(Vec::len), Some(1));
    let tagged = admin.get("/tags/t1").await.expect(200).json();
    assert_eq!(tagged["data"][0]["entity_name"], "keyauth_credentials");
    admin.get("/consumers/nobody/key-auth").await.expect(404);
    admin.post("/consumers/nobody/key-auth", &json!({})).await.expect(404);
    admin.get("/keyauth_credentials").await.expect(404);
    let endpoints = admin.get("/endpoints").await.expect(200).json();
    let paths = endpoints["data"].as_array().unwrap();
    for path in [
        "/key-auths/{keyauth_credentials}/consumer",
        "/consumers/{consumers}/basic-auth/{basicauth_credentials}",
        "/acls/{acls}",
    ] {
        assert!(paths.contains(&json!(path)), "{path}: {endpoints}");
    }
    assert!(!endpoints.to_string().contains("hash_key"), "{endpoints}");
}
