//! An installation of the real programs in `pki` mode, with certificates made by the real commands.

use std::path::{Path, PathBuf};

use node::identity::{Authorities, Identity, PeerCertificate, Trust, client_config};
use node::link::{self, Closing, Link, LinkError};
use testkit::certs::Pair;
use testkit::origin::Origin;
use testkit::plane::{Control, DEADLINE, Database, Gateway, Node, Planes};
use testkit::{postgres, wait};
use uuid::Uuid;
use wire::{Frame, Hello, VERSIONS};

use crate::pki;

/// One control plane and one data plane, not started yet, and the authority of both.
pub(super) struct Stage {
    pub(super) planes: Planes,
    database: String,
}

impl Stage {
    pub(super) fn new(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        pki::say(folder.path(), &["init"], &[]);
        let pair = issue(folder.path(), "control-plane", "control", "pki");
        let mut control = Control::new(Database::Sqlite, &pair);
        let database = match database {
            Database::Sqlite => format!("sqlite://{}", control.data().join("gibbon.sqlite").display()),
            Database::Postgres => postgres::shared().database(),
        };
        control.node.set("database.url", &database);
        let mut gateway = Gateway::new(&[&control], &issue(folder.path(), "data-plane", "data", "pki"));
        for node in [&mut control.node, &mut gateway.node] {
            node.set("cluster.mtls", "pki");
            node.set("cluster.ca", folder.path().join("pki/ca.crt").display());
        }
        let planes = Planes { control, gateway, origin: Origin::start(), pair, folder };
        Self { planes, database }
    }

    /// Starts both programs, with a route at `/a`.
    pub(super) async fn serving(database: Database) -> Self {
        let mut stage = Self::new(database);
        stage.planes.control.node.start().await;
        stage.planes.gateway.node.start().await;
        stage.planes.serve("/a").await;
        stage
    }

    pub(super) fn folder(&self) -> &Path {
        self.planes.folder.path()
    }

    /// Returns the path of `<name>.crt` or `.key` in the authority's folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder().join("pki").join(name)
    }

    pub(super) fn pair(&self, name: &str) -> Pair {
        Pair { cert: self.file(&format!("{name}.crt")), key: self.file(&format!("{name}.key")) }
    }

    pub(super) fn leaf(&self, name: &str) -> PeerCertificate {
        let pair = self.pair(name);
        Identity::load(&pair.cert, &pair.key).unwrap().leaf().clone()
    }

    /// Makes a pair for another node.
    pub(super) fn issue(&self, role: &str, name: &str) -> Pair {
        issue(self.folder(), role, name, "pki")
    }

    /// Runs `gibbon-control pki …` for the control plane's database.
    pub(super) fn pki(&self, arguments: &[&str]) -> String {
        let ca = self.file("ca.crt").display().to_string();
        let variables = [
            ("GIBBON_DATABASE__URL", self.database.as_str()),
            ("GIBBON_CLUSTER__MTLS", "pki"),
            ("GIBBON_CLUSTER__CA", ca.as_str()),
        ];
        pki::say(self.folder(), arguments, &variables)
    }

    /// Runs SQL in the database, a PostgreSQL.
    pub(super) fn execute(&self, sql: &str) {
        let (_, name) = self.database.rsplit_once('/').unwrap();
        postgres::shared().execute(name, sql);
    }

    /// The certificates that a data plane of this authority trusts.
    pub(super) fn trust(&self) -> Trust {
        Trust::Authorities(Authorities::load(&self.file("ca.crt")).unwrap())
    }

    /// Connects with this pair, as a data plane that trusts the authority, and sends its hello.
    pub(super) async fn greet(&self, pair: &Pair, node_id: Uuid) -> Result<Link, LinkError> {
        self.greet_with(&self.trust(), pair, node_id).await
    }

    /// As [`Stage::greet`], with files that were read before.
    pub(super) async fn greet_with(
        &self,
        trust: &Trust,
        pair: &Pair,
        node_id: Uuid,
    ) -> Result<Link, LinkError> {
        let config = client_config(&Identity::load(&pair.cert, &pair.key).unwrap(), trust).unwrap();
        let mut link = link::connect(&self.planes.control.cluster().to_string(), config).await?;
        link.send(Frame::Hello(hello(node_id)).encode()).await?;
        Ok(link)
    }

    /// Waits until a connection with this pair is rejected, and returns how.
    pub(super) async fn wait_refused(&self, pair: &Pair, node_id: Uuid) -> String {
        wait::eventually(DEADLINE, || async {
            let mut link = self.greet(pair, node_id).await.map_err(|error| error.to_string())?;
            match link.recv().await {
                Ok(None) => Ok(link.closed_because()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }
}

/// Returns how an accepted link ends when it is closed later.
pub(super) async fn wait_closed(link: &mut Link) -> Closing {
    let ended = async { while let Ok(Some(_)) = link.recv().await {} };
    tokio::time::timeout(DEADLINE, ended).await.expect("the link ends");
    link.closing().clone()
}

pub(super) async fn wait_metric(node: &Node, series: &str, holds: impl Fn(f64) -> bool) {
    wait::eventually(DEADLINE, || async {
        let value = node.metric(series).await;
        if holds(value) { Ok(()) } else { Err(format!("{series} is {value}")) }
    })
    .await;
}

/// Returns the number of connections that the control plane rejected, for any reason.
pub(super) async fn refusals(node: &Node) -> f64 {
    let text = node.status().get("/metrics").await.unwrap().text();
    let series = text.lines().filter(|line| line.starts_with("gibbon_cluster_handshakes_refused_total"));
    series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

fn issue(folder: &Path, role: &str, name: &str, authority: &str) -> Pair {
    pki::say(folder, &["issue", role, "--dir", authority, "--name", name], &[]);
    let file = |end: &str| folder.join(authority).join(format!("{name}.{end}"));
    Pair { cert: file("crt"), key: file("key") }
}

fn hello(node_id: Uuid) -> Hello {
    Hello {
        versions: VERSIONS,
        node_id,
        hostname: "test".into(),
        version: "0".into(),
        kinds: model::KINDS.iter().map(|kind| kind.kind().0).collect(),
        fields: Vec::new(),
        labels: Default::default(),
        held: None,
        instance: None,
        partial: None,
    }
}
