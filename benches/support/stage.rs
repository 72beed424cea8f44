//! Installations of the real programs with a configuration of a given size.

use std::path::Path;
use std::time::Duration;

use control::store::{Author, Change, Draft, Store};
use model::{Common, Entity, Route, Service, Target, Upstream};
use serde_json::{Value, json};
use testkit::certs;
use testkit::origin::Origin;
use testkit::plane::{Control, Database, Gateway, Node, Planes};
use testkit::postgres::Postgres;
use testkit::process::Program;
use uuid::Uuid;

/// The database of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SQLite, which syncs each commit.
    Sqlite,
    /// PostgreSQL that syncs nothing: measures the database's own work, without the disk's.
    Postgres,
    /// PostgreSQL as it is installed: each commit is on disk before the answer.
    Durable,
}

/// All databases.
pub const KINDS: [Kind; 3] = [Kind::Sqlite, Kind::Postgres, Kind::Durable];

/// One control plane, one data plane, an origin, and the database server.
#[derive(Debug)]
pub struct Stage {
    /// The programs.
    pub planes: Planes,
    database_url: String,
    _server: Option<Postgres>,
}

/// The longest that loading a document may take.
pub const LONGEST_SYNC: Duration = Duration::from_secs(1_200);

/// The service of every route that is preloaded.
const BULK: Uuid = Uuid::from_u128(0xB0);

impl Stage {
    /// Starts everything, with the default heartbeats and logging.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[], &[]).await
    }

    /// Starts like [`Self::start`], with other settings of the control plane and of the data plane.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start_with(kind: Kind, of_control: &[(&str, &str)], of_gateway: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = certs::valid(folder.path(), "cluster");
        let server = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(Postgres::start()),
            Kind::Durable => Some(Postgres::start_durable()),
        };
        let mut control = Control::new(Database::Sqlite, &pair);
        let database_url = match &server {
            Some(server) => server.database(),
            None => format!("sqlite://{}", control.data().join("gibbon.sqlite").display()),
        };
        control.node.set("database.url", &database_url);
        as_installed(&mut control.node);
        of_control.iter().for_each(|(key, value)| control.node.set(key, value));
        control.node.start().await;
        let mut gateway = Gateway::new(&[&control], &pair);
        as_installed(&mut gateway.node);
        of_gateway.iter().for_each(|(key, value)| gateway.node.set(key, value));
        gateway.node.start().await;
        let planes = Planes { control, gateway, origin: Origin::start(), pair, folder };
        Self { planes, database_url, _server: server }
    }

    /// Puts `routes` routes into the database in one transaction, as another control plane would. Waits until
    /// the data plane routes by the last of them.
    ///
    /// # Panics
    /// When the database rejects them, or they do not arrive.
    pub async fn preload(&self, routes: usize) {
        self.preload_to(routes, self.planes.origin.address().port()).await;
    }

    /// Preloads like [`Self::preload`], to an origin on another port of loopback.
    ///
    /// # Panics
    /// When the database rejects them, or they do not arrive.
    pub async fn preload_to(&self, routes: usize, port: u16) {
        if routes == 0 {
            return;
        }
        let store = Store::open(&self.database_url).await.unwrap();
        let routes_of_service = (0..routes).map(|number| insert(route_id(number), &route(number)));
        let changes = routes_of_service.chain([insert(BULK, &service(port))]).collect();
        store.write(&Author::default(), changes).await.unwrap();
        self.wait_for_route(routes - 1).await;
    }

    /// Puts upstreams with an equal number of targets each into the database in one transaction. All are like
    /// `upstream`, but for their names. Target `t` of upstream `u` is 127.1.u.t+1, with this port.
    ///
    /// # Panics
    /// When the database rejects them.
    pub async fn preload_upstreams(&self, count: u8, targets: u8, port: u16, upstream: &Upstream) {
        let store = Store::open(&self.database_url).await.unwrap();
        let mut changes = Vec::new();
        for number in 0..count {
            let named = Upstream { name: format!("upstream-{number}"), ..upstream.clone() };
            changes.push(insert(upstream_id(number), &named));
            for last in 0..targets {
                let target = format!("127.1.{number}.{}:{port}", last + 1);
                let target = Target { upstream: upstream_id(number), target, ..Target::default() };
                changes.push(insert(target_id(number, last), &target));
            }
        }
        store.write(&Author::default(), changes).await.unwrap();
    }

    /// Makes the configuration equal to a document, by the program for it.
    ///
    /// # Panics
    /// When it fails, or takes too long.
    pub async fn sync(&self, document: &Path) {
        let admin = format!("http://{}", self.planes.control.admin().address());
        let timeout = LONGEST_SYNC.as_secs().to_string();
        let command = ["config", "sync", "--timeout", &timeout, "--admin", &admin];
        let program = command.iter().fold(Program::control(), |program, argument| program.arg(argument));
        let mut process = program.arg(document).spawn();
        let status = process.wait_exit(LONGEST_SYNC).await;
        assert!(status.success(), "{}", process.stderr());
    }

    /// Waits until the data plane routes by a preloaded route.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub async fn wait_for_route(&self, number: usize) {
        let proxy = self.planes.gateway.proxy();
        let request = testkit::http::Request::new("GET", &path(number)).header("Host", &host(number));
        testkit::wait::eventually(Duration::from_secs(60), || async {
            let status = proxy.send(&request).await?.status;
            anyhow::ensure!(status == 200, "{status}");
            Ok(())
        })
        .await;
    }

    /// Makes the service `measured`, whose upstream is the origin.
    ///
    /// # Panics
    /// When the Admin API rejects it.
    pub async fn make_service(&self) {
        let service = json!({ "name": "measured", "url": self.planes.origin.url() });
        self.planes.control.admin().post("/services", &service).await.unwrap().expect(201);
    }

    /// The revision of the control plane.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn head(&self) -> u64 {
        let config: Value =
            self.planes.control.admin().get("/clustering/config").await.unwrap().expect(200).json();
        config["revision"].as_u64().unwrap()
    }
}

