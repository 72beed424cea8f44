//! Builds, connects, starts and stops the parts of the control plane; the only module that knows all of them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use node::exit::ExitError;
use node::http::{HttpLimiter, Listener, serve};
use node::identity::IdentityReloader;
use node::status::RESERVED_DESCRIPTORS;
use node::tokens::TokenFile;
use node::{descriptors, node_id};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::admin::{self, AppState, NodeInfo, bind};
use crate::cluster::{self, Admission, AdmissionReloader, Registry as DataPlanes};
use crate::config::Config;
use crate::expiry::Expiry;
use crate::kong_metrics::KongCollector;
use crate::metrics::Metrics;
use crate::publish::{self, Publisher};
use crate::signals::Signals;
use crate::status;
use crate::store::{Store, make_folder};

/// Timeout for work in progress after a signal to stop.
const GRACE: Duration = Duration::from_secs(4);

/// After a signal, timeout for a step of the start that cannot be cancelled, such as the look-up of a name.
const ABANDON: Duration = Duration::from_secs(1);

/// Loads the configuration and runs the control plane until a signal.
///
/// # Errors
/// When something that the program needs is missing (the database, the certificate or key, a port), or
/// when a task ends by itself.
pub fn run(load: impl FnOnce() -> Result<Config, ExitError>) -> Result<(), ExitError> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let config = load()?;
        let app = tokio::select! {
            app = App::build(config) => app?,
            () = signals.stop() => {
                info!("stopping: this process has not begun to serve");
                return Ok(());
            }
        };
        app.serve(signals).await
    });
    runtime.shutdown_timeout(ABANDON);
    outcome
}

/// Brings the database's schema up to date.
///
/// # Errors
/// When the database cannot be reached or rejects a step.
pub fn migrate(config: &Config) -> Result<(), ExitError> {
    runtime()?.block_on(async {
        let store = Store::open(&config.database_url).await.map_err(unreachable_database)?;
        store.migrate(&config.database_url).await.map_err(ExitError::unavailable)?;
        info!("the schema is up to date");
        Ok(())
    })
}

/// Confirms the configuration in the database, so that control planes that hold it back send it to their data
/// planes.
///
/// # Errors
/// When the database cannot be reached or rejects the write.
pub fn confirm(config: &Config) -> Result<Uuid, ExitError> {
    runtime()?.block_on(async {
        let store = Store::open(&config.database_url).await.map_err(unreachable_database)?;
        publish::confirm(&store).await.map_err(ExitError::unavailable)
    })
}

/// All parts, built and bound, none of them running.
struct App {
    config: Config,
    node_id: Uuid,
    store: Store,
    publisher: Publisher,
    data_planes: DataPlanes,
    metrics: Metrics,
    registry: Arc<Registry>,
    admission: Admission,
    watch: AdmissionReloader,
    listeners: Listeners,
    /// The tokens of the status listener.
    status_tokens: Option<TokenFile>,
}

struct Listeners {
    admin: admin::Listeners,
    cluster: TcpListener,
    status: TcpListener,
}

impl App {
    async fn build(config: Config) -> Result<Self, ExitError> {
        let descriptors = descriptors::raise_limit();
        let registry = Arc::new(Registry::new());
        let metrics = Metrics::new(&registry).map_err(ExitError::internal)?;
        let reloader = IdentityReloader::open(config.identity.clone()).map_err(ExitError::unavailable)?;
        let listeners = Listeners {
            admin: admin::Listeners::bind(&config.admin, &metrics, descriptors).await?,
            cluster: bind("cluster.listen", config.cluster).await?,
            status: bind("status.listen", config.status.listen).await?,
        };
        let status_tokens = config.status.tokens.as_deref().map(TokenFile::open).transpose();
        let status_tokens = status_tokens.map_err(ExitError::unavailable)?;
        make_folder(&config.data_dir).map_err(|error| {
            ExitError::unavailable(format!("cannot make data_dir {}: {error}", config.data_dir.display()))
        })?;
        let node_id =
            node_id::keep(&config.data_dir, reloader.certified_id()).map_err(ExitError::unavailable)?;
        let store = Store::open(&config.database_url).await.map_err(unreachable_database)?;
        if config.migrate {
            store.migrate(&config.database_url).await.map_err(ExitError::unavailable)?;
        }
        let settings = publish::Settings { data_dir: Some(config.data_dir.clone()), guard: config.guard };
        let publisher =
            Publisher::start(store.clone(), metrics.cluster.clone(), settings).await.map_err(|error| {
                ExitError::unavailable(format!("cannot read the configuration: {error}; is the schema there? `gibbon-control migrate` makes it"))
            })?;
        store.data_planes().mark_disconnected(node_id).await.map_err(ExitError::unavailable)?;
        let (admission, watch) = Admission::start(reloader, store.clone(), metrics.cluster.clone())
            .await
            .map_err(ExitError::unavailable)?;
        let data_planes =
            DataPlanes::new(node_id, config.heartbeat, metrics.cluster.clone(), publisher.head());
        if config.compat_metrics {
            let database = metrics.cluster.database_reachable.clone();
            let collector = KongCollector::new(node_id, data_planes.clone(), database);
            registry
                .register(Box::new(collector.map_err(ExitError::internal)?))
                .map_err(ExitError::internal)?;
        }
        Ok(Self {
            config,
            node_id,
            store,
            publisher,
            data_planes,
            metrics,
            registry,
            admission,
            watch,
            listeners,
            status_tokens,
        })
    }

