//! Builds the data plane, wires its parts, starts and stops it. Only this module knows all of them.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use node::exit::ExitError;
use parking_lot::Mutex;
use pingora::apps::HttpServerOptions;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::access_log::AccessLog;
use crate::answer_cache::Store;
use crate::client::{
    ClientLimits, ClientServer, HeaderLimits, PaceTerms, Refusals, ServerTerms, http1, http2,
};
use crate::cluster::{self, Agent, AgentThread};
use crate::config::Config;
use crate::counting::{self, clock::unix_millis};
use crate::delivery::{DeliveryThread, Queues};
use crate::descriptors::Budget;
use crate::dns::{self, NameServers, Names};
use crate::drain::{Signals, Stop};
use crate::draining::Draining;
use crate::forward::Forwarder;
use crate::limit::Limit;
use crate::line_files::LineFiles;
use crate::listener::{Bound, Handshake, Inherited, Listening, Tickets, TlsListeners, inherited};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::outbound::{Outbound, OutboundLimits};
use crate::plugin::{Reports, Shared};
use crate::proxy::Proxy;
use crate::status::{KongCollector, NodeParts, Status, StatusThread};
use crate::upgrade::{Predecessor, State, Upgrade};
use crate::upstream::health::{ProbeLimits, ProbeRunner, ProbeThread, Prober};
use crate::upstream::{Balancing, Policy, Pool, PoolLimits};
use crate::upstream_metrics::UpstreamCollector;

/// Idle connections to each upstream that are kept. With fewer, requests would often open new ones.
const POOL: usize = 1024;
/// The most probes at a time.
const PROBES: usize = 1024;
/// The most idle connections that are kept for probes: with fewer than there are addresses, most probes connect.
const PROBE_CONNECTIONS: usize = 16_384;
/// The calls of plugins to one host at a time, and the connections that are kept for them. The same for what plugins
/// report.
const CALLS: OutboundLimits = OutboundLimits { calls_of_host: 64, idle: 256 };
/// Idle connections to collectors that are kept.
const DELIVERY_IDLE: usize = 32;
/// Time to deliver what plugins have reported, at the end.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the sync agent to close its session and finish its disk writes.
const AGENT_TIMEOUT: Duration = Duration::from_secs(5);

/// State shared by requests and the updater.
#[derive(Clone, Debug)]
pub struct ProxyParts {
    /// The table.
    pub live: Arc<Live>,
    /// The metrics.
    pub metrics: Metrics,
    /// The cap on requests in flight.
    pub in_flight: Arc<Limit>,
    /// The cap on connections.
    pub connections: Arc<Limit>,
    /// The keys of TLS sessions.
    pub tickets: Arc<Tickets>,
    /// The names of upstreams, looked up on a thread of their own.
    pub names: Arc<Names>,
    /// The targets of upstreams.
    pub balancing: Arc<Balancing>,
    /// The policy on addresses of upstreams.
    pub policy: Arc<Policy>,
    /// What plugins share.
    pub plugins: Arc<Shared>,
    /// The most idle connections to upstreams.
    pub idle: usize,
}

