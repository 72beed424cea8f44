//! Simulated data planes: the real wire over real TLS and real sockets, without a table and a disk. Each
//! holds a position, acks every update, and reconnects like a real one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use node::identity::{Identity, Pins, client_config};
use node::link::{self, Link, LinkError};
use rustls::ClientConfig;
use testkit::certs::Pair;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{Ack, Assembly, Frame, HealthReport, Hello, Mode, Position, VERSIONS};

/// The heartbeat interval, as by default.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Bounds of the delay before a reconnect, like those of a data plane.
const FIRST: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_secs(5);
/// Reports of health that wait for a data plane.
const REPORTS: usize = 64;

/// Data planes that run on threads of their own until this is dropped.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<FleetState>,
    stop: CancellationToken,
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct FleetState {
    address: String,
    tls: Arc<ClientConfig>,
    /// The revision of each data plane.
    held: Vec<AtomicU64>,
    connected: AtomicUsize,
    snapshots: AtomicUsize,
    failures: AtomicUsize,
    /// The longest time without a frame on a connection, in microseconds.
    silence: AtomicU64,
    reports: broadcast::Sender<HealthReport>,
}

impl Fleet {
    /// Starts `count` data planes of the control plane at `address`, all at once.
    ///
    /// # Panics
    /// When the pair cannot be read.
    pub fn start(count: usize, address: &str, pair: &Pair) -> Self {
        let shared = Arc::new(FleetState {
            address: address.to_owned(),
            tls: tls(&pair.cert, &pair.key),
            held: (0..count).map(|_| AtomicU64::default()).collect(),
            connected: AtomicUsize::default(),
            snapshots: AtomicUsize::default(),
            failures: AtomicUsize::default(),
            silence: AtomicU64::default(),
            reports: broadcast::channel(REPORTS).0,
        });
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        for number in 0..count {
            runtime.spawn(stop.clone().run_until_cancelled_owned(run(number, Arc::clone(&shared))));
        }
        Self { shared, stop, runtime: Some(runtime) }
    }

    /// The number of data planes.
    pub fn len(&self) -> usize {
        self.shared.held.len()
    }

    /// Whether there are no data planes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many data planes are connected.
    pub fn connected(&self) -> usize {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// How many data planes hold this revision.
    pub fn holding(&self, revision: u64) -> usize {
        self.shared.held.iter().filter(|held| held.load(Ordering::Relaxed) >= revision).count()
    }

    /// The number of snapshots sent to all data planes together.
    pub fn snapshots(&self) -> usize {
        self.shared.snapshots.load(Ordering::Relaxed)
    }

    /// The number of connections that failed or were lost.
    pub fn failures(&self) -> usize {
        self.shared.failures.load(Ordering::Relaxed)
    }

    /// The longest time for which a connection got no frame, since this was asked last.
    pub fn longest_silence(&self) -> Duration {
        Duration::from_micros(self.shared.silence.swap(0, Ordering::Relaxed))
    }

    /// Lets each data plane send this report, with the revision that it holds.
    ///
    /// # Panics
    /// No data plane is connected.
    pub fn report(&self, report: HealthReport) {
        self.shared.reports.send(report).unwrap();
    }

    /// Waits until all are connected and hold this revision. Returns the time that it took.
    ///
    /// # Panics
    /// They do not within a minute.
    pub async fn wait_for(&self, revision: u64) -> Duration {
        let begun = Instant::now();
        while self.connected() < self.len() || self.holding(revision) < self.len() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{} of {} are connected, {} hold revision {revision}",
                self.connected(),
                self.len(),
                self.holding(revision)
            );
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        begun.elapsed()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn tls(certificate: &Path, key: &Path) -> Arc<ClientConfig> {
    let identity = Identity::load(certificate, key).unwrap();
    client_config(&identity, &Pins::from(&identity)).unwrap()
}

async fn run(number: usize, shared: Arc<FleetState>) {
    let mut held = None;
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        if let Ok(link) = link::connect(&shared.address, Arc::clone(&shared.tls)).await {
            Connection { number, shared: &shared, link, held: &mut held, welcomed: false }.serve().await.ok();
        }
        shared.failures.fetch_add(1, Ordering::Relaxed);
        failures = if begun.elapsed() > Duration::from_secs(10) { 0 } else { failures + 1 };
        let bound = FIRST.saturating_mul(1 << failures.min(16)).min(MAX_DELAY);
        tokio::time::sleep(bound.mul_f64(rand::random())).await;
    }
}

struct Connection<'a> {
    number: usize,
    shared: &'a FleetState,
    link: Link,
    held: &'a mut Option<Position>,
    welcomed: bool,
}

