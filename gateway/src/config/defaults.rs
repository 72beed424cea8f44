//! The default of every key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use node::identity::Mode;
use node::logging;
use node::status::RawStatus;

use super::{
    MOST_FIELDS, RawAccessLog, RawCache, RawCluster, RawConfig, RawDns, RawMetrics, RawProxy, RawUpstream,
};
use crate::proxy::AmbiguousPaths;
use crate::upstream;

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            state_dir: "gibbon-gateway".into(),
            threads: 0,
            upgrade_timeout: Duration::from_secs(60),
            proxy: RawProxy::default(),
            upstream: RawUpstream::default(),
            cluster: RawCluster::default(),
            cache: RawCache::default(),
            metrics: RawMetrics::default(),
            status: RawStatus::at(8007),
            log: logging::RawLog::default(),
            access_log: RawAccessLog::default(),
        }
    }
}

impl Default for RawProxy {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8000))],
            listen_tls: Vec::new(),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(60),
            min_body_rate: 100,
            drain_timeout: Duration::from_secs(30),
            max_header_bytes: 64 * 1024,
            max_header_fields: 100,
            // The default of nginx, and so of Kong.
            max_uri_bytes: 8 * 1024,
            ambiguous_paths: AmbiguousPaths::Refuse,
            http2_max_streams: 100,
            http2_window_bytes: 1 << 20,
            http2_buffer_bytes: 1 << 30,
            max_connections: 20_000,
            max_in_flight: 10_000,
            trusted_ips: Vec::new(),
        }
    }
}

impl Default for RawUpstream {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            max_header_fields: MOST_FIELDS,
            allow: Vec::new(),
            deny: upstream::DENIED.map(str::to_owned).into(),
            name_servers: Vec::new(),
            resolve_timeout: Duration::from_secs(2),
            dns: RawDns::default(),
        }
    }
}

impl Default for RawCluster {
    fn default() -> Self {
        Self {
            control_planes: vec!["127.0.0.1:8005".to_owned()],
            cert: None,
            key: None,
            ca: None,
            mtls: Mode::default(),
            heartbeat_interval: Duration::from_secs(30),
            labels: BTreeMap::new(),
        }
    }
}
