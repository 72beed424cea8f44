//! Certificates, names and authorities on their way to a real data plane.

use serde_json::{Value, json};
use testkit::certs::{self, Authority};
use testkit::http::{Client, Request};
use testkit::plane::{Database, Planes};

/// The write succeeds, and the data plane has applied it.
async fn applied(admin: &Client, method: &str, target: &str, body: &Value) -> Value {
    let request = Request::new(method, &format!("{target}?wait=applied")).json(body);
    let answer = admin.send(&request).await.unwrap();
    assert!((200..300).contains(&answer.status), "{method} {target}: {}", answer.text());
    assert_eq!(answer.header("gibbon-applied"), Some("true"), "{:?}", answer.header("gibbon-pending"));
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_takes_certificates_and_what_names_them() {
    let mut planes = Planes::start(Database::Postgres).await;
    planes.serve("/").await;
    let admin = planes.control.admin();
    let folder = tempfile::tempdir().unwrap();
    let pair = certs::server(folder.path(), "pair", &["a.example"]);
    let text = |path| std::fs::read_to_string(path).unwrap();

    let body =
        json!({ "cert": text(&pair.cert), "key": text(&pair.key), "snis": ["a.example", "*.a.example"] });
    let certificate = applied(&admin, "POST", "/certificates", &body).await;
    let authority = json!({ "cert": text(&Authority::new(folder.path(), "ca").cert) });
    let authority = applied(&admin, "POST", "/ca_certificates", &authority).await;
    let service = json!({
        "host": "a.example", "protocol": "https", "ca_certificates": [authority["id"]],
        "client_certificate": { "id": certificate["id"] },
    });
    applied(&admin, "PUT", "/services/upstream", &service).await;

    // From its disk, too.
    planes.gateway.node.stop().await;
    planes.gateway.node.start().await;
    planes.gateway.wait_for("/", 200).await;

    applied(&admin, "PATCH", "/certificates/a.example", &json!({ "snis": ["b.example"] })).await;
    applied(&admin, "DELETE", "/services/upstream", &Value::Null).await;
    applied(&admin, "DELETE", "/snis/b.example", &Value::Null).await;
    let at = format!("/certificates/{}", certificate["id"].as_str().unwrap());
    applied(&admin, "DELETE", &at, &Value::Null).await;
    let at = format!("/ca_certificates/{}", authority["id"].as_str().unwrap());
    applied(&admin, "DELETE", &at, &Value::Null).await;
    planes.gateway.node.stop().await;
    planes.control.node.stop().await;
}
