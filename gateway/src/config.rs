//! The configuration of this node: `RawConfig` as an operator writes it, `Config` after the checks.

mod access_log_section;
mod cache;
mod defaults;
mod dns;
mod metrics;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use node::config::{ConfigError, Loaded};
use node::identity::{Files, Mode, Role};
use node::logging;
use node::status::{self, RawStatus};
use serde::{Deserialize, Serialize};

use crate::access_log;
use crate::answer_cache::StoreLimits;
use crate::cluster;
use crate::dns::{DnsTerms, Settings};
use crate::listener::Http2Limits;
use crate::proxy::{self, AmbiguousPaths};
use crate::request::Trusted;
use crate::upstream;
use crate::upstream::AnswerLimits;

pub use access_log_section::RawAccessLog;
pub use cache::RawCache;
pub use dns::RawDns;
pub use metrics::RawMetrics;

/// The most networks in one list.
const MAX_NETWORKS: usize = 1000;

/// Bounds of the heartbeat interval. Beyond an hour, neither side would notice that the other is gone.
const HEARTBEATS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// The configuration as an operator writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// The folder of the node id and of the copy of the configuration.
    pub state_dir: PathBuf,
    /// Worker threads; 0: one for each core.
    pub threads: usize,
    /// Time for the successor in an upgrade to become ready.
    #[serde(with = "humantime_serde")]
    pub upgrade_timeout: Duration,
    /// The clients' side.
    pub proxy: RawProxy,
    /// The upstreams' side.
    pub upstream: RawUpstream,
    /// The control planes' side.
    pub cluster: RawCluster,
    /// The answers that are kept.
    pub cache: RawCache,
    /// The metrics.
    pub metrics: RawMetrics,
    /// The status listener.
    pub status: RawStatus,
    /// The log.
    pub log: logging::RawLog,
    /// The log of requests.
    pub access_log: RawAccessLog,
}

/// The section `proxy`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawProxy {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Addresses to listen on with TLS, with the certificates that the control plane sends.
    pub listen_tls: Vec<SocketAddr>,
    /// Timeout of a whole request header.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request; 0: it is closed after each request.
    #[serde(with = "humantime_serde")]
    pub keepalive_timeout: Duration,
    /// The longest pause within a body, in either direction, and the timeout of each 64 KiB of a response.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// The minimum average rate of a request body in bytes per second, checked once it has taken
    /// `body_timeout`; 0: no minimum. Does not apply to gRPC, where a body may be one side of a conversation.
    pub min_body_rate: u32,
    /// How long requests in flight may take to end after the node begins to stop.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// The most bytes of header fields of one request.
    pub max_header_bytes: usize,
    /// The most header fields of one request.
    pub max_header_fields: usize,
    /// The most bytes of a request target.
    pub max_uri_bytes: usize,
    /// `refuse` or `keep`: how to handle an ambiguous path. An upstream that decodes slashes or cuts off
    /// parameters would read it as a path of another route.
    pub ambiguous_paths: AmbiguousPaths,
    /// The most concurrent streams of one HTTP/2 connection.
    pub http2_max_streams: u32,
    /// The most bytes of bodies in flight on one HTTP/2 stream; a connection may have four times as many.
    pub http2_window_bytes: u32,
    /// Bytes of bodies that all HTTP/2 connections together may have in flight. Windows shrink, down to 64
    /// KiB a connection, as the number of connections grows.
    pub http2_buffer_bytes: usize,
    /// The most open connections.
    pub max_connections: usize,
    /// The most requests in flight.
    pub max_in_flight: usize,
    /// Peers whose `X-Forwarded-` headers are trusted: addresses and networks.
    pub trusted_ips: Vec<String>,
}

