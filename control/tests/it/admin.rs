//! The Admin API of the real program, on both databases.

mod authorities;
mod bad;
mod bodies;
mod bounds;
mod certificates;
mod concurrent;
mod config;
mod consumers;
mod credentials;
mod crud;
mod history;
mod info;
mod kong;
mod lists;
mod migrated;
mod named;
mod nested;
mod order;
mod outage;
mod paths;
mod plugins;
mod proxy_cache;
mod route_match;
mod schemas;
mod secrets;
mod targets;
mod upstreams;

use serde_json::Value;
use tempfile::TempDir;
use testkit::certs;
use testkit::http::{Client, Response};
use testkit::plane::{Control, Database};

/// A running control plane and a client of its Admin API.
struct Admin {
    control: Control,
    client: Client,
    _pair: TempDir,
}

impl Admin {
    async fn start(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = certs::valid(folder.path(), "cluster");
        let mut control = Control::new(database, &pair);
        control.node.start().await;
        let client = control.admin();
        Self { control, client, _pair: folder }
    }

    async fn get(&self, target: &str) -> Response {
        self.client.get(target).await.unwrap()
    }

    async fn post(&self, target: &str, body: &Value) -> Response {
        self.client.post(target, body).await.unwrap()
    }

    async fn put(&self, target: &str, body: &Value) -> Response {
        self.client.put(target, body).await.unwrap()
    }

    async fn patch(&self, target: &str, body: &Value) -> Response {
        self.client.patch(target, body).await.unwrap()
    }

    async fn delete(&self, target: &str) -> Response {
        self.client.delete(target).await.unwrap()
    }

    /// Returns the published revision, once it is at least this one.
    async fn published(&self, least: u64) -> u64 {
        testkit::wait::eventually(testkit::plane::DEADLINE, || async {
            let config = self.client.get("/clustering/config").await.map_err(|error| format!("{error:#}"))?;
            let revision = config.json()["revision"].as_u64().ok_or("no revision")?;
            if revision >= least { Ok(revision) } else { Err(format!("only {revision}")) }
        })
        .await
    }

    async fn stop(mut self) {
        self.control.node.stop().await;
    }
}

/// Returns the revision of a write.
fn revision(response: &Response) -> u64 {
    response.header("gibbon-revision").expect("a write tells its revision").parse().unwrap()
}

/// Runs each test on both databases.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                let admin = crate::admin::Admin::start(testkit::plane::Database::Sqlite).await;
                super::$test(&admin).await;
                admin.stop().await;
            })+
        }
        mod postgresql {
            $(#[tokio::test]
            async fn $test() {
                let admin = crate::admin::Admin::start(testkit::plane::Database::Postgres).await;
                super::$test(&admin).await;
                admin.stop().await;
            })+
        }
    };
}
use on_both_databases;
