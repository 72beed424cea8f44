//! Revocation: a revoked node is rejected, and its open connections are closed.

use serde_json::json;
use testkit::plane::Database;
use tokio::time::{Duration, Instant};
use wire::{CloseCode, Frame};

use super::stage::{Stage, wait_metric};

/// The time within which a revocation is active, as promised to operators.
const PROMISED: Duration = Duration::from_secs(60);
/// The expected time, with room for a busy machine.
const EXPECTED: Duration = Duration::from_secs(15);

async fn each_way_of_naming_is_refused(database: Database) {
    let mut stage = Stage::new(database);
    stage.planes.control.node.start().await;
    let control = &stage.planes.control.node;
    let refused = r#"gibbon_cluster_handshakes_refused_total{reason="revoked"}"#;
    for way in ["node", "fingerprint", "serial"] {
        let pair = stage.issue("data-plane", way);
        let leaf = stage.leaf(way);
        let id = leaf.node_id().unwrap();
        let subject = match way {
            "node" => id.to_string(),
            "fingerprint" => leaf.fingerprint.to_string(),
            _ => leaf.serial,
        };
        let before = control.metric(refused).await;
        stage.pki(&["revoke", &subject, "--reason", "stolen"]);
        let said = stage.wait_refused(&pair, id).await;
        assert_eq!(said, format!(": the certificate is revoked: stolen ({})", CloseCode::Forbidden.number()));
        // That may have been a connection that was accepted and then closed; the next one is rejected.
        stage.wait_refused(&pair, id).await;
        assert!(control.metric(refused).await > before);
    }
    // Others are accepted as before.
    let other = stage.issue("data-plane", "other");
    let mut link = stage.greet(&other, stage.leaf("other").node_id().unwrap()).await.unwrap();
    assert!(matches!(Frame::decode(&link.recv().await.unwrap().unwrap()), Ok(Frame::Welcome(_))));
}

#[tokio::test]
async fn each_way_of_naming_is_refused_with_sqlite() {
    each_way_of_naming_is_refused(Database::Sqlite).await;
}

#[tokio::test]
async fn each_way_of_naming_is_refused_with_postgresql() {
    each_way_of_naming_is_refused(Database::Postgres).await;
}

