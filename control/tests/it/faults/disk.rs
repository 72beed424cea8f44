//! The database's disk fails under writes: a full disk, failed writes, failed syncs. A write that was
//! answered with 2xx is there after a restart. The published configuration is never ahead of the database.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use sea_orm::EntityTrait;
use serde_json::json;
use testkit::plane::{Database, Planes};
use testkit::postgres::Postgres;
use testkit::tracer::Tracer;
use testkit::wait;
use tokio::time::sleep;

use super::ledger::Ledger;
use super::{count, in_sync, in_sync_at};

const WRITERS: usize = 4;
/// The maximum duration of the fault in each round, in milliseconds.
const FAILING: u64 = 300;
/// The store's deadline for the lock, the statement, the commit and its look-up, and the machine's slack.
const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_syncs_lose_no_acknowledged_write_on_sqlite() {
    failing_calls("fsync,fdatasync:error=EIO").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_writes_lose_no_acknowledged_write_on_sqlite() {
    failing_calls("pwrite64:error=EIO").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_fail_now_and_then_lose_no_acknowledged_write_on_sqlite() {
    failing_calls("pwrite64:error=ENOSPC:when=7+7").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_syncs_lose_no_acknowledged_write_on_postgresql() {
    let postgres = Managed::start();
    let mut planes = Planes::new(Database::Sqlite);
    let url = postgres.server.lock().unwrap().database();
    planes.control.node.set("database.url", &url);
    rounds_of(&mut planes, &url, count("GIBBON_TEST_ROUNDS", 2), async |_| {
        let pids = postgres.server.lock().unwrap().pids();
        let tracer = Tracer::inject_all(&pids, "fsync,fdatasync:error=EIO").await;
        sleep(moment()).await;
        drop(tracer);
    })
    .await;
}

/// A durable PostgreSQL that is started again when it ends, as by a service manager: its recovery may meet the
/// failing disk, too.
struct Managed {
    server: Arc<Mutex<Postgres>>,
    over: Arc<AtomicBool>,
    manager: Option<thread::JoinHandle<()>>,
}

impl Managed {
    fn start() -> Self {
        let server = Arc::new(Mutex::new(Postgres::start_durable()));
        let over = Arc::new(AtomicBool::new(false));
        let (managed, ends) = (server.clone(), over.clone());
        let manager = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                managed.lock().unwrap().revive();
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { server, over, manager: Some(manager) }
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(manager) = self.manager.take() {
            manager.join().ok();
        }
    }
}

/// A sync that does not return: COMMIT has no answer, and its lock is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_hangs_has_an_unknown_outcome_on_sqlite() {
    let planes = Planes::start(Database::Sqlite).await;
    planes.serve("/steady").await;
    let before = in_sync(&planes.control, &planes.gateway).await;
    let admin = planes.control.admin().with_deadline(TIMEOUT);
    let tracer = Tracer::inject(planes.control.node.pid(), "fsync,fdatasync:delay_enter=100s").await;
    let hung = json!({ "name": "hung", "paths": ["/hung"] });
    let answer = admin.post("/routes", &hung).await.unwrap().expect(503);
    assert!(answer.text().contains("did not say whether it committed"), "{}", answer.text());
    assert_eq!(in_sync(&planes.control, &planes.gateway).await, before, "nothing is published");
    drop(tracer);
    let after = wait::eventually(TIMEOUT, || async {
        let answer = admin.post("/routes", &json!({ "paths": ["/after"] })).await?;
        anyhow::ensure!(answer.status == 201, "{}", answer.text());
        Ok(answer.header("gibbon-revision").unwrap().parse().unwrap())
    })
    .await;
    in_sync_at(&planes.control, &planes.gateway, after).await;
    // The routes have no service.
    let is_stored = admin.get("/routes/hung").await.unwrap().status == 200;
    planes.gateway.proxy().get("/hung").await.unwrap().expect(if is_stored { 503 } else { 404 });
    assert_eq!(after, before + 1 + u64::from(is_stored));
}

/// On one thread, which has a mount namespace of its own: the disk vanishes with it, however it ends.
#[tokio::test(flavor = "current_thread")]
async fn full_disk_loses_no_acknowledged_write_on_sqlite() {
    if !nix::unistd::geteuid().is_root() {
        return as_root_of_a_namespace();
    }
    let mut planes = Planes::new(Database::Sqlite);
    small_disk(planes.control.data());
    let filler = planes.control.data().join("filler");
    let url = planes.control.database();
    rounds_of(&mut planes, &url, count("GIBBON_TEST_ROUNDS", 3), async |_| {
        fill(&filler);
        sleep(moment()).await;
        fs::remove_file(&filler).unwrap();
    })
    .await;
}

async fn failing_calls(inject: &str) {
    let mut planes = Planes::new(Database::Sqlite);
    let url = planes.control.database();
    rounds_of(&mut planes, &url, count("GIBBON_TEST_ROUNDS", 3), async |pid| {
        let tracer = Tracer::inject(pid, inject).await;
        sleep(moment()).await;
        drop(tracer);
    })
    .await;
}

/// In each round the disk fails for a moment under writes, and recovers; every other round ends with a kill.
async fn rounds_of(planes: &mut Planes, url: &str, rounds: u32, fail: impl AsyncFn(u32)) {
    planes.control.node.start().await;
    planes.gateway.node.start().await;
    let ledger = Ledger::default();
    ledger.prepare(planes).await;
    for round in 0..rounds {
        let admin = planes.control.admin().with_deadline(TIMEOUT);
        let fails_and_recovers = async {
            ledger.wait_written(5).await;
            fail(planes.control.node.pid()).await;
            ledger.wait_written(5).await;
            ledger.stop();
        };
        tokio::join!(ledger.write(&admin, WRITERS), fails_and_recovers, never_ahead(planes, url, &ledger));
        in_sync(&planes.control, &planes.gateway).await;
        if round % 2 == 0 {
            planes.control.node.kill9();
            planes.control.node.start().await;
        }
        ledger.check(planes).await;
    }
    let (written, refused) = ledger.answers();
    assert!(refused > 0, "the writers noticed nothing");
    eprintln!("{written} written, {refused} refused");
}

/// A published revision was committed before: the database is read after it.
async fn never_ahead(planes: &Planes, url: &str, ledger: &Ledger) {
    // The server may still be about to end for the fault of the round before.
    let database = wait::eventually(TIMEOUT, || sea_orm::Database::connect(url)).await;
    while !ledger.is_over() {
        sleep(Duration::from_millis(20)).await;
        let Ok(published) = planes.control.admin().get("/clustering/config").await else { continue };
        let published = published.expect(200).json()["revision"].as_i64().unwrap();
        let Ok(head) = entity::config_head::Entity::find_by_id(1).one(&database).await else { continue };
        let committed = head.unwrap().revision;
        assert!(committed >= published, "{published} is published, {committed} is committed");
    }
    database.close().await.ok();
}

fn moment() -> Duration {
    Duration::from_millis(rand::random_range(50..FAILING))
}

/// Mounts a file system of 8 MB on `folder`, for this thread and the programs that it starts.
fn small_disk(folder: &Path) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=8m,mode=700")).unwrap();
}

/// Writes until the disk is full.
fn fill(path: &Path) {
    let error = fs::write(path, vec![0; 8 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

/// Runs this test as root of a user namespace. A machine without them fails it: the fault would stay
/// untested.
fn as_root_of_a_namespace() {
    let this = std::thread::current().name().unwrap().to_owned();
    let program = std::env::current_exe().unwrap();
    let mut again = Command::new("unshare");
    again.args(["--map-root-user", "--mount"]).arg(program).args([&this, "--exact"]);
    let status = again.status().expect("unshare is installed");
    assert!(status.success(), "{this} needs root or user namespaces");
}
