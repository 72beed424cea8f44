//! The section `admin`: the addresses of the Admin API, its access rules and its bounds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use node::config::{ConfigError, Loaded};
use node::http::{LEAST_HEADER, Limits};
use node::status::{check_count, check_timeout};
use serde::{Deserialize, Serialize};

use super::RawConfig;
use crate::admin::{AdminSettings, ConfigLimits, Host, MAX_BODY_BYTES, Origin, TlsFiles};

/// The section as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAdmin {
    /// The address of the Admin API; beyond loopback it needs `tokens`.
    pub listen: SocketAddr,
    /// The address with TLS; beyond loopback it needs `tokens` or `client_ca`.
    pub listen_tls: Option<SocketAddr>,
    /// The certificate of `listen_tls`, PEM.
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Authorities whose certificates clients of `listen_tls` may show in place of a token, PEM.
    pub client_ca: Option<PathBuf>,
    /// A Unix socket; its clients may do everything.
    pub socket: Option<PathBuf>,
    /// Its mode: `0600` or `0660`.
    pub socket_mode: String,
    /// The file of tokens.
    pub tokens: Option<PathBuf>,
    /// Whether the Admin API and dumps show the secrets of credentials. API keys are kept in clear for it from
    /// the next write of each on.
    pub show_secrets: bool,
    /// Origins whose web pages may use the Admin API, such as `https://admin.example`.
    pub allowed_origins: Vec<String>,
    /// Hosts that clients may use, beside loopback, its address, and the names in its certificate.
    pub allowed_hosts: Vec<String>,
    /// The maximum number of open connections.
    pub max_connections: usize,
    /// The maximum number of open connections from one address.
    pub max_connections_per_address: usize,
    /// The maximum number of requests in flight.
    pub max_in_flight: usize,
    /// The maximum size of all bodies together, in bytes.
    pub max_body_memory: usize,
    /// The maximum size of a document for `/config`, in bytes.
    pub max_config_body: usize,
    /// The maximum memory of a document for `/config`, with the configuration that it is compared with, in
    /// bytes.
    pub max_config_memory: usize,
    /// The maximum size of a request line and its header fields, in bytes.
    pub max_header_bytes: usize,
    /// Timeout of a whole request header.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// Timeout of a connection without a request.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Timeout of a whole body; 60 s at most.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// Timeout of a client that does not read the answer.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
}

/// The maximum timeout of a body.
const MAX_BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest path of a Unix socket on Linux, less what the temporary path of `socket.rs` may have more.
const MAX_SOCKET_PATH: usize = 107 - 10;

pub(super) fn parse(loaded: &Loaded<RawConfig>) -> Result<AdminSettings, ConfigError> {
    let raw = &loaded.raw.admin;
    let tls = parse_tls(loaded)?;
    check_reach(loaded)?;
    Ok(AdminSettings {
        listen: raw.listen,
        tls,
        socket: parse_socket(loaded)?,
        tokens: raw.tokens.clone(),
        show_secrets: raw.show_secrets,
        origins: parse_all(loaded, "admin.allowed_origins", &raw.allowed_origins, Origin::parse, ORIGIN)?,
        hosts: parse_all(loaded, "admin.allowed_hosts", &raw.allowed_hosts, Host::parse, HOST)?,
        max_body_memory: parse_body_memory(loaded)?,
        config: parse_config_limits(loaded)?,
        limits: parse_limits(loaded)?,
    })
}

const ORIGIN: &str = "must be scheme://host or scheme://host:port, such as https://admin.example; there is no \
                      origin for all of them";
const HOST: &str = "must be a name or an address without a port, such as control.example";

fn parse_all<T>(
    loaded: &Loaded<RawConfig>,
    key: &str,
    values: &[String],
    parse: impl Fn(&str) -> Option<T>,
    reason: &str,
) -> Result<Vec<T>, ConfigError> {
    values.iter().map(|value| parse(value).ok_or_else(|| loaded.violation(key, value, reason))).collect()
}

fn parse_tls(loaded: &Loaded<RawConfig>) -> Result<Option<(SocketAddr, TlsFiles)>, ConfigError> {
    let raw = &loaded.raw.admin;
    let Some(address) = raw.listen_tls else {
        return match &raw.client_ca {
            Some(path) => Err(loaded.violation("admin.client_ca", path.display(), "needs admin.listen_tls")),
            None => Ok(None),
        };
    };
    if address == raw.listen {
        let reason = "is admin.listen as well: an address speaks TLS or not";
        return Err(loaded.violation("admin.listen_tls", address, reason));
    }
    match (&raw.tls_cert, &raw.tls_key) {
        (Some(cert), Some(key)) => {
            let (cert, key, client_ca) = (cert.clone(), key.clone(), raw.client_ca.clone());
            Ok(Some((address, TlsFiles { cert, key, client_ca, optional: raw.tokens.is_some() })))
        }
        _ => {
            let reason = "needs admin.tls_cert and admin.tls_key, the files of its certificate and key";
            Err(loaded.violation("admin.listen_tls", address, reason))
        }
    }
}

