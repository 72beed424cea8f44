//! The families about the node, and the collector of all. Kong shows those about the node always, others once
//! an instance of the plugin `prometheus` is there.
//!
//! Some are about parts that Gibbon does not have. They show what comes nearest to them: the memory of the
//! process for that of Lua, and that of kept answers for shared memory.

mod targets;

use std::fs;
use std::process;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Metric, MetricFamily, MetricType};

use crate::answer_cache::Store;
use crate::cluster;
use crate::kong_metrics::{KongMetrics, Label, counter, family, gauge};
use crate::metrics::Metrics;
use crate::upstream::Balancing;

/// The part of Kong that serves HTTP.
const SUBSYSTEM: &str = "http";
/// Bytes of a page of memory.
const PAGE: f64 = 4096.0;

const CONNECTIONS: &str = "kong_nginx_connections_total";
const TOTAL_REQUESTS: &str = "kong_nginx_requests_total";
const TIMERS: &str = "kong_nginx_timers";
const DATASTORE: &str = "kong_datastore_reachable";
const INFO: &str = "kong_node_info";
const ERRORS: &str = "kong_nginx_metric_errors_total";
const SHARED: &str = "kong_memory_lua_shared_dict_bytes";
const SHARED_TOTAL: &str = "kong_memory_lua_shared_dict_total_bytes";
const WORKERS: &str = "kong_memory_workers_lua_vms_bytes";
const CONNECTED: &str = "kong_control_plane_connected";
const EXPIRY: &str = "kong_data_plane_cluster_cert_expiry_timestamp";
const TARGETS: &str = "kong_upstream_target_health";

/// The families about the node, for the registry.
const NAMES: [&str; 12] = [
    CONNECTIONS,
    TOTAL_REQUESTS,
    TIMERS,
    DATASTORE,
    INFO,
    ERRORS,
    SHARED,
    SHARED_TOTAL,
    WORKERS,
    CONNECTED,
    EXPIRY,
    TARGETS,
];

/// The parts of the node that the families are about.
#[derive(Debug)]
pub struct NodeParts {
    /// The gateway's own metrics.
    pub metrics: Metrics,
    /// The state of the sync.
    pub sync: Arc<cluster::Status>,
    /// The targets of upstreams.
    pub balancing: Arc<Balancing>,
    /// The answers that are kept.
    pub answers: Arc<Store>,
}

/// Collects all of Kong's families.
#[derive(Debug)]
pub struct KongCollector {
    kong: Arc<KongMetrics>,
    node: NodeParts,
    /// Whether those about the node are shown without an instance of the plugin.
    always: bool,
    descriptions: Vec<Desc>,
}

impl KongCollector {
    /// Collects the families of `kong` and `node`.
    ///
    /// # Errors
    /// Never: the names are valid.
    pub fn new(kong: Arc<KongMetrics>, node: NodeParts, always: bool) -> prometheus::Result<Self> {
        let names = NAMES.into_iter().chain(KongMetrics::NAMES);
        let describe =
            |name: &str| Desc::new(name.to_owned(), "A metric of Kong".to_owned(), vec![], [].into());
        Ok(Self { kong, node, always, descriptions: names.map(describe).collect::<Result<_, _>>()? })
    }
}

impl Collector for KongCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if !self.always && !self.kong.is_used() {
            return Vec::new();
        }
        let mut families = self.node.families();
        if self.kong.shows_targets() {
            families.push(targets::family_of(&self.node.balancing));
        }
        families.extend(self.kong.collect());
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

impl NodeParts {
    fn families(&self) -> Vec<MetricFamily> {
        let id = self.sync.view().node_id.to_string();
        let gauges = |name, help, metrics| family(name, help, MetricType::GAUGE, metrics);
        let node = ("node_id", id.as_str());
        let sync = &self.metrics.sync;
        vec![
            gauges(CONNECTIONS, "Connections of clients, by state", self.connections(node)),
            gauges(TOTAL_REQUESTS, "Requests since the start", vec![self.requests(node)]),
            gauges(TIMERS, "Always 0: there are no timers of nginx", timers()),
            gauges(DATASTORE, "Always 1: a data plane needs no database", vec![gauge(&[], 1.0)]),
            gauges(INFO, "Always 1; the labels are about the node", vec![info(node)]),
            family(ERRORS, "Always 0: no count is ever lost", MetricType::COUNTER, vec![counter(&[], 0)]),
            gauges(SHARED, "Memory of what requests share", shared(node, self.answers.bytes())),
            gauges(
                SHARED_TOTAL,
                "The most memory of what requests share",
                shared(node, self.answers.capacity() as u64),
            ),
            gauges(WORKERS, "Memory of the process", workers(node)),
            gauges(
                CONNECTED,
                "1 while a control plane is connected",
                vec![gauge(&[], as_float(sync.connected.get().unsigned_abs()))],
            ),
            gauges(
                EXPIRY,
                "When the certificate of this node ends, in seconds since 1970",
                vec![gauge(&[], as_float(sync.certificate_expiry.get().unsigned_abs()))],
            ),
        ]
    }

    fn connections(&self, node: Label<'_>) -> Vec<Metric> {
        let (connections, http) = (&self.metrics.connections, &self.metrics.http);
        let accepted = connections.accepted.get();
        let [active, writing] = [connections.active.get(), http.in_flight.get()].map(i64::unsigned_abs);
        let states = [
            ("accepted", accepted + connections.refused.get()),
            ("handled", accepted),
            ("total", http.requests.total()),
            ("active", active),
            ("reading", 0),
            ("writing", writing),
            ("waiting", active.saturating_sub(writing)),
        ];
        let of = |(state, count): (&str, u64)| {
            gauge(&[node, ("subsystem", SUBSYSTEM), ("state", state)], as_float(count))
        };
        states.map(of).into()
    }

    fn requests(&self, node: Label<'_>) -> Metric {
        gauge(&[node, ("subsystem", SUBSYSTEM)], as_float(self.metrics.http.requests.total()))
    }
}

fn shared(node: Label<'_>, bytes: u64) -> Vec<Metric> {
    vec![gauge(
        &[node, ("shared_dict", "gibbon_proxy_cache"), ("kong_subsystem", SUBSYSTEM)],
        as_float(bytes),
    )]
}

fn timers() -> Vec<Metric> {
    ["running", "pending"].map(|state| gauge(&[("state", state)], 0.0)).into()
}

fn info(node: Label<'_>) -> Metric {
    gauge(&[node, ("version", crate::VERSION)], 1.0)
}

/// The memory of the process, as the kernel counts it; none where it does not.
fn workers(node: Label<'_>) -> Vec<Metric> {
    let pages = fs::read_to_string("/proc/self/statm");
    let pages = pages.ok().and_then(|text| text.split(' ').nth(1)?.parse::<f64>().ok());
    let pid = process::id().to_string();
    let labels = [node, ("pid", pid.as_str()), ("kong_subsystem", SUBSYSTEM)];
    pages.map(|pages| gauge(&labels, pages * PAGE)).into_iter().collect()
}

#[expect(clippy::cast_precision_loss, reason = "a number of Prometheus has 53 bits")]
const fn as_float(number: u64) -> f64 {
    number as f64
}
