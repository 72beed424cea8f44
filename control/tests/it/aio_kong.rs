//! aio-kong, a client of the Admin API that others wrote for Kong, and what becomes of requests through a data
//! plane. The stories are in `aio_kong/main.py`.

use std::path::Path;
use std::time::Duration;

use testkit::certs;
use testkit::plane::{Database, Planes};
use testkit::ports;
use tokio::process::Command;
use tokio::time::timeout;

/// All waits of a story have deadlines of their own.
const TIMEOUT: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_entity_is_made_changed_obeyed_and_deleted_on_sqlite() {
    tell("everything", Planes::new(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_entity_is_made_changed_obeyed_and_deleted_on_postgresql() {
    tell("everything", Planes::new(Database::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_keys_are_recognised_where_secrets_are_shown() {
    let mut planes = Planes::new(Database::Sqlite);
    planes.control.node.set("admin.show_secrets", true);
    tell("declarative_with_shown_secrets", planes).await;
}

async fn tell(story: &str, mut planes: Planes) {
    let tls = ports::reserve();
    planes.gateway.node.set("proxy.listen_tls", &tls);
    planes.control.node.start().await;
    planes.gateway.node.start().await;
    for name in ["a", "b"] {
        certs::server(planes.folder.path(), name, &[&format!("{name}.example")]);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/aio_kong/main.py");
    let mut client = Command::new("aio-kong-python");
    client
        .arg(script)
        .arg(story)
        .env("ADMIN", format!("http://{}", planes.control.admin().address()))
        .env("PROXY", format!("http://{}", planes.gateway.proxy_address()))
        .env("PROXY_TLS", format!("https://{tls}"))
        .env("ORIGIN", planes.origin.address().to_string())
        .env("CERTS", planes.folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    let output = timeout(TIMEOUT, client.output()).await.expect("the story has an end");
    let output = output.expect("aio-kong is installed; `make tools` does it");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    planes.gateway.node.stop().await;
    planes.control.node.stop().await;
}
