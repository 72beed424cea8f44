//! Builds the data plane, wires its parts, starts and stops it: the one place that knows them all.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use node::exit::Failure;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use prometheus::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::cluster::{self, Agent};
use crate::config::Config;
use crate::drain::{Draining, Stop};
use crate::limit::Limit;
use crate::listener::{Bound, Gate, Limits, Listening};
use crate::live::{self, Live};
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::status::Status;
use crate::upstream::Resolver;

/// Connections kept open to upstreams, for each worker. Too few would be made anew all the time.
const POOL: usize = 1024;
/// How long the sync agent may take to say goodbye and leave the disk in order.
const AGENT_PATIENCE: Duration = Duration::from_secs(5);

/// What requests and the updater share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The table.
    pub live: Arc<Live>,
    /// The metrics.
    pub metrics: Metrics,
    /// The cap on requests in flight.
    pub in_flight: Arc<Limit>,
}

/// Runs the data plane until it is told to stop.
///
/// # Errors
/// A port in use, a certificate or a folder that cannot be read; a part that ended by itself.
pub fn run(config: Config) -> Result<(), Failure> {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry).map_err(Failure::internal)?;
    let bound = Bound::bind(&config.listen).map_err(Failure::unavailable)?;
    let status_bound = Bound::bind(&[config.status]).map_err(Failure::unavailable)?;
    raise_descriptor_limit();

    let shared = Shared::new(&config, metrics.clone());
    let (sync, draining) = (Arc::new(cluster::Status::default()), Draining::new());
    let agent = Agent::open(config.cluster.clone(), shared.live.clone(), metrics.sync.clone(), sync.clone())
        .map_err(Failure::unavailable)?;
    info!(version = crate::VERSION, proxy = ?bound.addresses(), status = ?status_bound.addresses(), "gateway starts");

    let conf = server_conf(config.threads);
    let status = Status { registry, metrics, sync, live: shared.live.clone(), draining: draining.clone() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.add_service(proxy_service(&config, &server.configuration, &shared, bound, draining.clone()));
    // Until the end: whoever asks while requests end is told that the node is draining.
    server.add_service(status_bound.serve("status", status, Draining::new()).on_threads(1));

    let (stop, fault) = (CancellationToken::new(), CancellationToken::new());
    let agent = spawn_agent(agent, stop.clone(), fault.clone())?;
    let shutdown =
        Stop { draining, in_flight: shared.in_flight, patience: config.drain_timeout, fault: fault.clone() };
    server.run(RunArgs { shutdown_signal: Box::new(shutdown) });

    stop.cancel();
    join_agent(agent);
    if fault.is_cancelled() {
        Err(Failure::internal("the sync agent ended by itself; its log says why"))
    } else {
        Ok(())
    }
}

impl Shared {
    /// Without a table yet.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        let in_flight = Arc::new(Limit::new(config.max_in_flight, metrics.http.in_flight.clone()));
        Self { live: Arc::new(Live::new()), metrics, in_flight }
    }
}

/// The proxy on its listeners, until `draining` begins.
pub fn proxy_service(
    config: &Config,
    conf: &Arc<ServerConf>,
    shared: &Shared,
    bound: Bound,
    draining: Draining,
) -> Listening<Gate> {
    let connections = &shared.metrics.connections;
    let proxy = Proxy {
        live: shared.live.clone(),
        resolver: Arc::new(Resolver::default()),
        metrics: shared.metrics.http.clone(),
        in_flight: shared.in_flight.clone(),
        settings: config.proxy.clone(),
    };
    let limits = Limits {
        connections: Arc::new(Limit::new(config.max_connections, connections.active.clone())),
        header_timeout: config.header_timeout,
    };
    let gate = Gate::new(http_proxy(conf, proxy), limits, connections.clone());
    bound.serve("proxy", gate, draining)
}

/// Pingora's own configuration. What it has for daemons, upgrades and certificates is not used.
pub fn server_conf(threads: usize) -> ServerConf {
    ServerConf {
        threads,
        upstream_keepalive_pool_size: POOL,
        // It counts attempts; ours are counted for each service.
        max_retries: usize::from(u16::MAX) + 1,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

/// On its own thread and runtime, so that an update never takes a turn from a worker.
fn spawn_agent(
    agent: Agent,
    stop: CancellationToken,
    fault: CancellationToken,
) -> Result<JoinHandle<()>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::internal(format!("cannot start the sync agent: {error}")))?;
    let run = move || {
        // Cancelled when the thread ends, by a panic too.
        let ended = fault.drop_guard();
        runtime.block_on(agent.run(stop.clone()));
        if stop.is_cancelled() {
            ended.disarm();
        }
    };
    let thread = thread::Builder::new().name("sync-agent".to_owned()).stack_size(live::STACK).spawn(run);
    thread.map_err(|error| Failure::internal(format!("cannot start the sync agent's thread: {error}")))
}

fn join_agent(agent: JoinHandle<()>) {
    let deadline = Instant::now() + AGENT_PATIENCE;
    while !agent.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    if !agent.is_finished() {
        warn!("the sync agent has not ended within {AGENT_PATIENCE:?}");
    } else if agent.join().is_err() {
        error!("the sync agent has panicked");
    }
}

/// Connections cost descriptors, and the limit that shells give is 1,024.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        warn!("cannot raise the limit of open files: {error}");
    }
}
