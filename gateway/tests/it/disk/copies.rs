//! Files of each kind that are damaged or foreign. The program starts, reports what it found and keeps the
//! file. It serves the good part, and receives the rest from the control plane.
//!
//! The newest file holds a snapshot of revision 3 and deltas to 4 and 5. The previous file holds a snapshot
//! of 1 and a delta to 2.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode as Permissions;
use nix::unistd::mkfifo;
use wire::Mode;

use super::Stage;

/// The damage to the files, and the expected result.
struct Kind {
    name: &'static str,
    damage: Damage,
    /// The revision that serves; `None`: none does.
    serves: Option<u64>,
    /// The text in the status and the log.
    says: &'static str,
    /// The name under which the file is kept.
    kept: &'static str,
}

/// Damage to the newest file.
enum Damage {
    Bytes(fn(&mut Vec<u8>)),
    File(fn(&Path)),
}
use Damage::{Bytes, File};

const KINDS: [Kind; 17] = [
    kind("empty", Bytes(Vec::clear), 2, "it is empty"),
    kind("cut in its first bytes", Bytes(|bytes| bytes.truncate(5)), 2, "it has 5 bytes only"),
    kind("cut in a head", Bytes(|bytes| bytes.truncate(entry(bytes, 1) + 7)), 3, "is cut short"),
    kind("cut in a body", Bytes(|bytes| bytes.truncate(entry(bytes, 2) + 40)), 4, "is cut short"),
    kind("a bit of a length", Bytes(|bytes| flip(bytes, 1, 2)), 3, "the entry at byte"),
    kind("a bit of a checksum", Bytes(|bytes| flip(bytes, 2, 9)), 4, "wrong checksum"),
    kind("a bit of a body", Bytes(|bytes| flip(bytes, 0, 90)), 2, "wrong checksum"),
    kind("other first bytes", Bytes(|bytes| bytes[0] ^= 1), 2, "its first bytes are others"),
    Kind { kept: "config.log.v9", ..kind("a later version", Bytes(|bytes| bytes[7] = 9), 2, "version 9") },
    kind("a text", File(|file| fs::write(file, "_format_version: \"3.0\"\n").unwrap()), 2, "no copy of"),
    kind("a folder", File(|file| fs::create_dir(removed(file)).unwrap()), 2, "no regular file"),
    kind("a pipe", File(|file| mkfifo(removed(file), Permissions::S_IRWXU).unwrap()), 2, "no regular file"),
    kind("longer than any copy", File(stretch), 2, "more than a copy can have"),
    kind("garbage behind it", Bytes(|bytes| bytes.extend([7; 99])), 5, "the entry at byte"),
    kind("deltas in the wrong order", Bytes(|bytes| swap(bytes)), 3, "out of order"),
    kind("no snapshot", Bytes(|bytes| drop(bytes.drain(HEAD..entry(bytes, 1)))), 2, "without a snapshot"),
    Kind {
        serves: None,
        kept: "config.log.1.damaged",
        ..kind("both files", File(both), 0, "config.log.1: the entry")
    },
];

/// Length of the head before the entries.
const HEAD: usize = 8;