#[tokio::test]
async fn a_connected_data_plane_is_cut_off_and_serves_on() {
    let stage = Stage::serving(Database::Sqlite).await;
    let (control, gateway) = (&stage.planes.control, &stage.planes.gateway);
    let id = stage.leaf("data").node_id().unwrap().to_string();
    let begun = Instant::now();
    stage.pki(&["revoke", &id, "--reason", "stolen"]);
    gateway.node.wait_status("cut off", |view| view["sync"]["connected"] == false).await;
    let took = begun.elapsed();
    assert!(took < EXPECTED && EXPECTED < PROMISED, "{took:?}");
    gateway
        .node
        .wait_status("told why", |view| {
            view["sync"]["last_error"]
                .as_str()
                .unwrap_or_default()
                .contains("refuses this node: the certificate is revoked: stolen")
        })
        .await;
    gateway.wait_for("/a", 200).await;
    let connected = format!(r#"gibbon_data_plane_connected{{node_id="{id}"}}"#);
    wait_metric(&control.node, &connected, |now| now == 0.0).await;

    // After the revocation is deleted and the certificate renewed, it reconnects at once: it does not wait
    // out its delay.
    stage.pki(&["unrevoke", &id]);
    stage.pki(&["renew", "pki/data.crt"]);
    gateway.node.wait_status("connected again", |view| view["sync"]["connected"] == true).await;
    assert!(gateway.node.metric("gibbon_cluster_reconnects_total").await < 20.0);
}

#[tokio::test]
async fn revoking_a_node_covers_the_certificates_that_it_will_be_given() {
    let stage = Stage::serving(Database::Sqlite).await;
    let id = stage.leaf("data").node_id().unwrap();
    stage.pki(&["revoke", &id.to_string()]);
    stage.planes.gateway.node.wait_status("cut off", |view| view["sync"]["connected"] == false).await;
    stage.pki(&["renew", "pki/data.crt", "--new-key"]);
    stage.wait_refused(&stage.pair("data"), id).await;
}

#[tokio::test]
async fn what_was_read_stays_in_force_while_the_database_cannot_be_read() {
    let mut stage = Stage::new(Database::Postgres);
    stage.planes.control.node.start().await;
    let pair = stage.issue("data-plane", "lost");
    let id = stage.leaf("lost").node_id().unwrap();
    stage.pki(&["revoke", &id.to_string()]);
    stage.wait_refused(&pair, id).await;

    stage.execute("ALTER TABLE revocation RENAME TO away");
    let node = &mut stage.planes.control.node;
    let process = node.process_mut();
    testkit::wait::until(EXPECTED, "the control plane notices", || {
        process.stderr().contains("cannot read the revocations")
    })
    .await;
    stage.wait_refused(&pair, id).await;
    stage.execute("ALTER TABLE away RENAME TO revocation");
    stage.pki(&["unrevoke", &id.to_string()]);
    testkit::wait::eventually(EXPECTED, || async {
        let mut link = stage.greet(&pair, id).await.map_err(|error| error.to_string())?;
        link.recv().await.ok().flatten().ok_or_else(|| link.closed_because())
    })
    .await;
    let log = stage.planes.control.node.process_mut().stderr();
    assert_eq!(log.matches("cannot read the revocations").count(), 1, "said once");
}

#[tokio::test]
async fn in_the_shared_mode_a_fingerprint_cuts_off_all_who_hold_the_pair() {
    let planes = testkit::plane::Planes::start(Database::Sqlite).await;
    planes.serve("/a").await;
    let another = planes.another_gateway().await;
    let pair = node::identity::Identity::load(&planes.pair.cert, &planes.pair.key).unwrap();
    let data = planes.control.data().display().to_string();
    let revoke = ["revoke", &pair.fingerprint().to_string()];
    crate::pki::say(planes.folder.path(), &revoke, &[("GIBBON_DATA_DIR", &data)]);
    for gateway in [&planes.gateway, &another] {
        gateway.node.wait_status("cut off", |view| view["sync"]["connected"] == false).await;
        gateway.wait_for("/a", 200).await;
    }
}

#[tokio::test]
async fn who_takes_no_bytes_does_not_by_that_stay() {
    let mut stage = Stage::new(Database::Sqlite);
    stage.planes.control.node.start().await;
    // A snapshot that is larger than the kernel's buffers for a receiver that does not read.
    let noise = noise(9 << 20);
    let paths: Vec<String> = noise
        .as_bytes()
        .chunks(4000)
        .map(|letters| format!("/{}", String::from_utf8_lossy(letters)))
        .collect();
    for paths in paths.chunks(1000) {
        stage.planes.control.admin().post("/routes", &json!({ "paths": paths })).await.unwrap().expect(201);
    }
    let pair = stage.issue("data-plane", "slow");
    let id = stage.leaf("slow").node_id().unwrap();
    let _silent = stage.greet(&pair, id).await.unwrap();
    let is = async |state: &str| {
        let series = format!(r#"gibbon_data_plane_connected{{node_id="{id}"}} {state}"#);
        testkit::wait::eventually(EXPECTED, || async {
            let metrics = stage.planes.control.node.status().get("/metrics").await?.text();
            anyhow::ensure!(metrics.contains(&series), "no {series}");
            Ok(())
        })
        .await;
    };
    is("1").await;
    stage.pki(&["revoke", &id.to_string()]);
    is("0").await;
}

/// Letters that do not compress to less than three quarters.
fn noise(length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = 7_u64;
    let letters = (0..length).map(|_| {
        // The generator of Knuth's MMIX; its high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(LETTERS[(state >> 58) as usize])
    });
    letters.collect()
}
