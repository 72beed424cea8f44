//! Writers that note their answers, and the comparison of their notes with database and data plane.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::http::{Client, Response};
use testkit::plane::{DEADLINE, Planes};
use testkit::wait;

use super::in_sync;

/// What a database server may take to recover from its log on a busy machine.
const RECOVERY: Duration = Duration::from_secs(60);
/// After a failure, before the next write.
const PAUSE: Duration = Duration::from_millis(20);

/// Routes by name, each with the versions it may be in; `None` is no route. It has several if the answer to
/// its last write was an error or got lost: then nobody writes to it any more.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    routes: Mutex<BTreeMap<String, Vec<Option<u32>>>>,
    next: AtomicU32,
    over: AtomicBool,
    written: AtomicU32,
    refused: AtomicU32,
}

impl Ledger {
    /// The service of all routes.
    pub(super) async fn prepare(&self, planes: &Planes) {
        let service = json!({ "name": "kept", "url": planes.origin.url() });
        planes.control.admin().post("/services", &service).await.unwrap().expect(201);
    }

    /// Starts this many writers, until [`Ledger::stop`].
    pub(super) async fn write(&self, admin: &Client, writers: usize) {
        self.over.store(false, Ordering::Relaxed);
        futures_util::future::join_all((0..writers).map(|_| self.writer(admin))).await;
    }

    /// Lets the writers end.
    pub(super) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether [`Ledger::stop`] was called.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Returns how many writes were answered with 2xx, and how many with 503.
    pub(super) fn answers(&self) -> (u32, u32) {
        (self.written.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// Waits until this many more writes are answered with 2xx. The deadline is that of each write: on a busy
    /// machine, all of them together take longer.
    pub(super) async fn wait_written(&self, more: u32) {
        let enough = self.answers().0 + more;
        loop {
            let written = self.answers().0;
            if written >= enough {
                return;
            }
            wait::until(RECOVERY, "the writes do not go on", || self.answers().0 > written).await;
        }
    }

    /// Waits until the data plane holds the published configuration. Then checks that the database has, and
    /// the data plane serves, the acknowledged writes and nothing else.
    pub(super) async fn check(&self, planes: &Planes) {
        in_sync(&planes.control, &planes.gateway).await;
        wait::eventually(DEADLINE, || async {
            // A commit whose control plane is dead may end only now.
            let before = in_sync(&planes.control, &planes.gateway).await;
            let rows = all_routes(&planes.control.admin()).await?;
            self.compare(&rows);
            let wrong = self.unlike(&rows, &planes.gateway.proxy()).await?;
            let after = in_sync(&planes.control, &planes.gateway).await;
            // The publisher finds a commit without an answer at its next look at the database.
            ensure!(wrong.is_empty(), "not served as in the database, {before} to {after}: {wrong:?}");
            Ok(())
        })
        .await;
    }

    /// Creates a route, changes it twice, and deletes two of three.
    async fn writer(&self, admin: &Client) {
        while !self.over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let name = format!("r{number}");
            let done = async {
                let made = admin.post("/services/kept/routes", &route(&name, 0)).await;
                self.note(&name, Some(0), made)?;
                for version in 1..=2 {
                    let changed = admin.patch(&format!("/routes/{name}"), &route(&name, version)).await;
                    self.note(&name, Some(version), changed)?;
                }
                if !number.is_multiple_of(3) {
                    let gone = admin.delete(&format!("/routes/{name}")).await;
                    self.note(&name, None, gone)?;
                }
                anyhow::Ok(())
            };
            if done.await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// An error ends the writes to this route.
    fn note(&self, name: &str, to: Option<u32>, answer: Result<Response>) -> Result<()> {
        let mut routes = self.routes.lock().unwrap();
        let versions = routes.entry(name.to_owned()).or_insert_with(|| vec![None]);
        let status = answer.as_ref().map_or(0, |response| response.status);
        if matches!(status, 200..300) {
            self.written.fetch_add(1, Ordering::Relaxed);
            *versions = vec![to];
            return Ok(());
        }
        versions.push(to);
        let response = answer?;
        assert_eq!(status, 503, "{}", response.text());
        self.refused.fetch_add(1, Ordering::Relaxed);
        anyhow::bail!("refused")
    }

    /// Checks that every route is, as a whole, in a version that it may be in, and that there is no other
    /// route.
    fn compare(&self, rows: &BTreeMap<String, Value>) {
        let ledger = self.routes.lock().unwrap();
        for name in rows.keys() {
            assert!(ledger.contains_key(name), "nobody wrote {name}");
        }
        for (name, versions) in ledger.iter() {
            let found = rows.get(name);
            let like = |version: &Option<u32>| match (version, found) {
                (None, None) => true,
                (Some(version), Some(row)) => is(row, name, *version),
                _ => false,
            };
            assert!(versions.iter().any(like), "{name} may be in {versions:?} and is {found:?}");
        }
    }

    /// Returns the newest routes that the proxy serves otherwise than these rows say.
    async fn unlike(&self, rows: &BTreeMap<String, Value>, proxy: &Client) -> Result<Vec<String>> {
        let next = self.next.load(Ordering::Relaxed);
        let mut wrong = Vec::new();
        for name in (next.saturating_sub(NEWEST)..next).map(|number| format!("r{number}")) {
            for version in 0..=2 {
                let expected = match rows.get(&name) {
                    Some(row) if is(row, &name, version) => 200,
                    _ => 404,
                };
                let status = proxy.get(&path(&name, version)).await?.status;
                if status != expected {
                    wrong.push(format!("{name} in version {version}: {status}"));
                }
            }
        }
        Ok(wrong)
    }
}

/// Routes that are requested one by one; for the others, the roots show that they are equal.
const NEWEST: u32 = 100;

/// Each version differs in two fields, which must be written together.
fn route(name: &str, version: u32) -> Value {
    json!({ "name": name, "paths": [path(name, version)], "tags": [format!("v{version}")] })
}

fn is(row: &Value, name: &str, version: u32) -> bool {
    let expected = route(name, version);
    ["name", "paths", "tags"].iter().all(|field| row[field] == expected[field])
}

/// Ends in a slash, so that `/r1/` is no prefix of `/r10/`.
fn path(name: &str, version: u32) -> String {
    format!("/{name}/{version}/")
}

/// Returns the routes by name; routes without one are not from this test.
async fn all_routes(admin: &Client) -> Result<BTreeMap<String, Value>> {
    let mut rows = BTreeMap::new();
    let mut target = "/routes?size=1000".to_owned();
    loop {
        let page = admin.get(&target).await?.expect(200).json();
        for row in page["data"].as_array().unwrap() {
            if let Some(name) = row["name"].as_str() {
                rows.insert(name.to_owned(), row.clone());
            }
        }
        match page["next"].as_str() {
            Some(next) => target = format!("{next}&size=1000"),
            None => return Ok(rows),
        }
    }
}