/// Runs the data plane until one of `signals` stops it.
///
/// # Errors
/// When a port is in use, when a certificate or a folder cannot be read, or when a part ends by itself.
pub fn run(mut config: Config, signals: Signals) -> Result<(), ExitError> {
    let budget = Budget::of_process();
    budget.clamp(&mut config);
    let mut inherited = Inherited::take();
    let registry = Registry::new();
    let metrics = Metrics::new(&registry).map_err(ExitError::internal)?;
    let addresses = [&config.listen[..], &config.listen_tls].concat();
    let bound = Bound::inherit_or_bind(&addresses, &mut inherited).map_err(ExitError::unavailable)?;
    let status_bound =
        Bound::inherit_or_bind(&[config.status.listen], &mut inherited).map_err(ExitError::unavailable)?;
    let listeners = duplicates(&[&bound, &status_bound])?;
    let gives_targets = inherited.gives(inherited::TARGETS);
    let gives_counters = inherited.gives(inherited::COUNTERS);
    let predecessor = inherited.predecessor().map(Predecessor::new);
    let tickets = Tickets::read(inherited.tickets());
    inherited.close_rest();

    let needs_table = predecessor.as_ref().is_some_and(Predecessor::wait_for_folder);
    let fault = CancellationToken::new();
    let (parts, probes) =
        ProxyParts::new(&config, metrics.clone(), budget.probes).map_err(ExitError::internal)?;
    let probes = parts.run_probes(probes, fault.clone()).map_err(ExitError::internal)?;
    let delivery = parts.run_delivery().map_err(ExitError::internal)?;
    let shared = ProxyParts { tickets: tickets.clone(), idle: budget.idle, ..parts };
    let files = shared.plugins.reports.files.clone();
    signals.reopen(files.clone());
    let collector = UpstreamCollector::new(shared.balancing.clone()).map_err(ExitError::internal)?;
    registry.register(Box::new(collector)).map_err(ExitError::internal)?;
    if let Some(predecessor) = predecessor.as_ref().filter(|_| gives_targets) {
        shared.balancing.slots().import(predecessor.targets());
    }
    let (sync, draining) = (Arc::new(cluster::Status::default()), Draining::new());
    let (live, balancing) = (shared.live.clone(), shared.balancing.clone());
    let mut agent = Agent::open(config.cluster.clone(), live, balancing, metrics.sync.clone(), sync.clone())
        .map_err(ExitError::unavailable)?;
    agent.report_health(Arc::new(cluster::TargetReports::new(shared.balancing.clone())));
    agent.purge_in(shared.plugins.answers.clone());
    info!(version = crate::VERSION, proxy = ?bound.addresses(), status = ?status_bound.addresses(), "gateway starts");

    let conf = server_conf(config.threads);
    let (live, tokens) = (shared.live.clone(), StatusThread::open_tokens(&config.status)?);
    let balancing = shared.balancing.clone();
    let (plugins, compat) = (shared.plugins.clone(), config.metrics.compat);
    let node = NodeParts {
        metrics: metrics.clone(),
        sync: sync.clone(),
        balancing: balancing.clone(),
        answers: plugins.answers.clone(),
    };
    let collector = KongCollector::new(plugins.kong.clone(), node, compat).map_err(ExitError::internal)?;
    registry.register(Box::new(collector)).map_err(ExitError::internal)?;
    let status =
        Status { registry, metrics, sync, live, balancing, plugins, compat, draining: draining.clone() };
    // Until the end: during a drain the status listener answers that the node is draining. A successor
    // answers for itself.
    let status_draining = Draining::new();
    let accepting = status_draining.clone();
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.add_service(proxy_service(&config, &server.configuration, &shared, bound, draining.clone()));

    let agent = AgentThread::start(agent, fault.clone())
        .map_err(|error| ExitError::internal(format!("cannot start the sync agent: {error}")))?;
    let agent = Arc::new(agent);
    if needs_table {
        wait_for_table(&shared.live, &fault, config.upgrade_timeout);
    }
    let counters = shared.plugins.counters.clone();
    if let Some(predecessor) = predecessor.as_ref().filter(|_| gives_counters) {
        counters.import(&predecessor.counters(), unix_millis());
    }
    let (live, state) = (shared.live.clone(), State { slots: shared.balancing.slots().clone(), counters });
    let upgrade =
        Upgrade::new(listeners, tickets, state, status_draining, agent.clone(), live, config.upgrade_timeout);
    signals.started();
    let shutdown = Stop {
        signals: Mutex::new(Some(signals)),
        draining,
        in_flight: shared.in_flight,
        connections: shared.connections,
        drain_timeout: config.drain_timeout,
        fault: fault.clone(),
        upgrade,
        predecessor,
    };
    // As late as the proxy: a successor must not answer on the status listener before it is ready.
    let status_listeners = status_bound.into_listeners();
    let _status = StatusThread::start(status_listeners, status, tokens, &config.status, accepting)?;
    server.run(RunArgs { shutdown_signal: Box::new(shutdown) });

    delivery.stop(DELIVERY_TIMEOUT);
    files.flush(DELIVERY_TIMEOUT);
    agent.stop(AGENT_TIMEOUT);
    probes.stop(AGENT_TIMEOUT);
    if fault.is_cancelled() {
        Err(ExitError::internal("the sync agent ended by itself; its log says why"))
    } else {
        Ok(())
    }
}

