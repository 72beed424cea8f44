use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::upstream::health::probe::{Check, Probe};

const SECOND: Duration = Duration::from_secs(1);
const HEALTHY: ProbeOutcome = ProbeOutcome::Success;

/// An owner that records results, and whose health the test sets.
#[derive(Default)]
struct Owner {
    unhealthy: AtomicBool,
    results: Mutex<Vec<ProbeOutcome>>,
}

impl Heard for Owner {
    fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Relaxed)
    }

    fn result(&self, outcome: &ProbeOutcome) {
        self.results.lock().push(outcome.clone());
    }
}

impl Owner {
    fn set_healthy(&self, healthy: bool) {
        self.unhealthy.store(!healthy, Ordering::Relaxed);
    }

    fn heard(&self) -> usize {
        self.results.lock().len()
    }
}

fn owners<const N: usize>() -> [Arc<Owner>; N] {
    std::array::from_fn(|_| Arc::default())
}

fn every(healthy: Duration, unhealthy: Duration) -> Schedule {
    Schedule { healthy: Some(healthy), unhealthy: Some(unhealthy), jitter: 0 }
}

fn wanted(port: u16, schedule: Schedule, heard: &Arc<Owner>) -> Wanted {
    let probe = Probe { address: ([10, 0, 0, 1], port).into(), check: Check::Tcp, timeout: SECOND };
    Wanted { job: Job { probe, allowed: true }, schedule, heard: heard.clone() }
}

/// A plan, a clock, and the probes that run.
struct Stage {
    plan: Plan,
    now: Instant,
    /// With the time when each ends.
    running: BTreeSet<(Instant, EntryId)>,
    takes: Duration,
    outcome: ProbeOutcome,
    lags: Vec<Duration>,
    starts: Vec<(Instant, u16)>,
    most: usize,
}

impl Stage {
    fn new(most_running: usize) -> Self {
        Self {
            plan: Plan::new(most_running, 1),
            now: Instant::now(),
            running: BTreeSet::new(),
            takes: Duration::from_millis(10),
            outcome: HEALTHY,
            lags: Vec::new(),
            starts: Vec::new(),
            most: 0,
        }
    }

    fn set(&mut self, upstream: u128, concurrency: usize, wanted: Vec<Wanted>) {
        self.plan.set(Uuid::from_u128(upstream), concurrency, wanted, self.now);
    }

    /// Moves the clock by `time`. It jumps to what comes next.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let starts = self.plan.start(self.now);
            for Start { id, job, lag, .. } in starts {
                self.lags.push(lag);
                self.starts.push((self.now, job.probe.address.port()));
                self.running.insert((self.now + self.takes, id));
            }
            self.most = self.most.max(self.running.len());
            let first = self.running.first().copied();
            if let Some((_, id)) = first.filter(|(end, _)| *end <= self.now) {
                self.running.pop_first();
                self.plan.finish(id, self.now, Some(&self.outcome));
                continue;
            }
            let next = first.map(|(end, _)| end).into_iter().chain(self.plan.next()).min();
            match next.filter(|next| *next <= end) {
                Some(next) => self.now = self.now.max(next),
                None => break,
            }
        }
        self.now = end;
    }

    fn longest_lag(&self) -> Duration {
        self.lags.iter().copied().max().unwrap_or_default()
    }
}

#[test]
fn healthy_and_unhealthy_addresses_have_their_own_intervals() {
    let [owner] = owners();
    let mut stage = Stage::new(10);
    stage.set(1, 10, vec![wanted(1, every(10 * SECOND, SECOND), &owner)]);
    stage.run(1000 * SECOND);
    assert!((99..=101).contains(&owner.heard()), "{}", owner.heard());
    // A request has found it to be dead: the short interval counts at once.
    let before = owner.heard();
    owner.set_healthy(false);
    stage.run(SECOND);
    assert_eq!(owner.heard() - before, 1);
    stage.run(100 * SECOND);
    assert!((100..=102).contains(&(owner.heard() - before)), "{}", owner.heard() - before);
}

