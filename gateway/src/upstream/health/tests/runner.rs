//! The runner: under a paused clock with probes that only take time, and on its thread with real ones.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ipnet::IpNet;
use parking_lot::Mutex;
use prometheus::Registry;
use testkit::origin::{Answer, Origin};
use testkit::wait;
use tokio::time::{advance, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::metrics::ProbeMetrics;
use crate::upstream::{Policy, Rules};

const UPSTREAM: Uuid = Uuid::from_u128(1);

/// Turns unhealthy after two failures, and healthy after two successes.
#[derive(Default)]
struct Target {
    unhealthy: AtomicBool,
    in_row: AtomicUsize,
    flips: AtomicUsize,
    results: Mutex<Vec<ProbeOutcome>>,
}

impl Heard for Target {
    fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Relaxed)
    }

    fn result(&self, outcome: &ProbeOutcome) {
        self.results.lock().push(outcome.clone());
        let good = matches!(outcome, ProbeOutcome::Success | ProbeOutcome::Status(200..400));
        if good == self.is_healthy() {
            self.in_row.store(0, Ordering::Relaxed);
        } else if self.in_row.fetch_add(1, Ordering::Relaxed) == 1 {
            self.unhealthy.store(!good, Ordering::Relaxed);
            self.in_row.store(0, Ordering::Relaxed);
            self.flips.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Target {
    fn heard(&self) -> usize {
        self.results.lock().len()
    }
}

/// Takes a time for each probe, fails while it is down, and panics when told so.
#[derive(Clone, Default)]
struct Pretend {
    takes: Duration,
    down: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Execute for Pretend {
    async fn execute(&self, _: &Job, _: &Memory) -> ProbeOutcome {
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(running, Ordering::Relaxed);
        sleep(self.takes).await;
        self.running.fetch_sub(1, Ordering::Relaxed);
        assert!(!self.panics.load(Ordering::Relaxed), "as told");
        if self.down.load(Ordering::Relaxed) { ProbeOutcome::Timeout } else { ProbeOutcome::Success }
    }
}

/// A prober whose runner is a task.
struct Stage {
    prober: Prober,
    metrics: ProbeMetrics,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Stage {
    fn start(execute: Pretend, limits: ProbeLimits) -> Self {
        let metrics = ProbeMetrics::new(&Registry::new()).unwrap();
        let (prober, runner) = Prober::with(execute, limits, Arc::default(), metrics.clone());
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let stopped = stop.clone();
        tasks.spawn(async move { runner.run(&stopped).await });
        Self { prober, metrics, stop, tasks }
    }

    fn count(&self, result: &str) -> u64 {
        self.metrics.results.with_label_values(&[result]).get()
    }
}

fn wanted(port: u16, check: Check, target: &Arc<Target>) -> WantedProbe {
    let schedule = Schedule { healthy: Some(5 * SECOND), unhealthy: Some(SECOND), jitter: 10 };
    let probe = Probe { address: ([127, 0, 0, 1], port).into(), check, timeout: 10 * SECOND };
    WantedProbe { probe, schedule, name: None, heard: target.clone() }
}

#[tokio::test(start_paused = true)]
async fn flapping_address_is_followed_for_a_day() {
    let (pretend, target) =
        (Pretend { takes: SECOND / 100, ..Pretend::default() }, Arc::new(Target::default()));
    let stage = Stage::start(pretend.clone(), LIMITS);
    stage.prober.set(UPSTREAM, 10, vec![wanted(1, Check::Tcp, &target)]);
    for hour in 0..25 {
        pretend.down.store(hour % 2 == 1, Ordering::Relaxed);
        sleep(3600 * SECOND).await;
        assert_eq!(target.is_healthy(), hour % 2 == 0, "{hour}");
        assert_eq!(target.flips.load(Ordering::Relaxed), hour);
    }
    let (healthy, unhealthy) = (stage.count("success"), stage.count("timeout"));
    assert!((9_000..=10_000).contains(&healthy), "{healthy}");
    assert!((42_000..=44_500).contains(&unhealthy), "{unhealthy}");
    assert_eq!(pretend.most.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_without_probes_and_after_the_stop() {
    let (pretend, target) =
        (Pretend { takes: 100 * SECOND, ..Pretend::default() }, Arc::new(Target::default()));
    let mut stage = Stage::start(pretend.clone(), LIMITS);
    sleep(86_400 * SECOND).await;
    stage.prober.set(UPSTREAM, 1, vec![wanted(1, Check::Tcp, &target), wanted(2, Check::Tcp, &target)]);
    sleep(50 * SECOND).await;
    assert_eq!((stage.metrics.planned.get(), stage.metrics.running.get()), (2, 1));
    stage.prober.remove(UPSTREAM);
    sleep(86_400 * SECOND).await;
    assert_eq!((stage.metrics.planned.get(), stage.metrics.running.get(), target.heard()), (0, 0, 0));
    stage.prober.set(UPSTREAM, 1, vec![wanted(1, Check::Tcp, &target)]);
    sleep(50 * SECOND).await;
    assert_eq!(stage.metrics.running.get(), 1);
    stage.stop.cancel();
    stage.tasks.join_next().await.unwrap().unwrap();
    assert_eq!((stage.metrics.planned.get(), stage.metrics.running.get()), (0, 0));
    assert_eq!(target.heard(), 0);
}

#[tokio::test(start_paused = true)]
async fn probe_that_panics_has_no_result_and_goes_on_later() {
    let (pretend, target) = (Pretend::default(), Arc::new(Target::default()));
    let stage = Stage::start(pretend.clone(), LIMITS);
    stage.prober.set(UPSTREAM, 1, vec![wanted(1, Check::Tcp, &target)]);
    pretend.panics.store(true, Ordering::Relaxed);
    sleep(100 * SECOND).await;
    assert_eq!((target.heard(), stage.metrics.running.get()), (0, 0));
    pretend.panics.store(false, Ordering::Relaxed);
    sleep(100 * SECOND).await;
    assert!((18..=22).contains(&target.heard()), "{}", target.heard());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_probes_a_second_begin_on_time() {
    let (pretend, target) = (Pretend::default(), Arc::new(Target::default()));
    let stage = Stage::start(pretend.clone(), LIMITS);
    let schedule = Schedule { healthy: Some(SECOND), unhealthy: Some(SECOND), jitter: 10 };
    for upstream in 0..100_u16 {
        let all = (0..100)
            .map(|number| WantedProbe { schedule, ..wanted(upstream * 100 + number, Check::Tcp, &target) });
        stage.prober.set(Uuid::from_u128(u128::from(upstream)), 10, all.collect());
    }
    for _ in 0..10_000 {
        advance(Duration::from_millis(1)).await;
        tokio::task::yield_now().await;
    }
    let count = stage.count("success");
    assert!((95_000..=105_000).contains(&count), "{count}");
    let mean = stage.metrics.lag.get_sample_sum() / count as f64;
    assert!(mean < 0.002, "{mean}");
}

#[tokio::test]
async fn results_come_from_the_thread_until_it_stops() {
    let (metrics, policy) = (ProbeMetrics::new(&Registry::new()).unwrap(), Arc::<Policy>::default());
    let (prober, runner) = Prober::new(LIMITS, policy, metrics.clone());
    let (fault, origin) = (CancellationToken::new(), Origin::start());
    let thread = ProbeThread::start(runner, std::future::ready(()), fault.clone()).unwrap();
    let targets: [Arc<Target>; 3] = std::array::from_fn(|_| Arc::default());
    let schedule = Schedule { healthy: Some(SECOND / 10), unhealthy: Some(SECOND / 10), jitter: 10 };
    let probe = |target| WantedProbe { schedule, ..wanted(origin.address().port(), http::plain(), target) };
    for (number, target) in targets.iter().enumerate() {
        prober.set(Uuid::from_u128(number as u128), 10, vec![probe(target)]);
    }
    for healthy in [true, false, true] {
        origin.answer(Answer::status(if healthy { 200 } else { 500 }));
        let follow = || targets.iter().all(|target| target.is_healthy() == healthy && target.heard() > 0);
        wait::until(20 * SECOND, "all follow", follow).await;
    }
    // One probe served all three.
    let (probes, results) = (origin.count(), targets[0].heard());
    assert!(probes <= results + 5, "{probes} probes for {results} results of each");
    assert_eq!((metrics.planned.get(), origin.connections()), (1, 1));
    thread.stop(10 * SECOND);
    assert!(!fault.is_cancelled());
    let count = origin.count();
    sleep(SECOND / 2).await;
    assert_eq!(origin.count(), count);
}

#[tokio::test]
async fn denied_address_fails_without_a_connection() {
    let deny = vec!["127.0.0.0/8".parse::<IpNet>().unwrap()];
    let policy = Arc::new(Policy::new(Rules { deny, ..Rules::default() }));
    let metrics = ProbeMetrics::new(&Registry::new()).unwrap();
    let ((prober, runner), stop) = (Prober::new(LIMITS, policy, metrics), CancellationToken::new());
    let (origin, target) = (Origin::start(), Arc::new(Target::default()));
    let schedule = Schedule { healthy: Some(SECOND / 10), unhealthy: Some(SECOND / 10), jitter: 0 };
    let probe = wanted(origin.address().port(), http::plain(), &target);
    prober.set(UPSTREAM, 1, vec![WantedProbe { schedule, ..probe }]);
    let check = async {
        wait::until(10 * SECOND, "unhealthy", || !target.is_healthy()).await;
        stop.cancel();
    };
    tokio::join!(runner.run(&stop), check);
    assert!(is_tcp_failure(&target.results.lock()[0], "not allowed"));
    assert_eq!(origin.connections(), 0);
}
