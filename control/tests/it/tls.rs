//! A certificate's way from the Admin API to the handshakes of a data plane.

use std::fs;

use serde_json::json;
use testkit::certs::{self, Pair};
use testkit::curl;
use testkit::plane::{DEADLINE, Database, Planes};
use testkit::{ports, wait};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_pushed_replaced_and_kept() {
    let mut planes = Planes::start(Database::Sqlite).await;
    let port = ports::reserve();
    planes.gateway.node.set("proxy.listen_tls", &port);
    planes.gateway.node.stop().await;
    planes.gateway.node.start().await;
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| certs::server(folder.path(), name, &["shop.example"]));

    let admin = planes.control.admin();
    let service = json!({ "name": "shop", "url": planes.origin.url() });
    admin.post("/services", &service).await.unwrap().expect(201);
    admin.post("/services/shop/routes", &json!({ "paths": ["/"] })).await.unwrap().expect(201);
    let made = admin.post("/certificates", &body(&old)).await.unwrap().expect(201).json();
    let certificate = made["id"].as_str().unwrap();
    let sni = json!({ "name": "shop.example" });
    admin.post(&format!("/certificates/{certificate}/snis"), &sni).await.unwrap().expect(201);
    shows(&port, &old).await;

    admin.patch(&format!("/certificates/{certificate}"), &body(&new)).await.unwrap().expect(200);
    shows(&port, &new).await;
    curl::https(port.address(), "shop.example", &old, &[]).await.unwrap_err();

    planes.control.node.kill9();
    planes.gateway.node.kill9();
    planes.gateway.node.start().await;
    shows(&port, &new).await;
    planes.gateway.node.stop().await;
}

fn body(pair: &Pair) -> serde_json::Value {
    let read = |path| fs::read_to_string(path).unwrap();
    json!({ "cert": read(&pair.cert), "key": read(&pair.key) })
}

async fn shows(port: &ports::Port, pair: &Pair) {
    wait::eventually(DEADLINE, || curl::https(port.address(), "shop.example", pair, &["--fail"])).await;
}