/// Resets the settings for tests to an operator's defaults.
fn as_installed(node: &mut Node) {
    node.set("cluster.heartbeat_interval", "30s");
    node.set("log.level", "warn");
}

/// The host of a preloaded route, shared by a hundred routes.
pub fn host(number: usize) -> String {
    format!("tenant-{}.example.com", number / 100)
}

/// The path of a preloaded route.
pub fn path(number: usize) -> String {
    format!("/v1/service-{}", number % 100)
}

/// The id of a preloaded route.
pub fn route_id(number: usize) -> Uuid {
    Uuid::from_u128(0x1_0000_0000 + number as u128)
}

fn upstream_id(number: u8) -> Uuid {
    Uuid::from_u128(0x2_0000_0000 + u128::from(number))
}

/// The id of a preloaded target.
pub fn target_id(upstream: u8, number: u8) -> Uuid {
    Uuid::from_u128(0x3_0000_0000 + u128::from(upstream) * 256 + u128::from(number))
}

fn service(port: u16) -> Service {
    Service { name: Some("bulk".into()), host: "127.0.0.1".into(), port, ..Service::default() }
}

fn route(number: usize) -> Route {
    Route {
        name: Some(format!("route-{number}")),
        service: Some(BULK),
        methods: Some(vec!["GET".into(), "POST".into()]),
        hosts: Some(vec![host(number)]),
        paths: Some(vec![path(number)]),
        created_at: 1,
        ..Route::default()
    }
}

fn insert<E: Entity>(id: Uuid, entity: &E) -> Change {
    let kind = model::described(E::KIND).unwrap();
    let content = kind.content(&entity.canonical()).unwrap();
    Change::Insert(Draft::new(E::KIND, Common { id, created_at: 1, updated_at: 1, tags: None }, content))
}