impl Connection<'_> {
    async fn serve(mut self) -> Result<(), LinkError> {
        self.link.send(Frame::Hello(self.hello()).encode()).await?;
        let mut assembly = None;
        let mut reports = self.shared.reports.subscribe();
        // The first heartbeats are spread over time.
        let first = Instant::now() + HEARTBEAT.mul_f64(rand::random());
        let mut heartbeat = tokio::time::interval_at(first, HEARTBEAT);
        let mut heard = Instant::now();
        loop {
            let message = tokio::select! {
                message = self.link.recv() => message?,
                _ = heartbeat.tick() => {
                    self.link.send(Frame::Heartbeat(self.held.unwrap_or_default()).encode()).await?;
                    continue;
                }
                report = reports.recv() => {
                    let report = report.expect("a data plane that keeps up");
                    let revision = self.held.unwrap_or_default().revision;
                    self.link.send(Frame::Health(HealthReport { revision, ..report }).encode()).await?;
                    continue;
                }
            };
            let Some(message) = message else { return Ok(()) };
            let silence = u64::try_from(heard.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.shared.silence.fetch_max(silence, Ordering::Relaxed);
            heard = Instant::now();
            match Frame::decode(&message).expect("a control plane sends frames") {
                Frame::Welcome(welcome) => {
                    self.welcomed = true;
                    // As a real one: at least as often as the control plane.
                    let wanted = Duration::from_millis(welcome.heartbeat_ms);
                    if wanted < HEARTBEAT {
                        heartbeat = tokio::time::interval(wanted);
                    }
                    self.shared.connected.fetch_add(1, Ordering::Relaxed);
                }
                Frame::Update(header, part) => {
                    assembly = Some(Assembly::begin(header, part).expect("an update within the limits"));
                }
                Frame::More(part) => {
                    let assembly = assembly.as_mut().expect("an update has begun");
                    assembly.push(part).expect("no more than was announced");
                }
                Frame::Heartbeat(_) | Frame::Ignored(_) => {}
                other => panic!("a control plane that holds the same has no reason for {other:?}"),
            }
            if assembly.as_ref().is_some_and(Assembly::is_complete) {
                self.take(assembly.take()).await?;
            }
        }
    }

    async fn take(&mut self, assembly: Option<Assembly>) -> Result<(), LinkError> {
        let Some(assembly) = assembly else { return Ok(()) };
        let header = assembly.header();
        if header.mode == Mode::Snapshot {
            self.shared.snapshots.fetch_add(1, Ordering::Relaxed);
        }
        let held = header.position();
        *self.held = Some(held);
        self.shared.held[self.number].store(held.revision, Ordering::Relaxed);
        self.link.send(Frame::Ack(Ack { held, decode_us: 20, apply_us: 20 }).encode()).await
    }

    fn hello(&self) -> Hello {
        Hello {
            versions: VERSIONS,
            node_id: Uuid::from_u128(0xF1EE7 + ((self.number as u128) << 64)),
            hostname: format!("simulated-{}", self.number),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kinds: (1..128).collect(),
            fields: model::must_understand_fields(),
            labels: [("zone".to_owned(), "a".to_owned())].into(),
            held: *self.held,
            instance: None,
            partial: None,
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if self.welcomed {
            self.shared.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