/// The section `upstream`. Each list has at most [`MAX_NETWORKS`] addresses and networks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawUpstream {
    /// The most bytes of header fields of one response.
    pub max_header_bytes: usize,
    /// The most header fields of one response.
    pub max_header_fields: usize,
    /// Addresses to which requests may be sent even if `deny` lists them. Can name this node's status
    /// listener and cluster addresses, too.
    pub allow: Vec<String>,
    /// Addresses to which requests may not be sent.
    pub deny: Vec<String>,
    /// Name servers as `address:port`; if empty, those of `/etc/resolv.conf`.
    pub name_servers: Vec<SocketAddr>,
    /// Timeout of the look-up of a name.
    #[serde(with = "humantime_serde")]
    pub resolve_timeout: Duration,
    /// How names are looked up.
    pub dns: RawDns,
}

/// The section `cluster`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCluster {
    /// Control planes as `host:port`, tried in turn.
    pub control_planes: Vec<String>,
    /// This node's certificate, PEM; if not set, `cluster.crt` in the state folder.
    pub cert: Option<PathBuf>,
    /// Its private key, PEM; if not set, `cluster.key` in the state folder.
    pub key: Option<PathBuf>,
    /// PEM. In `shared` mode: further certificates that control planes may show. In `pki` mode: the
    /// authorities of the certificates that control planes may show.
    pub ca: Option<PathBuf>,
    /// How nodes authenticate each other: with `shared`, all hold the same pair; with `pki`, each has its
    /// own.
    pub mtls: Mode,
    /// Interval between two heartbeats; at least 1 s.
    #[serde(with = "humantime_serde")]
    pub heartbeat_interval: Duration,
    /// The operator's labels for this node.
    pub labels: BTreeMap<String, String>,
}

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads.
    pub threads: usize,
    /// Time for the successor in an upgrade to become ready.
    pub upgrade_timeout: Duration,
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Addresses to listen on with TLS.
    pub listen_tls: Vec<SocketAddr>,
    /// Timeout of a whole request header.
    pub header_timeout: Duration,
    /// How long requests in flight may take to end.
    pub drain_timeout: Duration,
    /// The most open connections.
    pub max_connections: usize,
    /// The most requests in flight.
    pub max_in_flight: usize,
    /// Settings and limits of requests.
    pub proxy: proxy::Settings,
    /// Limits of HTTP/2 connections.
    pub http2: Http2Limits,
    /// Rules on the addresses to which requests may be sent.
    pub upstream: upstream::Rules,
    /// The control planes' side.
    pub cluster: cluster::Settings,
    /// How names of upstreams are looked up.
    pub dns: Settings,
    /// The terms under which addresses of services are used.
    pub dns_terms: DnsTerms,
    /// The memory of the answers that are kept.
    pub cache: StoreLimits,
    /// The metrics.
    pub metrics: RawMetrics,
    /// The status listener.
    pub status: status::Settings,
    /// The log.
    pub log: logging::Settings,
    /// The log of requests; `None`: off.
    pub access_log: Option<access_log::Settings>,
}

