//! The file of a SQLite database: its mode, and what happens when it is deleted or replaced under the control
//! plane.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::plane::{Database, Planes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_file_refuses_writes() {
    gone(|file| fs::remove_file(file).unwrap(), &["was deleted"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_file_refuses_writes() {
    let replace = |file: &Path| {
        let copy = file.with_extension("copy");
        fs::copy(file, &copy).unwrap();
        fs::rename(copy, file).unwrap();
    };
    gone(replace, &["was replaced"]).await;
}

/// The last write is only in the log beside the file. SQLite makes a new log when it opens a further connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_log_of_the_file_refuses_writes() {
    gone(|file| fs::remove_file(beside(file, "-wal")).unwrap(), &["was deleted", "was replaced"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_for_their_owner_alone_whatever_they_were_before() {
    let mut planes = Planes::new(Database::Sqlite);
    let folder = planes.control.data().join("made/deeper");
    planes.control.node.set("data_dir", folder.display());
    planes.control.node.start().await;
    let file = folder.join("gibbon.sqlite");
    assert_eq!((mode(&folder), mode(&folder.join(".."))), (0o700, 0o700));
    let all = ["", "-wal", "-shm"].map(|suffix| beside(&file, suffix));
    all.iter().for_each(|file| assert_eq!(mode(file), 0o600, "{}", file.display()));
    planes.control.node.kill9();
    all.iter().for_each(|file| fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap());
    planes.control.node.start().await;
    all.iter().for_each(|file| assert_eq!(mode(file), 0o600, "{}", file.display()));
}

async fn gone(take_away: impl Fn(&Path), what: &[&str]) {
    let mut planes = Planes::new(Database::Sqlite);
    planes.control.node.start().await;
    let admin = planes.control.admin();
    let body = |name: &str| json!({ "name": name, "host": "x" });
    let says = |text: &str| what.iter().any(|what| text.contains(what));
    admin.post("/services", &body("a")).await.unwrap().expect(201);
    take_away(&planes.control.data().join("gibbon.sqlite"));
    for name in ["b", "c"] {
        let refused = admin.post("/services", &body(name)).await.unwrap().expect(503);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(says(&message) && message.contains("gibbon.sqlite"), "{message}");
    }
    let ready = planes.control.node.status().get("/status/ready").await.unwrap().expect(503);
    assert!(says(&ready.text()), "{}", ready.text());
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
