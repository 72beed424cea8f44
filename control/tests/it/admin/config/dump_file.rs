//! The file of `gibbon-control config dump -o`: what is there is written, not replaced by something else.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::json;
use testkit::plane::Database;
use tokio::process::Command;
use tokio::time::timeout;

use super::Admin;

const SOON: Duration = Duration::from_secs(20);

async fn dump(admin: &Admin, file: &Path) -> Output {
    let url = format!("http://{}", admin.client.address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_gibbon-control"));
    command.args(["config", "dump", "--admin", &url, "-o"]).arg(file).stdin(Stdio::null());
    timeout(SOON, command.kill_on_drop(true).output()).await.expect("it ends").unwrap()
}

#[track_caller]
fn assert_dumped(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o7777
}

/// Starts a control plane whose configuration has one service.
async fn with_a_service() -> Admin {
    let admin = Admin::start(Database::Sqlite).await;
    admin.post("/services", &json!({ "name": "orders", "host": "x" })).await.expect(201);
    admin
}

#[tokio::test]
async fn file_keeps_its_mode_and_a_new_one_is_private() {
    let (admin, folder) = (with_a_service().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("kong.yaml");
    assert_dumped(&dump(&admin, &file).await);
    assert_eq!(mode(&file), 0o600);
    for kept in [0o600, 0o640, 0o666] {
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(kept)).unwrap();
        assert_dumped(&dump(&admin, &file).await);
        assert_eq!(mode(&file), kept);
        assert!(fs::read_to_string(&file).unwrap().contains("orders"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    admin.stop().await;
}

#[tokio::test]
async fn failed_dump_leaves_the_file() {
    let (admin, folder) = (with_a_service().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("kong.yaml");
    fs::write(&file, "before").unwrap();
    let url = format!("http://{}", admin.client.address());
    let refused = Command::new(env!("CARGO_BIN_EXE_gibbon-control"))
        .args(["config", "dump", "--admin", &url, "--select-tag", "a,b", "-o"])
        .arg(&file)
        .status();
    assert!(!refused.await.unwrap().success());
    admin.stop().await;
    let stopped = Command::new(env!("CARGO_BIN_EXE_gibbon-control"))
        .args(["config", "dump", "--admin", &url, "-o"])
        .arg(&file)
        .status();
    assert!(!stopped.await.unwrap().success());
    assert_eq!(fs::read_to_string(&file).unwrap(), "before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[tokio::test]
async fn symbolic_links_stay() {
    let (admin, folder) = (with_a_service().await, tempfile::tempdir().unwrap());
    let (real, links) = (folder.path().join("real"), folder.path().join("links"));
    fs::create_dir(&real).unwrap();
    fs::create_dir(&links).unwrap();
    let (held, link) = (real.join("held.yaml"), links.join("held.yaml"));
    fs::write(&held, "before").unwrap();
    fs::set_permissions(&held, Permissions::from_mode(0o640)).unwrap();
    symlink("../real/held.yaml", &link).unwrap();
    let second = links.join("second.yaml");
    symlink("held.yaml", &second).unwrap();
    for link in [&link, &second] {
        fs::write(&held, "before").unwrap();
        assert_dumped(&dump(&admin, link).await);
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
        assert!(fs::symlink_metadata(&held).unwrap().is_file());
        assert_eq!(mode(&held), 0o640);
        assert!(fs::read_to_string(&held).unwrap().contains("orders"));
    }
    // One that leads to nothing makes no file.
    let dangling = links.join("new.yaml");
    symlink("../real/new.yaml", &dangling).unwrap();
    assert!(!dump(&admin, &dangling).await.status.success());
    assert_eq!((fs::read_dir(&links).unwrap().count(), fs::read_dir(&real).unwrap().count()), (3, 1));
    admin.stop().await;
}

#[tokio::test]
async fn fifo_is_written_and_stays() {
    let (admin, folder) = (with_a_service().await, tempfile::tempdir().unwrap());
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().await.unwrap().success());
    // A process of its own: a reader that waits for the writer could not be ended.
    let reader = Command::new("cat").arg(&fifo).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    assert_dumped(&dump(&admin, &fifo).await);
    let read = timeout(SOON, reader.wait_with_output()).await.expect("the dump ends").unwrap();
    assert!(String::from_utf8(read.stdout).unwrap().contains("orders"));
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    admin.stop().await;
}