impl Config {
    /// Loads and checks the configuration: the defaults, `file`, the environment.
    ///
    /// # Errors
    /// The first problem, with the key, the value and its origin.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::parse(&node::config::load(file)?)
    }

    /// Checks a loaded configuration.
    ///
    /// # Errors
    /// The same as those of [`Config::load`].
    pub fn parse(loaded: &Loaded<RawConfig>) -> Result<Self, ConfigError> {
        let raw = &loaded.raw;
        check_proxy(loaded)?;
        check_sizes(loaded)?;
        let (dns, dns_terms) = dns::parse(loaded)?;
        Ok(Self {
            threads: threads(raw.threads),
            upgrade_timeout: raw.upgrade_timeout,
            listen: raw.proxy.listen.clone(),
            listen_tls: raw.proxy.listen_tls.clone(),
            header_timeout: raw.proxy.header_timeout,
            drain_timeout: raw.proxy.drain_timeout,
            max_connections: raw.proxy.max_connections,
            max_in_flight: raw.proxy.max_in_flight,
            proxy: proxy::Settings {
                body_timeout: raw.proxy.body_timeout,
                keepalive_timeout: raw.proxy.keepalive_timeout,
                min_body_rate: raw.proxy.min_body_rate,
                max_header_bytes: raw.proxy.max_header_bytes,
                max_header_fields: raw.proxy.max_header_fields,
                max_uri_bytes: raw.proxy.max_uri_bytes,
                ambiguous_paths: raw.proxy.ambiguous_paths,
                answers: AnswerLimits {
                    header_bytes: raw.upstream.max_header_bytes,
                    header_fields: raw.upstream.max_header_fields,
                },
                trusted: parse_trusted(loaded)?,
            },
            http2: Http2Limits {
                max_streams: raw.proxy.http2_max_streams,
                window: raw.proxy.http2_window_bytes,
                buffer: raw.proxy.http2_buffer_bytes,
            },
            upstream: parse_upstream(loaded)?,
            cluster: parse_cluster(loaded)?,
            dns,
            dns_terms,
            cache: cache::parse(loaded)?,
            metrics: raw.metrics.clone(),
            status: raw.status.parse(loaded)?,
            log: logging::Settings::parse(loaded, &raw.log)?,
            access_log: raw.access_log.parse(loaded)?,
        })
    }
}

fn check_proxy(loaded: &Loaded<RawConfig>) -> Result<(), ConfigError> {
    let proxy = &loaded.raw.proxy;
    let refuse =
        |key: &str, value: String, reason| Err(loaded.violation(&format!("proxy.{key}"), value, reason));
    if proxy.listen.is_empty() && proxy.listen_tls.is_empty() {
        return refuse("listen", "[]".into(), "must name at least one address, or listen_tls must");
    }
    if let Some(both) = proxy.listen_tls.iter().find(|address| proxy.listen.contains(address)) {
        return refuse("listen_tls", both.to_string(), "is in listen as well: an address speaks TLS or not");
    }
    for (key, value) in [("header_timeout", proxy.header_timeout), ("body_timeout", proxy.body_timeout)] {
        if value.is_zero() {
            return refuse(key, "0s".into(), "must be longer than nothing, such as 10s");
        }
    }
    for (key, value) in [("max_connections", proxy.max_connections), ("max_in_flight", proxy.max_in_flight)] {
        if value == 0 {
            return refuse(key, "0".into(), "must be at least 1");
        }
    }
    Ok(())
}

/// The most fields that the header parser has room for.
const MOST_FIELDS: usize = 256;

fn check_sizes(loaded: &Loaded<RawConfig>) -> Result<(), ConfigError> {
    let (proxy, upstream) = (&loaded.raw.proxy, &loaded.raw.upstream);
    // The type of a target counts its bytes with 16 bits; a header is held in a buffer of 1 MiB.
    for (key, value, least, most) in [
        ("proxy.max_header_bytes", proxy.max_header_bytes, 1024, 512 * 1024),
        ("proxy.max_header_fields", proxy.max_header_fields, 1, MOST_FIELDS),
        ("proxy.max_uri_bytes", proxy.max_uri_bytes, 256, 32 * 1024),
        ("proxy.http2_max_streams", proxy.http2_max_streams as usize, 1, 10_000),
        ("proxy.http2_window_bytes", proxy.http2_window_bytes as usize, 65_535, 64 << 20),
        ("proxy.http2_buffer_bytes", proxy.http2_buffer_bytes, 1 << 20, 1 << 40),
        ("upstream.max_header_bytes", upstream.max_header_bytes, 1024, 512 * 1024),
        ("upstream.max_header_fields", upstream.max_header_fields, 1, MOST_FIELDS),
    ] {
        if !(least..=most).contains(&value) {
            let reason = format!("must be between {least} and {most}");
            return Err(loaded.violation(key, value.to_string(), &reason));
        }
    }
    Ok(())
}