const fn kind(name: &'static str, damage: Damage, serves: u64, says: &'static str) -> Kind {
    Kind { name, damage, serves: Some(serves), says, kept: "config.log.damaged" }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_found_on_disk_it_starts_says_so_and_is_brought_up_to_date() {
    let (mut stage, mut connected) = Stage::started().await;
    for mode in [Mode::Delta, Mode::Snapshot, Mode::Delta, Mode::Delta] {
        let revision = stage.push(&mut connected, mode).await;
        stage.wait_on_disk(revision).await;
    }
    stage.gateway.node.stop().await;
    stage.control_ends();
    let files =
        ["config.log", "config.log.1"].map(|name| (stage.file(name), fs::read(stage.file(name)).unwrap()));
    let (history, told) = (stage.away.clone(), stage.positions.clone());
    for kind in &KINDS {
        (stage.away, stage.positions) = (history.clone(), told.clone());
        clear(stage.gateway.state());
        files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        kind.damage.to(&stage.file("config.log"));
        let found = contents(&stage.file("config.log"));
        started_from(&mut stage, kind, found).await;
    }
}

async fn started_from(stage: &mut Stage, kind: &Kind, found: Option<Vec<u8>>) {
    let name = kind.name;
    stage.gateway.node.spawn();
    let says = |view: &serde_json::Value| {
        view["sync"]["disk_damage"].as_str().is_some_and(|text| text.contains(kind.says))
    };
    stage.gateway.node.wait_status(&format!("said to be {name}: {}", kind.says), says).await;
    if let Some(revision) = kind.serves {
        stage.gateway.node.wait_ready().await;
        stage.serves(revision, name).await;
    }
    stage.wait_log(kind.says).await;
    assert!(stage.gateway.node.metric("gibbon_config_cache_errors_total").await >= 1.0, "{name}");
    assert!(fs::symlink_metadata(stage.file(kind.kept)).is_ok(), "{name}: not kept as {}", kind.kept);
    if let Some(found) = found.filter(|_| !kind.kept.contains("log.1")) {
        assert_eq!(fs::read(stage.file(kind.kept)).unwrap(), found, "{name}: not kept as it was");
    }

    let held = kind.serves.map(|revision| stage.position(revision));
    let mut connected = stage.welcome().await;
    assert_eq!(connected.hello.held, held, "{name}");
    let mode =
        if held == Some(stage.position(stage.positions.len() as u64)) { Mode::Delta } else { Mode::Snapshot };
    let revision = stage.push(&mut connected, mode).await;
    stage.wait_on_disk(revision).await;
    stage.control_ends();
    drop(connected);
    stage.gateway.node.kill9();
    stage.gateway.node.start().await;
    stage.serves(revision, name).await;
    assert_eq!(stage.sync().await["disk_damage"], serde_json::Value::Null, "{name}");
    stage.gateway.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_be_read_is_no_reason_not_to_start() {
    let (mut stage, connected) = Stage::started().await;
    stage.gateway.node.stop().await;
    stage.control_ends();
    drop(connected);
    fs::set_permissions(stage.file("config.log"), fs::Permissions::from_mode(0o000)).unwrap();
    stage.gateway.node.spawn();
    let connected = stage.welcome().await;
    // Root can read it all the same.
    let root = nix::unistd::geteuid().is_root();
    assert_eq!(connected.hello.held, root.then(|| stage.position(1)));
}

/// The contents of an ordinary file of an ordinary length.
fn contents(file: &Path) -> Option<Vec<u8>> {
    let found = fs::metadata(file).unwrap();
    (found.is_file() && found.len() < 1 << 20).then(|| fs::read(file).unwrap())
}

impl Damage {
    fn to(&self, file: &Path) {
        match self {
            Bytes(damage) => edit(file, damage),
            File(damage) => damage(file),
        }
    }
}

/// Where the entry with this number begins.
fn entry(bytes: &[u8], number: usize) -> usize {
    (0..number).fold(HEAD, |at, _| {
        let len = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        at + 4 + 16 + len as usize
    })
}

/// Flips one bit at this offset in the entry with this number.
fn flip(bytes: &mut [u8], number: usize, into: usize) {
    let at = entry(bytes, number) + into;
    bytes[at] ^= 4;
}

fn swap(bytes: &mut [u8]) {
    let (first, second) = (entry(bytes, 1), entry(bytes, 2));
    bytes[first..].rotate_left(second - first);
}

fn stretch(file: &Path) {
    fs::File::options().write(true).open(file).unwrap().set_len(2 << 30).unwrap();
}

fn both(file: &Path) {
    for file in [PathBuf::from(file), file.with_extension("log.1")] {
        edit(&file, |bytes| flip(bytes, 0, 40));
    }
}

fn removed(file: &Path) -> &Path {
    fs::remove_file(file).unwrap();
    file
}

fn edit(file: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    edit(&mut bytes);
    fs::write(file, bytes).unwrap();
}

/// Removes all but the node id.
fn clear(state: &Path) {
    for entry in fs::read_dir(state).unwrap().flatten() {
        if entry.path().is_dir() {
            fs::remove_dir(entry.path()).unwrap();
        } else if entry.file_name() != "node_id" {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}