    async fn serve(self, signals: Signals) -> Result<(), ExitError> {
        let stop = CancellationToken::new();
        // Tasks that follow the others end after them, so that their last reports are written.
        let last = CancellationToken::new();
        let (mut tasks, mut followers) = (JoinSet::new(), JoinSet::new());
        let (admin, status) = (self.admin(), self.status(&stop));
        info!(
            admin = %self.config.admin.listen, cluster = %self.config.cluster,
            status = %self.config.status.listen,
            node_id = %self.node_id, "the control plane is running"
        );
        tasks.spawn(named("admin", self.listeners.admin.serve(admin, stop.clone())));
        let refused = self.metrics.status_refused.clone();
        let shared = HttpLimiter::new(self.config.status.limits.clone(), move |bound| {
            refused.with_label_values(&[bound.as_str()]).inc();
        });
        let listener = Listener::Tcp(self.listeners.status);
        followers.spawn(named("status", serve(listener, status, shared, RESERVED_DESCRIPTORS, last.clone())));
        if let Some(tokens) = self.status_tokens {
            let metrics = self.metrics.clone();
            let count = move |good| metrics.count_token_reload(good);
            tasks.spawn(named("status tokens", tokens.follow(stop.clone(), count)));
        }
        let settings = cluster::Settings {
            node_id: self.node_id,
            version: crate::VERSION.to_owned(),
            heartbeat: self.config.heartbeat,
            admission: self.admission,
        };
        let listening = cluster::listen(
            self.listeners.cluster,
            settings,
            self.publisher.clone(),
            self.data_planes.clone(),
            self.metrics.cluster.clone(),
            stop.clone(),
        );
        tasks.spawn(named("cluster", listening));
        tasks.spawn(named("guard", self.watch.follow(stop.clone())));
        let expiry =
            Expiry::new(self.store.clone(), self.publisher.clone(), crate::store::now_in_milliseconds);
        tasks.spawn(named("expiry", expiry.follow(stop.clone())));
        followers.spawn(named("publisher", self.publisher.follow(last.clone())));
        followers.spawn(named("registry", self.data_planes.follow(self.store, last.clone())));
        watch((tasks, &stop), (followers, &last), signals).await
    }

    fn admin(&self) -> Router {
        admin::router(AppState {
            store: self.store.clone(),
            head: self.publisher.head(),
            publisher: self.publisher.clone(),
            registry: self.data_planes.clone(),
            node: NodeInfo {
                id: self.node_id,
                hostname: hostname::get().unwrap_or_default().to_string_lossy().into_owned(),
                version: crate::VERSION,
            },
            questions: Arc::new(Semaphore::new(1)),
            bodies: admin::BodyMemory::new(self.config.admin.max_body_memory),
            config: self.config.admin.config,
            show_secrets: self.config.admin.show_secrets,
            configuration: self.config.shown.clone(),
            metrics: self.metrics.admin.clone(),
        })
    }

    fn status(&self, stop: &CancellationToken) -> status::Front {
        let router = status::router(status::Status {
            registry: Arc::clone(&self.registry),
            store: self.store.clone(),
            head: self.publisher.head(),
            stop: stop.clone(),
        });
        let tokens = self.status_tokens.as_ref().map(TokenFile::tokens);
        status::Front { router, tokens, refused: self.metrics.status_refused.clone() }
    }
}

/// Tasks by their names.
type Tasks = JoinSet<&'static str>;

/// Waits for a signal, or for a task that ends by itself. Then ends all tasks, and after them those that
/// follow their results.
async fn watch(
    (mut tasks, stop): (Tasks, &CancellationToken),
    (mut followers, last): (Tasks, &CancellationToken),
    mut signals: Signals,
) -> Result<(), ExitError> {
    let outcome = tokio::select! {
        () = signals.stop() => Ok(()),
        ended = tasks.join_next() => Err(ended_by_itself(ended)),
        ended = followers.join_next() => Err(ended_by_itself(ended)),
    };
    info!("stopping");
    stop.cancel();
    drain(&mut tasks).await;
    last.cancel();
    drain(&mut followers).await;
    outcome
}

fn ended_by_itself(ended: Option<Result<&'static str, JoinError>>) -> ExitError {
    ExitError::internal(match ended {
        Some(Ok(name)) => format!("the {name} task ended by itself"),
        Some(Err(error)) => format!("a task failed: {error}"),
        None => "there is nothing to run".to_owned(),
    })
}

/// Waits until all tasks have ended.
async fn drain(tasks: &mut Tasks) {
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        warn!(still_running = tasks.len(), "not everything has ended in time; going on without");
    }
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

fn runtime() -> Result<tokio::runtime::Runtime, ExitError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ExitError::internal)
}

fn unreachable_database(error: impl std::fmt::Display) -> ExitError {
    ExitError::unavailable(format!("{error}; is the server running, and is database.url right?"))
}