fn parse_trusted(loaded: &Loaded<RawConfig>) -> Result<Trusted, ConfigError> {
    parse_networks(loaded, "proxy.trusted_ips", &loaded.raw.proxy.trusted_ips).map(Trusted)
}

fn parse_upstream(loaded: &Loaded<RawConfig>) -> Result<upstream::Rules, ConfigError> {
    let raw = &loaded.raw;
    let control_planes = raw.cluster.control_planes.iter().filter_map(|address| address.rsplit_once(':'));
    let control_planes = control_planes.filter_map(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let mut rules = upstream::Rules {
        allow: parse_networks(loaded, "upstream.allow", &raw.upstream.allow)?,
        deny: parse_networks(loaded, "upstream.deny", &raw.upstream.deny)?,
        own: vec![raw.status.listen],
        own_names: Vec::new(),
    };
    for (host, port) in control_planes {
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => rules.own.push(SocketAddr::new(address, port)),
            Err(_) => rules.own_names.push((host.to_ascii_lowercase(), port)),
        }
    }
    Ok(rules)
}

fn parse_networks(
    loaded: &Loaded<RawConfig>,
    key: &str,
    texts: &[String],
) -> Result<Vec<IpNet>, ConfigError> {
    if texts.len() > MAX_NETWORKS {
        return Err(loaded.violation(key, format!("{} networks", texts.len()), "must name at most 1000"));
    }
    let parse = |text: &String| {
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map_err(|_| {
            let reason = "must be an address or a network, such as 10.0.0.1 or 10.0.0.0/8";
            loaded.violation(key, text, reason)
        })
    };
    texts.iter().map(parse).collect()
}

fn parse_cluster(loaded: &Loaded<RawConfig>) -> Result<cluster::Settings, ConfigError> {
    let (raw, state_dir) = (&loaded.raw.cluster, &loaded.raw.state_dir);
    if raw.control_planes.is_empty() {
        let reason = "must name at least one control plane as host:port";
        return Err(loaded.violation("cluster.control_planes", "[]", reason));
    }
    if let Some(wrong) = raw.control_planes.iter().find(|address| !is_host_and_port(address)) {
        let reason = "must be host:port, such as control.example.com:8005";
        return Err(loaded.violation("cluster.control_planes", wrong, reason));
    }
    if !HEARTBEATS.contains(&raw.heartbeat_interval) {
        let value = humantime_serde::re::humantime::format_duration(raw.heartbeat_interval);
        return Err(loaded.violation("cluster.heartbeat_interval", value, "must be from 1s to 1h"));
    }
    Ok(cluster::Settings {
        control_planes: raw.control_planes.clone(),
        identity: parse_identity(loaded)?,
        heartbeat: raw.heartbeat_interval,
        state_dir: state_dir.clone(),
        hostname: hostname::get()
            .map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned()),
        version: crate::VERSION.to_owned(),
        labels: raw.labels.clone(),
    })
}

fn parse_identity(loaded: &Loaded<RawConfig>) -> Result<Files, ConfigError> {
    let (raw, state_dir) = (&loaded.raw.cluster, &loaded.raw.state_dir);
    if raw.mtls == Mode::Pki && raw.ca.is_none() {
        let reason = "needs cluster.ca, the file of the authorities' certificates";
        return Err(loaded.violation("cluster.mtls", "pki", reason));
    }
    let in_state_dir = |path: &Option<PathBuf>, name| path.clone().unwrap_or_else(|| state_dir.join(name));
    Ok(Files {
        mode: raw.mtls,
        role: Role::DataPlane,
        certificate: in_state_dir(&raw.cert, "cluster.crt"),
        key: in_state_dir(&raw.key, "cluster.key"),
        ca: raw.ca.clone(),
    })
}

fn is_host_and_port(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<NonZero<u16>>().is_ok())
}

fn threads(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        wanted => wanted,
    }
}

#[cfg(test)]
mod tests;
