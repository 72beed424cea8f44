//! The sync agent: keeps the live table at the control plane's head, and a copy of the configuration on disk.
//!
//! The agent runs on its own thread and runtime, so that decoding, validation and building never delay a
//! traffic worker. No request waits for anything in this module.

mod apply;
mod applying;
mod backoff;
mod cache;
mod client;
mod crash_guard;
mod health;
mod lock;
mod restore;
mod session;
mod status;
mod store;
mod targets;
mod thread;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use node::identity::{Files, IdentityError, IdentityReloader};
use node::node_id::{self, NodeIdError};
use node::text::one_line;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;
use wire::{Ack, Assembly, Nack, NackReason, Position, Update};

pub use self::apply::Applier;
use self::applying::{Applied, Applying};
use self::cache::Cache;
pub use self::cache::CacheError;
use self::crash_guard::CrashGuard;
pub use self::health::HealthSource;
pub use self::status::{Source, Status, StatusView};
use self::store::Writer;
pub use self::targets::{TargetReports, health_of_targets, state_of_address};
pub use self::thread::AgentThread;
use crate::answer_cache::Store;
use crate::live::Live;
use crate::metrics::SyncMetrics;
use crate::upstream::Balancing;

/// Settings of the sync agent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Control planes as `host:port`, tried in turn.
    pub control_planes: Vec<String>,
    /// This node's certificate and key, and the certificates that it trusts.
    pub identity: Files,
    /// Interval between two heartbeats.
    pub heartbeat: Duration,
    /// The folder of the node id and of the copy on disk.
    pub state_dir: PathBuf,
    /// This node's host name.
    pub hostname: String,
    /// This program's version.
    pub version: String,
    /// The operator's labels for this node.
    pub labels: BTreeMap<String, String>,
}

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The copy on disk cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The node id cannot be used.
    #[error(transparent)]
    NodeId(#[from] NodeIdError),
    /// The certificate pair cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// The sync agent.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    node_id: Uuid,
    /// Identifies this process among those that may use the node id.
    instance: Uuid,
    reloader: IdentityReloader,
    applier: Applier,
    writer: Writer,
    crash_guard: CrashGuard,
    /// The received part of an update whose connection has ended.
    partial: Option<Assembly>,
    /// The last write of the mark failed, and that was logged.
    mark_failing: bool,
    /// The health of the targets, if the control plane is to know it.
    health: Option<Arc<dyn HealthSource>>,
    metrics: SyncMetrics,
    status: Arc<Status>,
}

impl Agent {
    /// Reads the node id, the certificate pair and the copy on disk, and publishes the copy at once.
    ///
    /// # Errors
    /// When the folder cannot be used, when another process uses it, or when the certificate pair cannot be
    /// read. A damaged copy is no error: it is set aside, with a line in the log, and the agent starts
    /// without it.
    pub fn open(
        settings: Settings,
        live: Arc<Live>,
        balancing: Arc<Balancing>,
        metrics: SyncMetrics,
        status: Arc<Status>,
    ) -> Result<Self, OpenError> {
        let reloader = IdentityReloader::open(settings.identity.clone())?;
        metrics.certificate_expiry.set(reloader.identity().not_after());
        let mut cache = Cache::open(&settings.state_dir)?;
        let (crash_guard, complaint) = CrashGuard::open(&settings.state_dir);
        let node_id = node_id::keep(&settings.state_dir, reloader.certified_id())?;
        cache.keep_node_id(node_id);
        status.edit(|view| view.node_id = node_id);
        balancing.set_node(node_id);
        let mut agent = Self {
            settings,
            node_id,
            instance: Uuid::from_u128(rand::random()),
            reloader,
            applier: Applier::new(live, balancing),
            writer: Writer::idle(metrics.clone(), status.clone()),
            crash_guard,
            partial: None,
            mark_failing: false,
            health: None,
            metrics,
            status,
        };
        agent.watch_marker(complaint.map_or(Ok(()), Err));
        agent.restore(cache);
        Ok(agent)
    }

    /// Reports the health of the targets to the control plane from the next connection on.
    pub fn report_health(&mut self, source: Arc<dyn HealthSource>) {
        self.health = Some(source);
    }

    /// Carries out orders to remove answers that are kept here.
    pub fn purge_in(&mut self, answers: Arc<Store>) {
        self.applier.purge_in(answers);
    }

    /// Synchronizes until `stop`. Then closes the session, finishes the disk writes and releases the folder.
    async fn run(&mut self, stop: &CancellationToken) {
        if self.waited_out(stop).await {
            client::run(self, stop).await;
        }
        self.writer.finish();
        self.metrics.connected.set(0);
        self.status.edit(|view| view.connected = false);
    }

    /// Whether another process may use the folder.
    fn has_left_folder(&self) -> bool {
        self.writer.has_ended()
    }

