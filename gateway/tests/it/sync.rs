//! The data plane's side of the sync, against a fake control plane with a valid certificate.

use testkit::certs::{self, Pair};
use testkit::origin::Origin;
use testkit::plane::{DEADLINE, Gateway};
use testkit::ports::{self, Port};
use testkit::wait;
use uuid::Uuid;
use wire::{CloseCode, Frame, Mode, NackReason};

use crate::control_plane::{Connected, FakeControlPlane, copy_on_disk, route, service};

/// A data plane that serves `/old` at revision 1, its fake control plane, and an origin.
struct Stage {
    gateway: Gateway,
    control: FakeControlPlane,
    connected: Connected,
    origin: Origin,
    port: Port,
    pair: Pair,
    _folder: tempfile::TempDir,
}

async fn stage() -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let pair = certs::valid(folder.path(), "cluster");
    let port = ports::reserve();
    let mut control = FakeControlPlane::listen(port.address(), &pair).await;
    let origin = Origin::start();
    let mut gateway = Gateway::at(&port.to_string(), &pair);
    gateway.node.spawn();
    let mut connected = control.welcome().await;
    assert_eq!(connected.hello.held, None);
    let snapshot =
        control.history.update(Mode::Snapshot, &[service(1, origin.address()), route(2, 1, "/old")]);
    connected.update(&snapshot).await.unwrap();
    gateway.node.wait_ready().await;
    gateway.wait_for("/old", 200).await;
    Stage { gateway, control, connected, origin, port, pair, _folder: folder }
}

