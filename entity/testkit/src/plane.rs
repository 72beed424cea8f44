//! A whole installation of the real programs: a control plane, data planes, an origin.
//!
//! Environment variables set everything, so that a test adds a key with [`Node::set`] and starts the program
//! again. Data is in temporary folders that outlive a restart and are removed with the plane.

mod node;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certs::{self, Pair};
use crate::http::Client;
use crate::origin::Origin;
use crate::ports::{self, Port};
use crate::postgres;
use crate::process::Program;
use crate::wait;

pub use node::Node;

/// The deadline of a start, a stop, or a change's way to a data plane, on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The database of a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file in its data folder.
    Sqlite,
    /// A new database in the server that the tests of this process share.
    Postgres,
}

/// One control plane, one data plane, one origin, and the pair by which the planes trust each other.
#[derive(Debug)]
pub struct Planes {
    /// The control plane.
    pub control: Control,
    /// The data plane.
    pub gateway: Gateway,
    /// The upstream of the data plane.
    pub origin: Origin,
    /// The cluster's key pair.
    pub pair: Pair,
    /// The folder of the pair; for further pairs.
    pub folder: TempDir,
}

/// A control plane.
#[derive(Debug)]
pub struct Control {
    /// The program.
    pub node: Node,
    admin: Port,
    cluster: Port,
    data: TempDir,
    /// The URL of its PostgreSQL database, if it has one.
    postgres: Option<String>,
}

/// A data plane.
#[derive(Debug)]
pub struct Gateway {
    /// The program.
    pub node: Node,
    proxy: Port,
    state: TempDir,
}

impl Planes {
    /// Starts everything and waits until both planes are ready.
    ///
    /// # Panics
    ///
    /// When one does not become ready: with its log.
    pub async fn start(database: Database) -> Self {
        let mut planes = Self::new(database);
        planes.control.node.start().await;
        planes.gateway.node.start().await;
        planes
    }

    /// Makes an installation whose planes are not started yet.
    ///
    /// # Panics
    ///
    /// Those of [`Control::new`].
    pub fn new(database: Database) -> Self {
        let folder = folder();
        let pair = certs::valid(folder.path(), "cluster");
        let control = Control::new(database, &pair);
        let gateway = Gateway::new(&[&control], &pair);
        Self { control, gateway, origin: Origin::start(), pair, folder }
    }

    /// Makes another data plane of the same control plane, started and ready.
    ///
    /// # Panics
    ///
    /// Those of [`Planes::start`].
    pub async fn another_gateway(&self) -> Gateway {
        let mut gateway = Gateway::new(&[&self.control], &self.pair);
        gateway.node.start().await;
        gateway
    }

    /// Makes a service for the origin with a route at this path, and waits until the data plane serves it.
    ///
    /// # Panics
    ///
    /// The Admin API rejects it, or the route does not arrive.
    pub async fn serve(&self, path: &str) {
        self.create_route(path).await.unwrap_or_else(|error| panic!("{error:#}"));
        self.gateway.wait_for(path, 200).await;
    }

    async fn create_route(&self, path: &str) -> Result<()> {
        let admin = self.control.admin();
        let service = created(&admin, "/services", &json!({ "url": self.origin.url() })).await?;
        let id = service["id"].as_str().context("a service without id")?;
        created(&admin, &format!("/services/{id}/routes"), &json!({ "paths": [path] })).await?;
        Ok(())
    }
}

impl Control {
    /// Makes a control plane that is not started yet.
    ///
    /// # Panics
    ///
    /// When no port or folder is free, or PostgreSQL does not start.
    pub fn new(database: Database, pair: &Pair) -> Self {
        Self::on((database == Database::Postgres).then(|| postgres::shared().database()), pair)
    }

    fn on(postgres: Option<String>, pair: &Pair) -> Self {
        let (admin, cluster, data) = (ports::reserve(), ports::reserve(), folder());
        let mut node = Node::new("the control plane", Program::control);
        node.set("data_dir", data.path().display());
        node.set("admin.listen", &admin);
        node.set("cluster.listen", &cluster);
        node.set_pair(pair);
        if let Some(url) = &postgres {
            node.set("database.url", url);
        }
        Self { node, admin, cluster, data, postgres }
    }

    /// Makes another control plane on the same PostgreSQL database, not started yet.
    ///
    /// # Panics
    ///
    /// The database is not a PostgreSQL; else those of [`Control::new`].
    pub fn beside(&self, pair: &Pair) -> Self {
        let url = self.postgres.clone().expect("the database is a PostgreSQL");
        Self::on(Some(url), pair)
    }

    /// A client of the Admin API.
    pub fn admin(&self) -> Client {
        Client::new(self.admin.address())
    }

    /// The URL of its database, unless a test has set another.
    pub fn database(&self) -> String {
        let file = || format!("sqlite://{}", self.data.path().join("gibbon.sqlite").display());
        self.postgres.clone().unwrap_or_else(file)
    }

    /// The port for data planes.
    pub fn cluster(&self) -> &Port {
        &self.cluster
    }

    /// Runs SQL in the database, without the Admin API. Returns what it selects.
    ///
    /// # Panics
    ///
    /// When its database is not a PostgreSQL, or rejects the SQL.
    pub fn execute(&self, sql: &str) -> String {
        let url = self.postgres.as_deref().expect("the database is a PostgreSQL");
        let (_, name) = url.rsplit_once('/').expect("a database's URL ends with its name");
        postgres::shared().execute(name, sql)
    }

    /// The data folder.
    pub fn data(&self) -> &std::path::Path {
        self.data.path()
    }
}

impl Gateway {
    /// Makes a data plane of these control planes that is not started yet.
    ///
    /// # Panics
    ///
    /// When a port or a folder is not free.
    pub fn new(controls: &[&Control], pair: &Pair) -> Self {
        let addresses: Vec<_> = controls.iter().map(|control| control.cluster.to_string()).collect();
        Self::at(&addresses.join(","), pair)
    }

    /// Makes a data plane of the control planes at these addresses, `host:port` with commas between them.
    ///
    /// # Panics
    ///
    /// Those of [`Gateway::new`].
    pub fn at(control_planes: &str, pair: &Pair) -> Self {
        let (proxy, state) = (ports::reserve(), folder());
        let mut node = Node::new("the data plane", Program::gateway);
        node.set("state_dir", state.path().display());
        node.set("proxy.listen", &proxy);
        node.set("cluster.control_planes", control_planes);
        node.set_pair(pair);
        Self { node, proxy, state }
    }

    /// A client of the proxy.
    pub fn proxy(&self) -> Client {
        Client::new(self.proxy.address())
    }

    /// The address of the proxy.
    pub fn proxy_address(&self) -> std::net::SocketAddr {
        self.proxy.address()
    }

    /// The folder of its node id and its copy of the configuration.
    pub fn state(&self) -> &std::path::Path {
        self.state.path()
    }

    /// Waits until a `GET` of this path answers with this status.
    ///
    /// # Panics
    ///
    /// When the deadline passes.
    pub async fn wait_for(&self, path: &str, status: u16) {
        let client = self.proxy();
        wait::eventually(DEADLINE, || async {
            let response = client.get(path).await?;
            ensure!(response.status == status, "GET {path}: {} {}", response.status, response.text());
            Ok(())
        })
        .await;
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("gibbon-plane").tempdir().expect("a folder can be made")
}

async fn created(admin: &Client, target: &str, body: &Value) -> Result<Value> {
    let response = admin.post(target, body).await?;
    ensure!(response.status == 201, "POST {target}: {} {}", response.status, response.text());
    Ok(response.json())
}