#[test]
fn side_without_an_interval_is_not_probed_until_health_changes() {
    for healthy in [true, false] {
        let [owner] = owners();
        let mut stage = Stage::new(10);
        let (on, off) = (Some(SECOND), None);
        let schedule = Schedule {
            healthy: if healthy { off } else { on },
            unhealthy: if healthy { on } else { off },
            jitter: 10,
        };
        owner.set_healthy(healthy);
        stage.set(1, 1, vec![wanted(1, schedule, &owner)]);
        stage.run(86_400 * SECOND);
        assert_eq!(owner.heard(), 0);
        owner.set_healthy(!healthy);
        stage.run(10 * SECOND);
        assert!((9..=11).contains(&owner.heard()), "{}", owner.heard());
    }
    let [owner] = owners();
    let mut stage = Stage::new(1);
    let never = Schedule { healthy: None, unhealthy: None, jitter: 0 };
    stage.set(1, 1, vec![wanted(1, never, &owner)]);
    assert_eq!((stage.plan.len(), stage.plan.next()), (0, None));
}

#[test]
fn equal_probes_of_several_upstreams_run_once_and_each_hears_at_its_own_rate() {
    let [one, other, seldom, different] = owners();
    let mut stage = Stage::new(10);
    let often = every(SECOND, SECOND);
    stage.set(1, 10, vec![wanted(1, often, &one)]);
    stage.run(SECOND / 3);
    stage.set(2, 10, vec![wanted(1, often, &other)]);
    stage.set(3, 10, vec![wanted(1, every(10 * SECOND, SECOND), &seldom)]);
    stage.set(4, 10, vec![wanted(2, often, &different)]);
    assert_eq!(stage.plan.len(), 2);
    stage.run(1000 * SECOND);
    let runs = stage.starts.iter().filter(|(_, port)| *port == 1).count();
    assert!((1000..=1101).contains(&runs), "{runs}");
    assert!(one.heard().abs_diff(1000) <= 2 && other.heard().abs_diff(1000) <= 2, "{}", other.heard());
    assert!((95..=112).contains(&seldom.heard()), "{}", seldom.heard());
    assert!(different.heard().abs_diff(1000) <= 2);
    // The others go on when one leaves.
    stage.set(1, 10, Vec::new());
    let before = (one.heard(), other.heard());
    stage.run(10 * SECOND);
    assert_eq!((one.heard(), other.heard() - before.1), (before.0, 10));
}

#[test]
fn same_probe_twice_within_an_upstream_tells_both() {
    let [one, other] = owners();
    let mut stage = Stage::new(10);
    let often = every(SECOND, SECOND);
    for _ in 0..3 {
        stage.set(1, 1, vec![wanted(1, often, &one), wanted(1, often, &other)]);
        stage.run(10 * SECOND);
    }
    assert_eq!(stage.plan.len(), 1);
    assert!((29..=31).contains(&one.heard()) && one.heard() == other.heard(), "{}", other.heard());
    stage.set(1, 1, vec![wanted(1, often, &other)]);
    stage.run(10 * SECOND);
    assert_eq!(other.heard() - one.heard(), 10);
}

#[test]
fn first_probes_are_spread_and_later_ones_have_jitter() {
    let owner = Arc::new(Owner::default());
    let mut stage = Stage::new(1000);
    let schedule = Schedule { jitter: 10, ..every(10 * SECOND, SECOND) };
    stage.set(1, 1000, (0..1000).map(|port| wanted(port, schedule, &owner)).collect());
    let begun = stage.now;
    stage.run(10 * SECOND);
    for tenth in 0..10 {
        let within = |at: &Instant| (at.duration_since(begun).as_secs()) == tenth;
        let count = stage.starts.iter().filter(|(at, _)| within(at)).count();
        assert!((60..=140).contains(&count), "{count} in second {tenth}");
    }
    stage.run(990 * SECOND);
    let of_first: Vec<_> = stage.starts.iter().filter(|(_, port)| *port == 0).map(|(at, _)| *at).collect();
    let gaps: Vec<_> = of_first.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (9 * SECOND..=11 * SECOND).contains(gap)), "{gaps:?}");
    let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    assert!(*most - *least > SECOND, "{gaps:?}");
}

