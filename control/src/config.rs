//! The configuration of this node: as an operator writes it, and as the program uses it.

mod admin;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::config::{ConfigError, Loaded};
use node::identity::{Files, Mode, Role};
use node::logging;
use node::status::{self, RawStatus};
use serde::{Deserialize, Serialize};

pub use self::admin::RawAdmin;
use crate::admin::AdminSettings;
use crate::store::Store;

/// Bounds of the time between two heartbeats. With more than an hour, a lost connection would go unnoticed.
const HEARTBEATS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// The configuration as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// The folder of the node id and of the SQLite file.
    pub data_dir: PathBuf,
    /// The database of the configuration.
    pub database: RawDatabase,
    /// The Admin API.
    pub admin: RawAdmin,
    /// The data planes' side.
    pub cluster: RawCluster,
    /// The metrics.
    pub metrics: RawMetrics,
    /// The status listener.
    pub status: RawStatus,
    /// The log.
    pub log: logging::RawLog,
}

/// The section `metrics`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMetrics {
    /// Whether Kong's families are shown, too.
    pub compat: bool,
}

/// The section `database`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDatabase {
    /// `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/DATABASE`; if not set, `gibbon.sqlite` in the data
    /// folder.
    pub url: Option<String>,
    /// Whether `run` brings the schema up to date.
    pub migrate: bool,
}

/// The section `cluster`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCluster {
    /// The address where data planes connect.
    pub listen: SocketAddr,
    /// This node's certificate, PEM; if not set, `cluster.crt` in the data folder.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM; if not set, `cluster.key` in the data folder.
    pub key: Option<PathBuf>,
    /// PEM. In `shared` mode, further certificates that data planes may show: both certificates are accepted
    /// while one replaces the other. In `pki` mode, the authorities whose certificates data planes may show.
    pub ca: Option<PathBuf>,
    /// How nodes know each other: `shared`, all hold the same pair; `pki`, each has its own.
    pub mtls: Mode,
    /// Time between two heartbeats; at least 1 s.
    #[serde(with = "humantime_serde")]
    pub heartbeat_interval: Duration,
    /// Whether data planes get a suspicious configuration only after it is confirmed: one of a new epoch that
    /// is empty, or much smaller than theirs.
    pub guard: bool,
}

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of the node id.
    pub data_dir: PathBuf,
    /// The database.
    pub database_url: String,
    /// Whether `run` brings the schema up to date.
    pub migrate: bool,
    /// The Admin API.
    pub admin: AdminSettings,
    /// The address where data planes connect.
    pub cluster: SocketAddr,
    /// This node's certificate and key, and the certificates that it trusts.
    pub identity: Files,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// Whether a much smaller configuration of a new epoch is held back from data planes.
    pub guard: bool,
    /// Whether Kong's families of metrics are shown, too.
    pub compat_metrics: bool,
    /// The status listener.
    pub status: status::Settings,
    /// The log.
    pub log: logging::Settings,
    /// All of it, for the Admin API; passwords are masked.
    pub shown: serde_json::Value,
}

impl Config {
    /// Loads and checks: the defaults, `file`, the environment.
    ///
    /// When a value is invalid: the first error, with the key, the value, and its source.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::parse(&node::config::load(file)?)
    }

    /// Checks a loaded configuration.
    ///
    /// # Errors
    /// The same as for [`Config::load`].
    pub fn parse(loaded: &Loaded<RawConfig>) -> Result<Self, ConfigError> {
        let raw = &loaded.raw;
        check_cluster(loaded)?;
        Ok(Self {
            data_dir: raw.data_dir.clone(),
            database_url: parse_database(loaded)?,
            migrate: raw.database.migrate,
            admin: admin::parse(loaded)?,
            cluster: raw.cluster.listen,
            identity: identity(raw),
            heartbeat: raw.cluster.heartbeat_interval,
            guard: raw.cluster.guard,
            compat_metrics: raw.metrics.compat,
            status: raw.status.parse(loaded)?,
            log: logging::Settings::parse(loaded, &raw.log)?,
            shown: shown(raw),
        })
    }
}

fn parse_database(loaded: &Loaded<RawConfig>) -> Result<String, ConfigError> {
    let raw = &loaded.raw;
    match &raw.database.url {
        None => Ok(format!("sqlite://{}", raw.data_dir.join("gibbon.sqlite").display())),
        Some(url) => match Store::check_url(url) {
            Ok(()) => Ok(url.clone()),
            Err(reason) => Err(loaded.violation("database.url", url, reason)),
        },
    }
}

fn check_cluster(loaded: &Loaded<RawConfig>) -> Result<(), ConfigError> {
    let raw = &loaded.raw.cluster;
    if raw.mtls == Mode::Pki && raw.ca.is_none() {
        let reason = "needs cluster.ca, the file of the authorities' certificates";
        return Err(loaded.violation("cluster.mtls", "pki", reason));
    }
    if !HEARTBEATS.contains(&raw.heartbeat_interval) {
        let value = format!("{:?}", raw.heartbeat_interval);
        return Err(loaded.violation("cluster.heartbeat_interval", value, "expected 1s to 1h"));
    }
    Ok(())
}

fn identity(raw: &RawConfig) -> Files {
    let in_data_dir = |path: &Option<PathBuf>, name| path.clone().unwrap_or_else(|| raw.data_dir.join(name));
    Files {
        mode: raw.cluster.mtls,
        role: Role::ControlPlane,
        certificate: in_data_dir(&raw.cluster.cert, "cluster.crt"),
        key: in_data_dir(&raw.cluster.key, "cluster.key"),
        ca: raw.cluster.ca.clone(),
    }
}

fn shown(raw: &RawConfig) -> serde_json::Value {
    let mut shown = raw.clone();
    shown.database.url = shown.database.url.map(|url| node::config::mask_secrets(&url).into_owned());
    serde_json::to_value(shown).unwrap_or_default()
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            data_dir: "gibbon-control".into(),
            database: RawDatabase::default(),
            admin: RawAdmin::default(),
            cluster: RawCluster::default(),
            metrics: RawMetrics::default(),
            status: RawStatus::at(8008),
            log: logging::RawLog::default(),
        }
    }
}

impl Default for RawDatabase {
    fn default() -> Self {
        Self { url: None, migrate: true }
    }
}

impl Default for RawCluster {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8005)),
            cert: None,
            key: None,
            ca: None,
            mtls: Mode::default(),
            heartbeat_interval: Duration::from_secs(30),
            guard: true,
        }
    }
}