    /// Serves the restored configuration for a while after repeated crashes; returns whether to continue
    /// then.
    async fn waited_out(&self, stop: &CancellationToken) -> bool {
        let Some(pause) = self.crash_guard.pause() else { return true };
        let seconds = pause.as_secs();
        warn!(seconds, "this program ended again and again while it applied changes; it asks for none now");
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = stop.cancelled() => false,
        }
    }

    /// Begins to apply an update, under the mark on disk that outlives the process. [`Agent::applied`] takes
    /// the result; until then the agent holds nothing.
    fn begin(&mut self, update: Update) -> Result<Applying, Nack> {
        if let Some(nack) = self.refusal(&update) {
            self.refused(&nack);
            return Err(nack);
        }
        self.mark(update.header.position());
        let idle = Applier::new(Arc::default(), Arc::default());
        Ok(Applying::begin(std::mem::replace(&mut self.applier, idle), update))
    }

    /// Records the result of an update, and hands an applied one to the disk writer.
    fn applied(&mut self, applied: Applied) -> Result<Ack, Nack> {
        let Applied { applier, update, result } = applied;
        self.applier = applier;
        self.unmark(update.header.position(), result.is_ok());
        match &result {
            Ok(ack) => {
                let mode = update.header.mode.as_str();
                info!(
                    revision = ack.held.revision,
                    mode,
                    decode_us = ack.decode_us,
                    apply_us = ack.apply_us,
                    "configuration is live"
                );
                self.metrics.applies.with_label_values(&[mode]).inc();
                let took = Duration::from_micros(ack.decode_us.saturating_add(ack.apply_us));
                self.metrics.apply_duration.observe(took.as_secs_f64());
                self.went_live(ack.held, Source::ControlPlane);
                self.confirmed();
                self.writer.store(update, self.applier.take_superseded_secrets());
            }
            Err(nack) => self.refused(nack),
        }
        result
    }

    /// Reports a rejected update.
    fn refused(&self, nack: &Nack) {
        let message = one_line(&nack.message);
        error!(
            revision = nack.revision, reason = nack.reason.as_str(), collection = nack.collection,
            id = ?nack.id, field = nack.field, "configuration refused, the one before it stays: {message}"
        );
        self.metrics.rejections.with_label_values(&[nack.reason.as_str()]).inc();
        self.fail(format!("revision {} refused: {message}", nack.revision));
    }

    /// The reason to reject an update from a control plane untried, if there is one. A node without a
    /// configuration tries every update, after a pause at its start (see [`CrashGuard::pause`]).
    fn refusal(&self, update: &Update) -> Option<Nack> {
        self.applier.held().and_then(|_| self.marked(update))
    }

    fn marked(&self, update: &Update) -> Option<Nack> {
        let to = update.header.position();
        self.crash_guard.refusal(to).map(|message| nack(to, message))
    }

    /// Applies an update under the mark on disk that outlives the process.
    fn apply_marked(&mut self, update: &Update) -> Result<Ack, Nack> {
        let to = update.header.position();
        self.mark(to);
        let timer = self.metrics.apply_duration.start_timer();
        let result = self.applier.apply(update);
        timer.observe_duration();
        self.unmark(to, result.is_ok());
        result
    }

    /// Marks on disk the position that is about to be applied.
    fn mark(&mut self, to: Position) {
        let begun = self.crash_guard.begin(to);
        self.watch_marker(begun);
    }

    fn unmark(&mut self, to: Position, live: bool) {
        let ended = self.crash_guard.end(live.then_some(to));
        self.watch_marker(ended);
    }

    /// Reports a mark that cannot be written. The update is applied all the same, without that protection.
    fn watch_marker(&mut self, written: Result<(), CacheError>) {
        let failed_before = std::mem::replace(&mut self.mark_failing, written.is_err());
        if let Err(error) = written {
            self.metrics.cache_errors.inc();
            if !failed_before {
                warn!(%error, "a configuration that ends this program would be applied again");
            }
        }
        let suspect = self.crash_guard.suspect();
        self.metrics.crashes.set(suspect.map_or(0, |suspect| suspect.deaths.into()));
        self.status.edit(|view| {
            view.crashed_revision = suspect.map(|suspect| suspect.revision());
            view.crashes = suspect.map_or(0, |suspect| suspect.deaths);
        });
    }

    /// The position on which a control plane builds its updates; `None` when the disk needs a snapshot.
    fn held(&self) -> Option<Position> {
        self.applier.held().filter(|_| !self.writer.wants_snapshot())
    }

    fn went_live(&self, held: Position, source: Source) {
        let now = seconds_now();
        self.metrics.config_revision.set(signed(held.revision));
        self.metrics.applied_at.set(now);
        self.status.holds(held, source, now);
    }

    /// Notes that a control plane has confirmed the live configuration: it no longer comes from disk alone.
    fn confirmed(&self) {
        self.metrics.served_from_disk.set(0);
        self.status.edit(|view| view.source = view.source.map(|_| Source::ControlPlane));
    }

    fn heard(&self) {
        let now = seconds_now();
        self.metrics.last_contact.set(now);
        self.status.edit(|view| view.last_contact = Some(now));
    }

    fn head_is(&self, head: Position) {
        self.metrics.head_revision.set(signed(head.revision));
        self.status.edit(|view| view.head_revision = Some(head.revision));
        if self.applier.held() == Some(head) {
            self.confirmed();
        }
    }

    fn fail(&self, message: String) {
        self.status.edit(|view| view.last_error = Some(message));
    }
}

fn nack(to: Position, message: String) -> Nack {
    let reason = NackReason::Internal;
    let (epoch, revision) = (to.epoch, to.revision);
    Nack { epoch, revision, reason, message, collection: None, id: None, field: None }
}

fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn seconds_now() -> i64 {
    signed(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn io_error(what: &'static str, path: &Path, source: std::io::Error) -> CacheError {
    CacheError::Io { what, path: path.to_owned(), source }
}