#[test]
fn unchanged_probes_keep_their_timing_and_changed_ones_begin_again() {
    let [owner, new] = owners();
    let mut stage = Stage::new(10);
    let schedule = every(100 * SECOND, 100 * SECOND);
    stage.set(1, 1, vec![wanted(1, schedule, &owner)]);
    // Pushed every second: it would never be due if each push began its interval again.
    for _ in 0..1000 {
        stage.run(SECOND);
        stage.set(1, 1, vec![wanted(1, schedule, &owner), wanted(2, schedule, &new)]);
    }
    assert!((9..=10).contains(&owner.heard()) && (9..=10).contains(&new.heard()), "{}", owner.heard());
    // A shorter interval counts from the last probe.
    let before = owner.heard();
    stage.set(1, 1, vec![wanted(1, every(SECOND, SECOND), &owner)]);
    stage.run(10 * SECOND);
    assert!((10..=11).contains(&(owner.heard() - before)));
    assert_eq!(stage.plan.len(), 1);
}

#[test]
fn concurrency_of_an_upstream_and_cap_of_the_process_hold() {
    let owner = Arc::new(Owner::default());
    let mut stage = Stage::new(25);
    stage.takes = SECOND;
    for upstream in 0..10 {
        let ports = upstream * 100..upstream * 100 + 100;
        let all = ports.map(|port| wanted(port, every(10 * SECOND, SECOND), &owner)).collect();
        stage.set(u128::from(upstream), if upstream == 0 { 2 } else { 10 }, all);
    }
    stage.run(1000 * SECOND);
    assert_eq!(stage.most, 25);
    // All places are always taken.
    assert!(stage.starts.len() >= 25 * 990, "{}", stage.starts.len());
    for upstream in 0..10 {
        let of_upstream = stage.starts.iter().filter(|(_, port)| port / 100 == upstream).count();
        let least = if upstream == 0 { 990 } else { 1500 };
        assert!(of_upstream >= least, "{of_upstream} of upstream {upstream}");
        assert!(upstream > 0 || of_upstream <= 2002, "{of_upstream}");
    }
    let waited = stage.longest_lag();
    assert!(waited > SECOND, "{waited:?}");
}

#[test]
fn more_concurrency_counts_at_once_and_a_removed_upstream_frees_its_places() {
    let [owner, other] = owners();
    let mut stage = Stage::new(1000);
    stage.takes = 100 * SECOND;
    let all = || (0..100).map(|port| wanted(port, every(SECOND, SECOND), &owner)).collect();
    stage.set(1, 1, all());
    stage.run(10 * SECOND);
    assert_eq!(stage.plan.running(), 1);
    stage.set(1, 50, all());
    stage.run(SECOND);
    assert_eq!(stage.plan.running(), 50);
    // Another upstream wants one that waits in the queue of the first.
    stage.set(1, 1, all());
    let waiting = (0..100).find(|port| !stage.starts.iter().any(|(_, started)| started == port)).unwrap();
    stage.set(2, 1, vec![wanted(waiting, every(SECOND, SECOND), &other)]);
    stage.set(1, 1, Vec::new());
    stage.run(SECOND);
    assert_eq!(stage.plan.running(), 51);
    stage.run(200 * SECOND);
    assert_eq!(owner.heard(), 0);
    assert!(other.heard() >= 1);
    stage.set(2, 1, Vec::new());
    stage.run(200 * SECOND);
    assert_eq!((stage.plan.len(), stage.plan.running(), stage.plan.upstreams.len()), (0, 0, 0));
    assert!(stage.plan.next().is_none() && stage.plan.by_job.is_empty());
}

