//! The status listeners of both planes.

use serde_json::json;
use testkit::plane::{Database, Planes};

#[tokio::test]
async fn redundant_slashes_are_ignored() {
    let mut planes = Planes::start(Database::Sqlite).await;
    for (plane, status) in [("control", planes.control.node.status()), ("data", planes.gateway.node.status())]
    {
        for path in ["/status/", "//status", "/status//ready/", "/metrics/", "/status/?unit=m"] {
            let answer = status.get(path).await.unwrap();
            assert_eq!(answer.status, 200, "{plane} plane: {path}");
        }
        status.get("/status/other/").await.unwrap().expect(404);
        status.get("/").await.unwrap().expect(404);
    }
    planes.gateway.node.stop().await;
    planes.control.node.stop().await;
}

#[tokio::test]
async fn status_of_a_data_plane_has_the_memory_object_of_kong() {
    let mut planes = Planes::start(Database::Sqlite).await;
    let status = planes.gateway.node.status().get("/status").await.unwrap().expect(200).json();
    assert_eq!(status["memory"], json!({ "workers_lua_vms": [], "lua_shared_dicts": {} }));
    planes.gateway.node.stop().await;
    planes.control.node.stop().await;
}
