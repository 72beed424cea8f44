//! Orders to remove answers that data planes keep.

use serde_json::json;

use super::{Admin, on_both_databases, revision};

on_both_databases!(orders_are_accepted_and_answers_are_unknown);

async fn orders_are_accepted_and_answers_are_unknown(admin: &Admin) {
    let key = "0f".repeat(32);
    let plugin = json!({ "name": "proxy-cache", "config": { "strategy": "memory" } });
    let put = async |plugin| {
        admin.post("/plugins", &plugin).await.expect(201).json()["id"].as_str().unwrap().to_owned()
    };
    let (plugin, other) = (put(plugin).await, put(json!({ "name": "cors" })).await);
    let mut revisions = Vec::new();
    for (path, status) in [
        ("/proxy-cache".to_owned(), 204),
        (format!("/proxy-cache/{key}"), 204),
        (format!("/proxy-cache/{}", key.to_uppercase()), 404),
        ("/proxy-cache/x".to_owned(), 404),
        (format!("/proxy-cache/{plugin}/caches/{key}"), 204),
        (format!("/proxy-cache/{plugin}/caches/x"), 404),
        (format!("/proxy-cache/{}/caches/{key}", uuid::Uuid::nil()), 404),
        (format!("/proxy-cache/x/caches/{key}"), 404),
        (format!("/proxy-cache/{other}/caches/{key}"), 404),
        // Again, which is a new order.
        (format!("/proxy-cache/{key}"), 204),
    ] {
        let answer = admin.delete(&path).await.expect(status);
        assert_eq!(answer.text(), "", "{path}");
        revisions.extend((status == 204).then(|| revision(&answer)));
    }
    assert!(revisions.windows(2).all(|pair| pair[1] == pair[0] + 1), "{revisions:?}");
    for path in [format!("/proxy-cache/{key}"), format!("/proxy-cache/{plugin}/caches/{key}")] {
        assert_eq!(admin.get(&path).await.expect(404).text(), "", "{path}");
    }
    admin.get("/proxy-cache").await.expect(405);
    // They are no part of the configuration.
    assert!(!admin.get("/config").await.expect(200).text().contains("cache_purges"));
}
