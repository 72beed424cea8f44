//! The control plane or its database is killed at any moment under writes. A write that was answered with 2xx
//! is there, in the database and on the data plane. Any other write is there as a whole or not at all, and
//! nothing else is.

use std::time::Duration;

use testkit::plane::{Database, Planes};
use testkit::postgres::Postgres;
use tokio::time::sleep;

use super::ledger::Ledger;
use super::{Traffic, count};

const WRITERS: usize = 4;
/// The latest moment of a kill; a write takes some milliseconds.
const MOMENTS: u64 = 250;
/// Timeout of an answer while the database does not answer. It is the store's deadline, once for the lock and
/// once for the query, and the machine's slack.
const TIMEOUT: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_control_plane_loses_nothing_on_sqlite() {
    kill_rounds(Planes::start(Database::Sqlite).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_control_plane_loses_nothing_on_postgresql() {
    let postgres = Postgres::start_durable();
    kill_rounds(on(&postgres).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_fails_under_writes_loses_nothing() {
    let mut postgres = Postgres::start_durable();
    let planes = on(&postgres).await;
    let ledger = Ledger::default();
    ledger.prepare(&planes).await;
    planes.serve("/steady").await;
    let traffic = Traffic::start(&planes.gateway.proxy(), "/steady", 2);
    let admin = planes.control.admin().with_deadline(TIMEOUT);
    for _ in 0..count("GIBBON_TEST_ROUNDS", 2).min(5) {
        let fails_and_recovers = async {
            sleep(moment()).await;
            let crash = tokio::task::spawn_blocking(move || {
                postgres.crash();
                // The writers shall notice that it is gone.
                std::thread::sleep(Duration::from_millis(100));
                postgres.start_again();
                postgres
            });
            let postgres = crash.await.unwrap();
            ledger.wait_written(100).await;
            ledger.stop();
            postgres
        };
        ((), postgres) = tokio::join!(ledger.write(&admin, WRITERS), fails_and_recovers);
        ledger.check(&planes).await;
    }
    let (written, refused) = ledger.answers();
    assert!(refused > 0, "the writers noticed nothing");
    eprintln!("{written} written, {refused} refused, {} served meanwhile", traffic.end().await);
}

async fn kill_rounds(mut planes: Planes) {
    let ledger = Ledger::default();
    ledger.prepare(&planes).await;
    for _ in 0..count("GIBBON_TEST_ROUNDS", 5) {
        let admin = planes.control.admin();
        let killed = async {
            sleep(moment()).await;
            planes.control.node.kill9();
            ledger.stop();
        };
        tokio::join!(ledger.write(&admin, WRITERS), killed);
        planes.control.node.start().await;
        ledger.check(&planes).await;
    }
    eprintln!("{} written", ledger.answers().0);
}

/// A control plane on a server of its own, and a data plane.
async fn on(postgres: &Postgres) -> Planes {
    let mut planes = Planes::new(Database::Sqlite);
    planes.control.node.set("database.url", postgres.database());
    planes.control.node.start().await;
    planes.gateway.node.start().await;
    planes
}

fn moment() -> Duration {
    Duration::from_millis(rand::random_range(0..MOMENTS))
}
