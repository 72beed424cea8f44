//! The memory of an update while it is applied and written to the disk.

use std::fs;

use bytes::Bytes;
use uuid::Uuid;
use wire::{Key, Kind, Mode};

use crate::control_plane::{Connected, FakeControlPlane};
use testkit::certs;
use testkit::plane::Gateway;
use testkit::ports;

/// Length of the snapshot in bytes, decoded. Two thirds of the largest snapshot take a minute without
/// optimisation: `GIBBON_TEST_SNAPSHOT_MB=700`.
fn snapshot_len() -> usize {
    std::env::var("GIBBON_TEST_SNAPSHOT_MB").map_or(64, |len| len.parse().unwrap()) << 20
}
const RECORD: usize = 64 << 10;

/// The update is read out of the decompressor: neither the payload nor copies of the received bytes are in
/// memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_snapshot_takes_little_more_memory_than_what_was_received() {
    let folder = tempfile::tempdir().unwrap();
    let pair = certs::valid(folder.path(), "cluster");
    let port = ports::reserve();
    let mut control = FakeControlPlane::listen(port.address(), &pair).await;
    let mut gateway = Gateway::at(&port.to_string(), &pair);
    gateway.node.spawn();
    let mut connected: Connected = control.welcome().await;
    // Of a kind that the data plane only hashes, so that the table does not count.
    let records: Vec<_> = (0..snapshot_len() / RECORD).map(|id| (key(id), Some(value(id)))).collect();
    let update = control.history.update(Mode::Snapshot, &records);
    drop(records);
    let (pid, decoded) = (gateway.node.pid(), update.header.decoded_len);
    // Peak memory counts from here on (proc_pid_clear_refs(5)).
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let before = kib(pid, "VmHWM:");
    connected.update(&update).await.unwrap();
    gateway.node.wait_status("on disk", |view| view["sync"]["disk_revision"] == 1).await;
    let grown = (kib(pid, "VmHWM:") - before) << 10;
    let (encoded, ratio) = (update.encoded_len(), grown as f64 / decoded as f64);
    println!("{decoded} bytes, {encoded} as sent, took {grown} at most: {ratio:.2} of the decoded length");
    assert!(
        grown < 2 * encoded + decoded / 8 + (24 << 20),
        "{grown} bytes for {encoded} received, {decoded} decoded"
    );
}

fn key(id: usize) -> Key {
    Key { kind: Kind(199), id: Uuid::from_u128(id as u128) }
}

/// A value that compresses to an eighth.
fn value(id: usize) -> Bytes {
    let mut seed = id as u64 + 1;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    });
    let block: Vec<u8> = noise.take(RECORD / 8).collect();
    block.repeat(8).into()
}

fn kib(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