/// Asserts that the old configuration serves, and that the reason is visible to an operator.
async fn serves_the_old(stage: &Stage, reason: NackReason, message: &str) {
    stage.gateway.proxy().get("/old").await.unwrap().expect(200);
    stage.gateway.proxy().get("/new").await.unwrap().expect(404);
    let status = stage.gateway.node.status_view().await;
    assert_eq!(status["sync"]["revision"], 1, "{status}");
    assert!(status["sync"]["last_error"].as_str().unwrap().contains(message), "{status}");
    let series = format!(r#"gibbon_config_rejections_total{{reason="{}"}}"#, reason.as_str());
    assert_eq!(stage.gateway.node.metric(&series).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_breaks_a_rule_is_refused_with_the_entity_and_the_old_one_serves() {
    let mut stage = stage().await;
    let bad = stage.control.history.update(Mode::Delta, &[route(3, 1, "/new"), route(4, 1, "no slash")]);
    let nack = stage.connected.update(&bad).await.unwrap_err();
    assert_eq!((nack.reason, nack.revision), (NackReason::Invalid, 2));
    assert_eq!((nack.collection.as_deref(), nack.id), (Some("routes"), Some(Uuid::from_u128(4))));
    assert_eq!(nack.field.as_deref(), Some("paths"));
    serves_the_old(&stage, NackReason::Invalid, "revision 2 refused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_with_a_wrong_root_or_out_of_order_is_refused() {
    let mut stage = stage().await;
    let wrong = stage.control.history.with_wrong_root(&[route(3, 1, "/new")]);
    assert_eq!(stage.connected.update(&wrong).await.unwrap_err().reason, NackReason::RootMismatch);
    serves_the_old(&stage, NackReason::RootMismatch, "announces the root").await;
    stage.control.history.update(Mode::Delta, &[]);
    let late = stage.control.history.update(Mode::Delta, &[route(3, 1, "/new")]);
    assert_eq!(stage.connected.update(&late).await.unwrap_err().reason, NackReason::OutOfOrder);
    serves_the_old(&stage, NackReason::OutOfOrder, "starts from revision 2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_connection_is_made_again_from_what_is_held() {
    let mut stage = stage().await;
    let held = stage.control.history.position;
    stage.connected.close(CloseCode::ShuttingDown, "maintenance").await;
    let mut again = stage.control.welcome().await;
    assert_eq!(again.hello.held, Some(held));
    let delta = stage.control.history.update(Mode::Delta, &[route(3, 1, "/new")]);
    again.update(&delta).await.unwrap();
    stage.gateway.wait_for("/new", 200).await;
    assert!(stage.gateway.node.metric("gibbon_cluster_reconnects_total").await >= 1.0);
}

/// The first connection ends amid an update. An older control plane begins again, a newer one sends the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_that_was_cut_off_is_described_and_may_go_on_or_begin_again() {
    for goes_on in [false, true] {
        let mut stage = stage().await;
        let key = wire::Key { kind: wire::Kind(199), id: Uuid::from_u128(9) };
        let noise: Vec<u8> =
            std::iter::repeat_with(Uuid::new_v4).take(9000).flat_map(Uuid::into_bytes).collect();
        let changes = [route(3, 1, "/new"), (key, Some(noise.into()))];
        let update = stage.control.history.update(Mode::Delta, &changes);
        let frames = wire::EncodedUpdate::new(&update);
        for frame in &frames.frames[..2] {
            stage.connected.send(&Frame::decode(frame).unwrap()).await;
        }
        stage.connected.send(&Frame::Heartbeat(stage.control.history.position)).await;
        stage.connected.close(CloseCode::ShuttingDown, "maintenance").await;
        let mut again = stage.control.welcome().await;
        let partial = again.hello.partial.clone().unwrap();
        assert!(frames.continues(&partial), "{partial:?}");
        if goes_on {
            for frame in frames.frames_from(partial.received) {
                again.send(&Frame::decode(&frame).unwrap()).await;
            }
        } else {
            again.update(&update).await.unwrap();
        }
        stage.gateway.wait_for("/new", 200).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_make_no_sense_end_the_connection_and_nothing_else() {
    let mut stage = stage().await;
    stage.connected.send(&Frame::More(bytes::Bytes::from_static(b"of what?"))).await;
    let reason = stage.connected.closed_because().await;
    assert!(reason.contains("out of place") && reason.contains("4000"), "{reason}");
    stage.control.welcome().await;
    stage.gateway.proxy().get("/old").await.unwrap().expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_of_another_version_is_refused_by_name() {
    let stage = stage().await;
    drop(stage.connected);
    let mut connected = stage.control.hello().await;
    let welcome = wire::Welcome {
        version: 99,
        node_id: Uuid::nil(),
        program: "later".into(),
        head: stage.control.history.position,
        heartbeat_ms: 1000,
    };
    connected.send(&Frame::Welcome(welcome)).await;
    let reason = connected.closed_because().await;
    assert!(reason.contains("version 99") && reason.contains("4001"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_for_its_buckets_it_sends_those_of_what_it_holds() {
    let mut stage = stage().await;
    stage.connected.send(&Frame::BucketsWanted(stage.control.history.position)).await;
    let (revision, hashes) = loop {
        match stage.connected.next().await {
            Some(Frame::Buckets(revision, hashes)) => break (revision, hashes),
            Some(Frame::Health(_)) => {}
            other => panic!("no buckets: {other:?}"),
        }
    };
    assert_eq!((revision, hashes.len()), (1, wire::BUCKETS));
    assert_eq!(hashes.iter().filter(|hash| **hash != wire::Root::default()).count(), 2);
}

/// The program is killed without warning and started without a control plane. It serves the acknowledged
/// configuration. A damaged copy gives way to the previous one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_from_its_disk_and_a_damaged_copy_is_set_aside() {
    let mut stage = stage().await;
    // An ack does not wait for the disk: an unwritten update would be sent again.
    let on_disk = || copy_on_disk(stage.gateway.state()).len();
    wait::until(DEADLINE, "the snapshot is on disk", || on_disk() > 0).await;
    let snapshot = on_disk();
    let delta = stage.control.history.update(Mode::Delta, &[route(3, 1, "/new")]);
    stage.connected.update(&delta).await.unwrap();
    wait::until(DEADLINE, "the change is on disk", || on_disk() > snapshot).await;
    let before = copy_on_disk(stage.gateway.state());
    let second = stage.control.history.update(
        Mode::Snapshot,
        &[service(1, stage.origin.address()), route(2, 1, "/old"), route(5, 1, "/latest")],
    );
    stage.connected.update(&second).await.unwrap();
    stage.gateway.wait_for("/latest", 200).await;
    let replaced = || copy_on_disk(stage.gateway.state()) != before;
    wait::until(DEADLINE, "the second snapshot is on disk", replaced).await;
    drop((stage.control, stage.connected));

    stage.gateway.node.kill9();
    stage.gateway.node.start().await;
    stage.gateway.proxy().get("/latest").await.unwrap().expect(200);

    stage.gateway.node.kill9();
    let path = stage.gateway.state().join("config.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    stage.gateway.node.start().await;
    stage.gateway.proxy().get("/old").await.unwrap().expect(200);
    stage.gateway.proxy().get("/latest").await.unwrap().expect(404);
    assert!(stage.gateway.state().join("config.log.damaged").exists());
    assert!(stage.gateway.node.metric("gibbon_config_cache_errors_total").await >= 1.0);
    // When the control plane is back, the data plane reconnects.
    let control = FakeControlPlane::listen(stage.port.address(), &stage.pair).await;
    control.hello().await;
}

/// A control plane that is behind, or whose database was restored without a new epoch, causes no step back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_snapshot_of_the_same_epoch_is_refused_and_the_newer_serves() {
    let mut stage = stage().await;
    let older = stage.control.history.clone();
    let newer = stage.control.history.update(Mode::Delta, &[route(3, 1, "/second")]);
    stage.connected.update(&newer).await.unwrap();
    let mut restored = older;
    restored.position.revision -= 1;
    let snapshot =
        restored.update(Mode::Snapshot, &[service(1, stage.origin.address()), route(9, 1, "/new")]);
    assert_eq!(snapshot.header.to, 1);
    let nack = stage.connected.update(&snapshot).await.unwrap_err();
    assert_eq!((nack.reason, nack.revision), (NackReason::OutOfOrder, 1));
    assert!(nack.message.contains("back to revision 1"), "{}", nack.message);
    stage.gateway.proxy().get("/second").await.unwrap().expect(200);
    // The new epoch of a control plane that has detected the restore is accepted.
    restored.position.epoch = Uuid::from_u128(77);
    let snapshot =
        restored.update(Mode::Snapshot, &[service(1, stage.origin.address()), route(9, 1, "/new")]);
    stage.connected.update(&snapshot).await.unwrap();
    stage.gateway.wait_for("/new", 200).await;
    stage.gateway.proxy().get("/second").await.unwrap().expect(404);
}