impl ProxyParts {
    /// Creates the state without a table, and starts the look-ups of names. Probes and their idle connections take
    /// at most `probes` descriptors.
    ///
    /// # Errors
    /// When the system provides no thread for them.
    pub fn new(config: &Config, metrics: Metrics, probes: usize) -> io::Result<(Self, ProbeRunner)> {
        let in_flight = Arc::new(Limit::new(config.max_in_flight, metrics.http.in_flight.clone()));
        let connections = Arc::new(Limit::new(config.max_connections, metrics.connections.active.clone()));
        let (live, tickets) = (Arc::new(Live::new()), Arc::default());
        let names = names(config, &metrics)?;
        let policy = Arc::new(Policy::new(config.upstream.clone()));
        let running = PROBES.min(probes.div_ceil(2));
        let limits = ProbeLimits { running, idle: PROBE_CONNECTIONS.min(probes - running) };
        let (prober, runner) = Prober::new(limits, policy.clone(), metrics.probes.clone());
        let waiting = config.max_in_flight.div_ceil(4);
        let zone = config.cluster.labels.get("zone").map(|zone| zone.as_str().into());
        let balancing = Arc::new(Balancing::new(names.clone(), prober, policy.clone(), zone, waiting));
        let idle = POOL;
        let outbound = Arc::new(Outbound::new(names.clone(), policy.clone(), CALLS));
        let answers = Arc::new(Store::new(config.cache, metrics.cache.clone()));
        let reports = reports(config, &metrics);
        let plugins = Arc::new(Shared::new(outbound, Arc::default(), reports, answers));
        let parts =
            Self { live, metrics, in_flight, connections, tickets, names, balancing, policy, plugins, idle };
        Ok((parts, runner))
    }

    /// Runs the probes on a thread of their own, and what balancers and counters do by the clock.
    ///
    /// # Errors
    /// When the system provides no thread.
    pub fn run_probes(&self, runner: ProbeRunner, fault: CancellationToken) -> io::Result<ProbeThread> {
        let slots = self.balancing.slots().clone();
        let sweeping = counting::keep_swept(self.plugins.counters.clone());
        let by_the_clock = async move {
            tokio::select! {
                () = slots.keep_time() => {}
                () = sweeping => {}
            }
        };
        ProbeThread::start(runner, by_the_clock, fault)
    }

    /// Sends what plugins report, on a thread of its own.
    ///
    /// # Errors
    /// When the system provides no thread.
    pub fn run_delivery(&self) -> io::Result<DeliveryThread> {
        // Connections of its own: those of requests are polled by other threads.
        let limits = OutboundLimits { idle: DELIVERY_IDLE, ..CALLS };
        let outbound = Outbound::new(self.names.clone(), self.policy.clone(), limits);
        DeliveryThread::start(self.plugins.reports.queues.clone(), Arc::new(outbound))
    }
}

/// Creates the proxy on its listeners, until `draining` begins: the plaintext listeners of the configuration
/// first, then those with TLS.
pub fn proxy_service(
    config: &Config,
    conf: &Arc<ServerConf>,
    shared: &ProxyParts,
    bound: Bound,
    draining: Draining,
) -> Listening<ClientServer<HttpProxy<Proxy>>> {
    let idle_of_upstream = POOL.min(shared.idle);
    let pool = Pool::new(PoolLimits { idle: shared.idle, idle_of_upstream }, config.proxy.answers);
    let forwarder = Forwarder {
        names: shared.names.clone(),
        policy: shared.policy.clone(),
        resolve_timeout: config.dns.timeout,
        pool: Arc::new(pool),
        metrics: shared.metrics.http.clone(),
        trusted: config.proxy.trusted.clone(),
        draining: draining.clone(),
        shared: shared.plugins.clone(),
    };
    let access_log = config.access_log.clone().map(|settings| {
        let revision = shared.metrics.sync.config_revision.clone();
        Arc::new(AccessLog::new(settings, shared.plugins.reports.files.clone(), revision))
    });
    let refusals = access_log.clone().map(|log| log as Arc<dyn Refusals>);
    let proxy = Proxy {
        live: shared.live.clone(),
        forwarder,
        metrics: shared.metrics.http.clone(),
        in_flight: shared.in_flight.clone(),
        settings: config.proxy.clone(),
        access_log,
    };
    let terms = server_terms(config, shared, &bound, draining.clone(), refusals);
    let server = ClientServer::new(phases(conf, proxy), terms);
    bound.serve("proxy", server, draining)
}

