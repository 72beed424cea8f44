//! Connections of PostgreSQL that answer nothing and are not reset, as after the failure of a machine or
//! behind a firewall that forgot them.

use std::time::Duration;

use control::store::{Author, Edit, Store};
use futures_util::future::{join_all, try_join_all};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::plane::DEADLINE;
use testkit::postgres::Postgres;
use testkit::wait;
use tokio::time::Instant;

use super::{insert, service};

/// All connections of the store.
const CONNECTIONS: usize = 16;
/// Less than the timeout of a statement.
const SOON: Duration = Duration::from_secs(4);

/// A server of its own with one database, and a store on it.
struct Stage {
    postgres: Postgres,
    store: Store,
    silent: Vec<Pid>,
}

impl Stage {
    async fn start() -> Self {
        let postgres = Postgres::start();
        let url = postgres.database();
        let store = Store::open(&url).await.unwrap();
        store.migrate(&url).await.unwrap();
        Self { postgres, store, silent: Vec::new() }
    }

    /// Opens a transaction on each connection.
    async fn edits(&self) -> Vec<Edit<'_>> {
        let author = Author::default();
        let edits = try_join_all((0..CONNECTIONS).map(|_| self.store.edit(&author))).await.unwrap();
        assert_eq!(self.backends().len(), CONNECTIONS);
        edits
    }

    /// The server's processes for the open connections.
    fn backends(&self) -> Vec<Pid> {
        let sql =
            "SELECT pid FROM pg_stat_activity WHERE datname = 'test_0' AND backend_type = 'client backend'";
        let pids = self.postgres.execute("postgres", sql);
        pids.lines().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
    }

    /// From now on, no connection that is open answers. New ones do.
    fn silence(&self) -> Vec<Pid> {
        let silent = self.backends();
        silent.iter().for_each(|pid| testkit::pause::stop(pid.as_raw().cast_unsigned()));
        silent
    }
}

impl Drop for Stage {
    /// A stopped process would not end with its server.
    fn drop(&mut self) {
        // One whose connection was closed may have ended.
        self.silent.iter().for_each(|pid| kill(*pid, Signal::SIGCONT).unwrap_or(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_on_a_dead_connection_gets_another_one() {
    let mut stage = Stage::start().await;
    drop(stage.edits().await);
    let idle = Instant::now();
    wait::until(DEADLINE, "long enough that a connection is tested", || {
        idle.elapsed() > Duration::from_secs(2)
    })
    .await;
    stage.silent = stage.silence();
    let begun = Instant::now();
    for answer in join_all((0..CONNECTIONS).map(|_| stage.store.ping())).await {
        answer.unwrap();
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    insert(&stage.store, &service(1, "a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_connection_that_is_released_gives_its_place_back() {
    let mut stage = Stage::start().await;
    let edits = stage.edits().await;
    let silent = stage.silence();
    let begun = Instant::now();
    drop(edits);
    stage.silent = silent;
    insert(&stage.store, &service(1, "a")).await.unwrap();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

/// Statements that time out, more than there are connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_do_not_add_up() {
    let mut stage = Stage::start().await;
    drop(stage.edits().await);
    let begun = Instant::now();
    stage.silent = stage.silence();
    // Some get a connection that answers, others fail.
    join_all((0..3 * CONNECTIONS).map(|_| stage.store.ping())).await;
    assert!(begun.elapsed() < 2 * SOON, "{:?}", begun.elapsed());
    stage.store.ping().await.unwrap();
}
