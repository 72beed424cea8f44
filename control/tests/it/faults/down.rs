//! A database that does not answer: the control plane serves data planes from memory.

use serde_json::json;
use testkit::plane::{Database, Planes};
use testkit::postgres::Postgres;

use super::{in_sync, snapshots};

/// The data plane is further behind than the control plane's memory reaches, and the log cannot be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_that_comes_back_is_sent_what_is_at_hand() {
    let postgres = Postgres::start();
    let mut planes = Planes::new(Database::Sqlite);
    planes.control.node.set("database.url", postgres.database());
    planes.control.node.start().await;
    planes.gateway.node.start().await;
    planes.serve("/steady").await;
    in_sync(&planes.control, &planes.gateway).await;
    planes.gateway.node.stop().await;
    let admin = planes.control.admin();
    let (service, route) =
        (json!({ "name": "x", "url": planes.origin.url() }), json!({ "paths": ["/late"] }));
    admin.post("/services", &service).await.unwrap().expect(201);
    admin.post("/services/x/routes", &route).await.unwrap().expect(201);
    planes.control.node.stop().await;
    planes.control.node.start().await;

    // A frozen database blocks each query until a deadline: longer than the timeout of a silent control
    // plane.
    postgres.freeze();
    planes.gateway.node.start().await;
    planes.gateway.wait_for("/late", 200).await;
    assert_eq!(snapshots(&planes.control).await, 1.0);
    postgres.thaw();
    in_sync(&planes.control, &planes.gateway).await;
}
