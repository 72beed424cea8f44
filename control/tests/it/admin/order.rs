//! The order of routes that match the same request.

use serde_json::{Value, json};

use super::{Admin, on_both_databases};

on_both_databases!(the_order_is_a_setting_of_the_cluster, a_dry_run_shows_where_the_orders_disagree);

/// Kong documents that more kinds of criteria win; its program prefers a host without a wildcard.
async fn write_routes(admin: &Admin) {
    let by_host = json!({ "name": "by-host", "hosts": ["shop.test"], "paths": ["/cart"] });
    let by_header = json!({
        "name": "by-header", "methods": ["PUT"], "paths": ["/"], "headers": { "x-version": ["2"] },
    });
    admin.post("/routes", &by_host).await.expect(201);
    admin.post("/routes", &by_header).await.expect(201);
}

async fn the_order_is_a_setting_of_the_cluster(admin: &Admin) {
    write_routes(admin).await;
    let taken = async || {
        let ask = "/routes/match?method=PUT&host=shop.test&path=/cart&headers.x-version=2";
        let answer = admin.get(ask).await.expect(200).json();
        answer["match"]["route"]["name"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(taken().await, "by-header");
    let set = admin.put("/routers/default", &json!({ "order": "kong3" })).await.expect(200);
    admin.published(super::revision(&set)).await;
    assert_eq!(taken().await, "by-host");
    let second = admin.post("/routers", &json!({ "order": "strict" })).await.expect(409).json();
    assert_eq!(second["fields"], json!({ "name": "default" }));
    let other = admin.post("/routers", &json!({ "name": "other" })).await.expect(400).json();
    assert_eq!(other["fields"], json!({ "name": "expected one of: default" }));
    let removed = admin.delete("/routers/default").await.expect(204);
    admin.published(super::revision(&removed)).await;
    assert_eq!(taken().await, "by-header");
}

async fn a_dry_run_shows_where_the_orders_disagree(admin: &Admin) {
    write_routes(admin).await;
    let document = admin.get("/config?format=json").await.expect(200).json();
    let answer = admin.post("/config?dry_run=true", &document).await.expect(200).json();
    let found = &answer["order_disagreements"][0];
    assert_eq!((&found["strict"]["name"], &found["kong3"]["name"]), (&json!("by-header"), &json!("by-host")));
    let request = json!({
        "method": "PUT", "host": "shop.test", "port": 80, "path": "/cart", "headers": { "x-version": "2" },
    });
    assert_eq!(found["request"], request);
    // The document may solve it.
    let mut solved = document.clone();
    let routes = solved["routes"].as_array_mut().unwrap();
    routes.retain(|route| route["name"] != "by-header");
    let answer = admin.post("/config?dry_run=true", &solved).await.expect(200).json();
    assert_eq!(answer["order_disagreements"], Value::Array(Vec::new()));
    assert_eq!(answer["order_search_bounded"], false);
    // No request takes a route of a disabled service.
    let mut disabled = document.clone();
    disabled["services"] = json!([{ "name": "off", "host": "a", "enabled": false }]);
    let by_header = disabled["routes"].as_array_mut().unwrap().iter_mut();
    by_header.filter(|route| route["name"] == "by-header").for_each(|route| route["service"] = json!("off"));
    let answer = admin.post("/config?dry_run=true", &disabled).await.expect(200).json();
    assert_eq!(answer["order_disagreements"], Value::Array(Vec::new()));
}
