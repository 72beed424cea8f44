//! Answers that a data plane keeps, until an order of the Admin API removes them.

use serde_json::json;
use testkit::wait;

use crate::installation::{DEADLINE, Installation};

#[tokio::test]
async fn order_of_the_admin_api_removes_what_data_planes_keep() {
    let installation = Installation::new();
    let _running = installation.run().await;
    let admin = installation.admin_client();
    let service = json!({ "name": "a", "host": "127.0.0.1", "port": installation.origin.number() });
    assert_eq!(admin.post("/services", &service).await.unwrap().status, 201);
    let route = json!({ "paths": ["/a"] });
    assert_eq!(admin.post("/services/a/routes", &route).await.unwrap().status, 201);
    let config = json!({ "strategy": "memory", "content_type": ["*/*"] });
    let plugin = json!({ "name": "proxy-cache", "config": config });
    let created = admin.post("/plugins?wait=applied", &plugin).await.unwrap();
    assert_eq!(created.status, 201, "{}", created.text());
    let plugin = created.json()["id"].as_str().unwrap().to_owned();

    let proxy = installation.proxy_client();
    let get = async || proxy.get("/a").await.map_err(|error| format!("{error:#}"));
    let hit = || async {
        let answer = get().await?;
        let key = answer.header("x-cache-key").map(str::to_owned);
        if answer.header("x-cache-status") == Some("Hit") {
            key.ok_or(answer.text())
        } else {
            Err(answer.text())
        }
    };
    let key = wait::eventually(DEADLINE, hit).await;
    for path in [
        "/proxy-cache".to_owned(),
        format!("/proxy-cache/{key}"),
        format!("/proxy-cache/{plugin}/caches/{key}"),
    ] {
        let order = admin.delete(&format!("{path}?wait=applied")).await.unwrap();
        assert_eq!((order.status, order.header("gibbon-applied")), (204, Some("true")), "{path}");
        assert_eq!(get().await.unwrap().header("x-cache-status"), Some("Miss"), "{path}");
        hit().await.unwrap();
    }
}