#[test]
fn probe_that_outlasts_its_interval_never_runs_twice_at_once() {
    let [owner] = owners();
    let mut stage = Stage::new(10);
    stage.takes = 5 * SECOND;
    stage.set(1, 10, vec![wanted(1, every(SECOND, SECOND), &owner)]);
    stage.run(100 * SECOND);
    assert_eq!(stage.most, 1);
    assert!((19..=20).contains(&owner.heard()), "{}", owner.heard());
    assert_eq!(stage.longest_lag(), Duration::ZERO);
    // Removed and wanted again while it runs.
    stage.set(1, 10, Vec::new());
    stage.set(1, 10, vec![wanted(1, every(SECOND, SECOND), &owner)]);
    stage.run(100 * SECOND);
    assert_eq!(stage.most, 1);
}

#[test]
fn ten_thousand_probes_a_second_are_on_time() {
    let owner = Arc::new(Owner::default());
    let mut stage = Stage::new(10_000);
    stage.takes = Duration::from_millis(1);
    let schedule = Schedule { jitter: 10, ..every(SECOND, SECOND) };
    for upstream in 0..100_u16 {
        let ports = upstream * 100..upstream * 100 + 100;
        stage.set(u128::from(upstream), 10, ports.map(|port| wanted(port, schedule, &owner)).collect());
    }
    stage.run(60 * SECOND);
    let count = stage.starts.len();
    assert!((590_000..=610_000).contains(&count), "{count}");
    let late = stage.lags.iter().filter(|lag| **lag > Duration::from_millis(1)).count();
    assert!(late < count / 1000, "{late} of {count}, at most {:?}", stage.longest_lag());
}

/// Health, membership and caps change at random. What must always hold, holds.
#[test]
fn nothing_is_lost_in_a_thousand_random_changes() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let owners: [Arc<Owner>; 20] = owners();
        let mut stage = Stage::new(5);
        for _ in 0..1000 {
            let upstream = random.random_range(0..4);
            let all = (0..20_u16).filter(|_| random.random_bool(0.5));
            let ports: Vec<_> = all.collect();
            let jitter = random.random_range(0..20);
            let schedule = Schedule { jitter, ..every(2 * SECOND, SECOND) };
            let wanted = ports.iter().map(|port| wanted(*port, schedule, &owners[usize::from(*port)]));
            let wanted = wanted.collect();
            stage.set(upstream, random.random_range(1..4), wanted);
            owners[random.random_range(0..20)].set_healthy(random.random());
            stage.takes = Duration::from_millis(random.random_range(1..1000));
            stage.run(Duration::from_millis(random.random_range(0..3000)));
            assert_eq!(stage.plan.running(), stage.running.len());
            let mut ports: Vec<_> = stage.running.iter().map(|(_, id)| *id).collect();
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len(), stage.running.len(), "one runs twice");
        }
        let all = (0..20_u16).map(|port| wanted(port, every(SECOND, SECOND), &owners[usize::from(port)]));
        stage.set(0, 5, all.collect());
        stage.takes = Duration::from_millis(1);
        stage.run(5 * SECOND);
        let before = owners.each_ref().map(|owner| owner.heard());
        stage.run(10 * SECOND);
        let after = owners.each_ref().map(|owner| owner.heard());
        assert!(before.iter().zip(after).all(|(before, after)| after > *before), "{before:?} {after:?}");
        (0..4).for_each(|upstream| stage.set(upstream, 1, Vec::new()));
        stage.run(5 * SECOND);
        assert_eq!((stage.plan.len(), stage.plan.upstreams.len()), (0, 0));
    }
}