/// Creates Pingora's phases around the proxy.
fn phases(conf: &Arc<ServerConf>, proxy: Proxy) -> HttpProxy<Proxy> {
    let mut phases = http_proxy(conf, proxy);
    let mut options = HttpServerOptions::default();
    // Pingora's own refusal would have no body, and would not be counted.
    options.allow_connect_method_proxying = true;
    phases.server_options = Some(options);
    phases
}

fn server_terms(
    config: &Config,
    shared: &ProxyParts,
    bound: &Bound,
    draining: Draining,
    refusals: Option<Arc<dyn Refusals>>,
) -> ServerTerms {
    let (settings, metrics) = (&config.proxy, shared.metrics.connections.clone());
    let pace = PaceTerms { body_timeout: settings.body_timeout, min_rate: settings.min_body_rate };
    let header = HeaderLimits {
        time: config.header_timeout,
        target_bytes: settings.max_uri_bytes,
        bytes: settings.max_header_bytes,
        fields: settings.max_header_fields,
    };
    let http2 = http2::Settings {
        handshake_timeout: config.header_timeout,
        idle_timeout: settings.keepalive_timeout,
        pace,
        max_target_bytes: settings.max_uri_bytes,
        max_header_bytes: settings.max_header_bytes,
        max_header_fields: settings.max_header_fields,
        max_streams: config.http2.max_streams,
    };
    let http1 = http1::Terms {
        limits: ClientLimits { header, pace, keepalive_timeout: settings.keepalive_timeout },
        draining,
        missed: metrics.header_timeout.clone(),
        metrics: shared.metrics.http.clone(),
    };
    let secured = TlsListeners {
        addresses: bound.addresses().split_off(config.listen.len()),
        handshake: Handshake::new(
            shared.live.clone(),
            config.header_timeout,
            shared.tickets.clone(),
            metrics.tls_failed.clone(),
        ),
    };
    ServerTerms {
        connections: shared.connections.clone(),
        secured,
        http2: http2::Connections::new(http2, shared.metrics.http.clone(), metrics.header_timeout.clone()),
        metrics,
        http1: Arc::new(http1),
        refusals,
        windows: config.http2,
    }
}

/// Where plugins report to.
fn reports(config: &Config, metrics: &Metrics) -> Reports {
    Reports {
        queues: Queues::new(metrics.delivery.clone()),
        files: LineFiles::new(metrics.delivery.clone(), config.cluster.state_dir.clone()),
        hostname: config.cluster.hostname.as_str().into(),
        instance: uuid::Uuid::new_v4(),
    }
}

/// Starts the look-ups. At most half of all requests may wait for names, so that other routes keep working.
fn names(config: &Config, metrics: &Metrics) -> io::Result<Arc<Names>> {
    let limits = dns::Limits { timeout: config.dns.timeout, waiting: config.max_in_flight.div_ceil(2) };
    dns::start(NameServers::new(config.dns.clone()), limits, config.dns_terms, metrics.dns.clone())
}

/// Creates Pingora's own configuration. Its parts for daemons, upgrades and certificates are not used.
pub fn server_conf(threads: usize) -> ServerConf {
    ServerConf {
        threads,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

/// Duplicates the listeners for a successor.
fn duplicates(bound: &[&Bound]) -> Result<Vec<TcpListener>, ExitError> {
    let all = bound.iter().map(|bound| bound.duplicates()).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| ExitError::unavailable(format!("cannot duplicate a listener: {error}")))?;
    Ok(all.into_iter().flatten().collect())
}

/// Waits for the first table. The predecessor serves meanwhile, and ends this process after its own timeout.
/// The deadline here covers a predecessor that is gone.
fn wait_for_table(live: &Live, fault: &CancellationToken, drain_timeout: Duration) {
    let deadline = Instant::now() + drain_timeout;
    while live.load().is_none() && !fault.is_cancelled() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}
