//! A full disk, and a disk whose syncs fail. The live configuration does not depend on it, the file on it
//! stays whole, and the copy recovers by itself once the disk does.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use testkit::plane::DEADLINE;
use testkit::wait;
use wire::Mode;

use super::Stage;
use super::tracer::Tracer;
use crate::control_plane::copy_on_disk;

const ERRORS: &str = "gibbon_config_cache_errors_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_syncs_fail_the_change_is_live_and_the_disk_is_made_good_afterwards() {
    let (mut stage, mut connected) = Stage::started().await;
    let pid = stage.gateway.node.process_mut().pid();
    let tracer = Tracer::inject(pid, "fsync,fdatasync:error=EIO").await;
    stage.push(&mut connected, Mode::Delta).await;
    stage.serves(2, "while syncs fail").await;
    let failing = |view: &serde_json::Value| view["sync"]["disk_error"].is_string();
    stage.gateway.node.wait_status("failing to sync", failing).await;
    assert_eq!(stage.sync().await["disk_revision"], 1, "not on disk as far as anybody can tell");
    assert!(stage.gateway.node.metric(ERRORS).await >= 1.0);
    stage.wait_log("its copy on disk is an older one").await;
    drop(tracer);
    stage.wait_on_disk(2).await;
    assert_eq!(stage.sync().await["disk_error"], serde_json::Value::Null);
    stage.control_ends();
    stage.gateway.node.kill9();
    stage.gateway.node.start().await;
    stage.serves(2, "from the disk").await;
}

/// Runs on one thread with a mount namespace of its own: the disk disappears with it, however it ends.
#[tokio::test(flavor = "current_thread")]
async fn on_a_full_disk_the_change_is_live_the_file_whole_and_the_copy_follows_when_there_is_room() {
    if !nix::unistd::geteuid().is_root() {
        return as_root_of_a_namespace();
    }
    let mut stage = Stage::new().await;
    small_disk(stage.gateway.state());
    stage.gateway.node.spawn();
    let mut connected = stage.welcome().await;
    stage.push(&mut connected, Mode::Snapshot).await;
    stage.wait_on_disk(1).await;
    let whole = copy_on_disk(stage.gateway.state());
    let filler = stage.file("filler");
    fill(&filler);

    let second = stage.next_with(Mode::Delta, large);
    connected.update(&second).await.unwrap();
    stage.serves(2, "with a full disk").await;
    stage.gateway.node.wait_status("failing", |view| view["sync"]["disk_error"].is_string()).await;
    assert!(stage.gateway.node.metric(ERRORS).await >= 1.0);
    stage.wait_log("its copy on disk is an older one").await;
    assert_eq!(copy_on_disk(stage.gateway.state()), whole, "the old file stays whole");
    // Changes continue, and so does the mark of the update that is being applied.
    stage.push(&mut connected, Mode::Delta).await;
    stage.serves(3, "with a full disk").await;

    fs::remove_file(&filler).unwrap();
    stage.wait_on_disk(3).await;
    wait::until(DEADLINE, "the file has grown", || copy_on_disk(stage.gateway.state()).len() > whole.len())
        .await;
    stage.control_ends();
    stage.gateway.node.kill9();
    stage.gateway.node.start().await;
    stage.serves(3, "from the disk").await;
}

/// The disk refuses for so long that waiting updates are dropped. Memory stays bounded, and the agent
/// requests a snapshot once the disk works again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_dropped_while_the_disk_refused_comes_as_a_snapshot() {
    let (mut stage, mut connected) = Stage::started().await;
    // Nothing can be appended, and this blocks a new file.
    let obstacle = stage.file("config.log.new");
    fs::create_dir(&obstacle).unwrap();
    fs::remove_file(stage.file("config.log")).unwrap();
    for _ in 0..6 {
        let update = stage.next_heavy(2 << 20);
        connected.update(&update).await.unwrap();
    }
    stage.serves(7, "while the disk refuses").await;
    stage.gateway.node.wait_status("refused", |view| view["sync"]["disk_error"].is_string()).await;
    fs::remove_dir(&obstacle).unwrap();
    let mut connected = stage.welcome().await;
    assert_eq!(connected.hello.held, None);
    let revision = stage.push(&mut connected, Mode::Snapshot).await;
    stage.wait_on_disk(revision).await;
    stage.control_ends();
    stage.gateway.node.kill9();
    stage.gateway.node.start().await;
    stage.serves(revision, "from the disk").await;
}

/// Mounts a file system of 256 KiB at `folder`, visible to this thread and the programs that it starts.
fn small_disk(folder: &Path) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=256k,mode=700")).unwrap();
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let error = fs::write(path, vec![0; 1 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

/// Makes a route larger than the rest of the file's last page.
fn large(route: &mut model::Route) {
    let others = std::iter::repeat_with(|| format!("/{}", uuid::Uuid::new_v4()));
    route.paths.get_or_insert_default().extend(others.take(400));
}

/// Runs the calling test once more, as root of a user namespace.
fn as_root_of_a_namespace() {
    let this = std::thread::current().name().unwrap().to_owned();
    let program = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--map-root-user", "--mount"])
        .arg(program)
        .args([&this, "--exact"])
        .status();
    assert!(status.unwrap().success());
}