/// Requires tokens or client certificates where clients of other machines can connect.
fn check_reach(loaded: &Loaded<RawConfig>) -> Result<(), ConfigError> {
    let raw = &loaded.raw.admin;
    if !raw.listen.ip().is_loopback() && raw.tokens.is_none() {
        let reason = "without authentication the Admin API listens on loopback only: set admin.tokens, a file \
                      that `gibbon-control token create` makes, or use admin.listen_tls with admin.client_ca";
        return Err(loaded.violation("admin.listen", raw.listen, reason));
    }
    match raw.listen_tls {
        Some(address) if !address.ip().is_loopback() && raw.tokens.is_none() && raw.client_ca.is_none() => {
            let reason = "without authentication the Admin API listens on loopback only: set admin.tokens or \
                          admin.client_ca";
            Err(loaded.violation("admin.listen_tls", address, reason))
        }
        _ => Ok(()),
    }
}

fn parse_socket(loaded: &Loaded<RawConfig>) -> Result<Option<(PathBuf, u32)>, ConfigError> {
    let raw = &loaded.raw.admin;
    let mode = match raw.socket_mode.as_str() {
        "0600" => 0o600,
        "0660" => 0o660,
        other => return Err(loaded.violation("admin.socket_mode", other, "must be 0600 or 0660")),
    };
    match &raw.socket {
        Some(path) if path.as_os_str().len() > MAX_SOCKET_PATH => {
            let reason = format!("must have at most {MAX_SOCKET_PATH} bytes");
            Err(loaded.violation("admin.socket", path.display(), reason))
        }
        socket => Ok(socket.clone().map(|path| (path, mode))),
    }
}

fn parse_body_memory(loaded: &Loaded<RawConfig>) -> Result<usize, ConfigError> {
    const MOST: usize = 16 << 30;
    let bytes = loaded.raw.admin.max_body_memory;
    match (MAX_BODY_BYTES..=MOST).contains(&bytes) {
        true => Ok(bytes),
        false => {
            let reason = format!("must be from {MAX_BODY_BYTES}, the most of one body, to {MOST} bytes");
            Err(loaded.violation("admin.max_body_memory", bytes, reason))
        }
    }
}

fn parse_config_limits(loaded: &Loaded<RawConfig>) -> Result<ConfigLimits, ConfigError> {
    const LEAST: usize = 1 << 20;
    const MOST: usize = 1 << 40;
    let RawAdmin { max_config_body: max_body, max_config_memory: max_memory, .. } = loaded.raw.admin;
    if !(LEAST..=MOST).contains(&max_body) {
        let reason = format!("must be from {LEAST} to {MOST} bytes");
        return Err(loaded.violation("admin.max_config_body", max_body, reason));
    }
    if !(max_body..=MOST).contains(&max_memory) {
        let reason = format!("must be from {max_body}, the value of admin.max_config_body, to {MOST} bytes");
        return Err(loaded.violation("admin.max_config_memory", max_memory, reason));
    }
    Ok(ConfigLimits { max_body, max_memory })
}

fn parse_limits(loaded: &Loaded<RawConfig>) -> Result<Limits, ConfigError> {
    let raw = &loaded.raw.admin;
    for (key, value, least) in [
        ("admin.max_connections", raw.max_connections, 1),
        ("admin.max_connections_per_address", raw.max_connections_per_address, 1),
        ("admin.max_in_flight", raw.max_in_flight, 1),
        ("admin.max_header_bytes", raw.max_header_bytes, LEAST_HEADER),
    ] {
        check_count(loaded, key, value, least)?;
    }
    for (key, value) in [
        ("admin.header_timeout", raw.header_timeout),
        ("admin.idle_timeout", raw.idle_timeout),
        ("admin.body_timeout", raw.body_timeout),
        ("admin.write_timeout", raw.write_timeout),
    ] {
        check_timeout(loaded, key, value)?;
    }
    if raw.body_timeout > MAX_BODY_TIMEOUT {
        let value = humantime_serde::re::humantime::format_duration(raw.body_timeout);
        return Err(loaded.violation("admin.body_timeout", value, "must be 60s at most"));
    }
    Ok(Limits {
        max_connections: raw.max_connections,
        max_connections_per_address: raw.max_connections_per_address,
        max_in_flight: raw.max_in_flight,
        max_header_bytes: raw.max_header_bytes,
        header_timeout: raw.header_timeout,
        idle_timeout: raw.idle_timeout,
        body_timeout: raw.body_timeout,
        write_timeout: raw.write_timeout,
    })
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8001)),
            listen_tls: None,
            tls_cert: None,
            tls_key: None,
            client_ca: None,
            socket: None,
            socket_mode: "0600".to_owned(),
            tokens: None,
            show_secrets: false,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            max_connections: 512,
            max_connections_per_address: 96,
            max_in_flight: 128,
            max_body_memory: 64 * 1024 * 1024,
            max_config_body: 1 << 30,
            max_config_memory: 4 << 30,
            max_header_bytes: 32 * 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
        }
    }
}
