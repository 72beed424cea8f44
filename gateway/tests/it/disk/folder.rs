//! Another program removes, empties or changes the folder while Gibbon runs: Gibbon detects it, and makes the
//! copy again.

use std::fs;

use testkit::plane::DEADLINE;
use testkit::wait;
use wire::Mode;

use super::Stage;
use crate::control_plane::copy_on_disk;

const CHANGES: &str = "gibbon_config_cache_changes_total";

/// The change of the folder, and whether a control plane must send a snapshot then.
type Damage = (&'static str, fn(&Stage), bool);

const DAMAGES: [Damage; 5] = [
    ("the folder is deleted", |stage| fs::remove_dir_all(stage.gateway.state()).unwrap(), false),
    (
        "the folder is replaced",
        |stage| {
            let state = stage.gateway.state();
            fs::rename(state, state.with_extension("moved")).unwrap();
            fs::create_dir(state).unwrap();
        },
        false,
    ),
    ("the file is deleted", |stage| fs::remove_file(stage.file("config.log")).unwrap(), false),
    ("the file is replaced", |stage| replace(stage, b"not ours"), false),
    ("the file is cut", |stage| fs::write(stage.file("config.log"), "").unwrap(), true),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_that_somebody_changed_is_made_again_without_a_change() {
    let (mut stage, mut connected) = Stage::started().await;
    for (at, (what, damage, needs_snapshot)) in (1..).zip(DAMAGES) {
        let revision = stage.push(&mut connected, Mode::Delta).await;
        stage.wait_on_disk(revision).await;
        let node_id = stage.sync().await["node_id"].clone();
        damage(&stage);
        if needs_snapshot {
            connected = stage.welcome().await;
            assert_eq!(connected.hello.held, None, "{what}");
            let revision = stage.push(&mut connected, Mode::Snapshot).await;
            stage.wait_on_disk(revision).await;
        }
        let whole = || copy_on_disk(stage.gateway.state()).starts_with(b"GIBBONC");
        wait::until(DEADLINE, what, whole).await;
        stage.gateway.node.wait_status(what, |view| view["sync"]["disk_error"].is_null()).await;
        assert_eq!(stage.gateway.node.metric(CHANGES).await, f64::from(at), "{what}");
        let written = fs::read_to_string(stage.file("node_id")).unwrap();
        assert_eq!(written.trim(), node_id, "{what}");
    }
    stage.wait_log("somebody has removed").await;
    let revision = stage.push(&mut connected, Mode::Delta).await;
    stage.control_ends();
    stage.gateway.node.kill9();
    stage.gateway.node.start().await;
    stage.serves(revision, "from the disk").await;
    fs::remove_dir_all(stage.gateway.state().with_extension("moved")).unwrap();
}

fn replace(stage: &Stage, bytes: &[u8]) {
    fs::write(stage.file("other"), bytes).unwrap();
    fs::rename(stage.file("other"), stage.file("config.log")).unwrap();
}
