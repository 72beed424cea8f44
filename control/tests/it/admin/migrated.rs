//! What older migrations change in the rows of their time, as the Admin API shows it afterwards.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database, DatabaseBackend, Statement};
use serde_json::{Value, json};
use testkit::plane::{self, Control};
use testkit::{certs, postgres};
use uuid::Uuid;

use super::Admin;
use super::authorities::authority;
use super::certificates::pair;

const ABSENT: &str = "00000000-0000-4000-8000-000000000001";
const FIRST: &str = "00000000-0000-4000-8000-00000000000a";
const SECOND: &str = "00000000-0000-4000-8000-00000000000b";

/// Starts a control plane on a database with the first `migrations` and these rows. Returns the epoch of the
/// database before, too.
async fn start(migrations: u32, rows: &str) -> (Admin, String) {
    let url = postgres::shared().database();
    let database = Database::connect(&url).await.unwrap();
    Migrator::up(&database, Some(migrations)).await.unwrap();
    database.execute_unprepared(rows).await.unwrap();
    let epoch = Statement::from_string(DatabaseBackend::Postgres, "SELECT epoch FROM config_head");
    let epoch: Uuid = database.query_one_raw(epoch).await.unwrap().unwrap().try_get("", "epoch").unwrap();
    database.close().await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let mut control = Control::new(plane::Database::Sqlite, &certs::valid(folder.path(), "cluster"));
    control.node.set("database.url", url);
    control.node.start().await;
    let client = control.admin();
    (Admin { control, client, _pair: folder }, epoch.to_string())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Before there were CA certificates, services could name certificates that did not exist. The migration
/// removes these references, and data planes receive the change.
#[tokio::test]
async fn what_services_named_before_is_forgotten() {
    let columns = "id, protocol, host, port, retries, connect_timeout, write_timeout, read_timeout, enabled, \
                   created_at, updated_at, name, client_certificate, ca_certificates";
    let row = |id, name, named: &str| {
        format!("('{id}', 'https', 'a', 80, 1, 1, 1, 1, true, 1, 1, '{name}', {named})")
    };
    let naming = row(FIRST, "a", &format!("'{ABSENT}', '[\"{ABSENT}\"]'"));
    let other = row(SECOND, "b", "NULL, NULL");
    let (admin, before) =
        start(4, &format!("INSERT INTO service ({columns}) VALUES {naming}, {other}")).await;
    let service = admin.get("/services/a").await.expect(200).json();
    assert_eq!((&service["client_certificate"], &service["ca_certificates"]), (&Value::Null, &Value::Null));
    assert_eq!(admin.get("/services/b").await.json()["retries"], 1);
    assert_ne!(admin.get("/clustering/config").await.json()["epoch"], json!(before));
    admin.stop().await;
}

/// The migration removes unused parts from texts that an older version has stored.
#[tokio::test]
async fn stored_texts_are_cleaned() {
    let (good, trusted) = (pair(&["a.example"]), authority());
    let (cert, key, trusted) = (text(&good["cert"]), text(&good["key"]), text(&trusted["cert"]));
    let rows = format!(
        "INSERT INTO certificate (id, cert, key, created_at, updated_at)
             VALUES ('{FIRST}', '{cert}{key}', 'hunter2' || chr(10) || '{key}', 1, 1);
         INSERT INTO ca_certificate (id, cert, cert_digest, created_at, updated_at)
             VALUES ('{SECOND}', '{key}{trusted}', 'digest', 1, 1)"
    );
    let (admin, before) = start(6, &rows).await;
    let shown = admin.get(&format!("/certificates/{FIRST}")).await.expect(200).json();
    assert_eq!((&shown["cert"], &shown["key"]), (&good["cert"], &json!("***")));
    let shown = admin.get(&format!("/ca_certificates/{SECOND}")).await.expect(200).json();
    assert_eq!(shown["cert"], trusted);
    assert_ne!(admin.get("/clustering/config").await.json()["epoch"], json!(before));
    // The key is the one of the certificate, without the text before it.
    let same = admin.put(&format!("/certificates/{FIRST}"), &good).await.expect(200);
    assert_eq!(super::revision(&same), 0);
    let next = admin.post("/services", &json!({ "host": "b" })).await.expect(201);
    admin.published(super::revision(&next)).await;
    admin.stop().await;
}
