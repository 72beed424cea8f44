//! Paces reports of a source in memory over days, by seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;
use wire::{AddressHealth, Frame, Health, HealthReport, MAX_HEALTH_FRAME, RecordType, ReportPart};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Targets in memory.
#[derive(Debug, Default)]
pub(in crate::cluster) struct FakeSource {
    state: Mutex<FakeState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct FakeState {
    targets: usize,
    /// Targets that are not plain.
    named: BTreeMap<Uuid, TargetHealth>,
    changed: BTreeSet<Uuid>,
}

impl FakeSource {
    pub(in crate::cluster) fn with(targets: usize) -> Arc<Self> {
        let state = FakeState { targets, ..FakeState::default() };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Sets the health of a target.
    pub(in crate::cluster) fn set(&self, number: u128, health: Health, since: u64) {
        let target = Uuid::from_u128(number);
        let mut state = self.state.lock();
        match health {
            Health::Healthy => drop(state.named.remove(&target)),
            health => drop(state.named.insert(target, entry(target, health, since))),
        }
        state.changed.insert(target);
        drop(state);
        self.changed.notify_one();
    }

    fn named(&self) -> BTreeMap<Uuid, TargetHealth> {
        self.state.lock().named.clone()
    }
}

impl HealthSource for FakeSource {
    fn targets(&self) -> usize {
        self.state.lock().targets
    }

    fn full(&self) -> Vec<TargetHealth> {
        let mut state = self.state.lock();
        state.changed.clear();
        state.named.values().cloned().collect()
    }

    fn take_changes(&self, most: usize) -> Vec<TargetHealth> {
        let mut state = self.state.lock();
        let taken: BTreeSet<Uuid> = state.changed.iter().copied().take(most).collect();
        let entry =
            |target: &Uuid| state.named.get(target).cloned().unwrap_or_else(|| TargetHealth::plain(*target));
        let entries = taken.iter().map(entry).collect();
        state.changed.retain(|target| !taken.contains(target));
        entries
    }

    fn changed(&self) -> &Notify {
        &self.changed
    }
}

fn entry(target: Uuid, health: Health, since: u64) -> TargetHealth {
    let last_error = Some("connection refused".to_owned());
    let (address, port, weight) = ([10, 0, 0, 1].into(), 8000, 100);
    let address = AddressHealth { address, port, weight, health, since, last_error };
    TargetHealth { target, record_type: RecordType::A, dns_error: None, addresses: vec![address] }
}

/// A control plane that takes each frame at once, and what it knows.
#[derive(Debug)]
struct Taker {
    pacer: HealthPacer,
    known: BTreeMap<Uuid, TargetHealth>,
    frames: u64,
    bytes: u64,
    full: u64,
}

impl Taker {
    fn new(now: Duration) -> Self {
        let pacer = HealthPacer::new(now, 0.5);
        Self { pacer, known: BTreeMap::new(), frames: 0, bytes: 0, full: 0 }
    }

    /// Takes all frames that are due; returns how many there were.
    fn take(&mut self, source: &FakeSource, now: Duration) -> u64 {
        let before = self.frames;
        while let Some(report) = self.pacer.next(source, 7, now) {
            self.frames += 1;
            let bytes = Frame::Health(report.clone()).encode().len();
            assert!(bytes <= MAX_HEALTH_FRAME);
            self.bytes += bytes as u64;
            self.learn(report);
        }
        self.frames - before
    }

    fn learn(&mut self, report: HealthReport) {
        if let ReportPart::Full { first, last } = report.part {
            if first {
                self.known.clear();
            }
            self.full += u64::from(last);
        }
        for entry in report.entries {
            match entry.is_plain() {
                true => drop(self.known.remove(&entry.target)),
                false => drop(self.known.insert(entry.target, entry)),
            }
        }
    }
}

#[test]
fn first_report_is_full_and_changes_follow_at_once_then_together() {
    let source = FakeSource::with(10);
    source.set(1, Health::Unhealthy, 1);
    let mut taker = Taker::new(Duration::ZERO);
    assert_eq!(taker.pacer.deadline(), Duration::ZERO);
    assert_eq!(taker.take(&source, Duration::ZERO), 1);
    assert_eq!((taker.full, taker.known.len()), (1, 1));

    let mut now = Duration::from_secs(10);
    source.set(2, Health::Unhealthy, 2);
    taker.pacer.changed();
    assert!(taker.pacer.deadline() <= now, "the first change does not wait");
    assert_eq!(taker.take(&source, now), 1);
    for since in 0..100 {
        now += Duration::from_millis(1);
        source.set(3, [Health::Unhealthy, Health::Healthy][since % 2], 3);
        taker.pacer.changed();
        assert_eq!(taker.take(&source, now), 0);
    }
    assert_eq!(taker.pacer.deadline(), Duration::from_millis(10_200));
    assert_eq!(taker.take(&source, taker.pacer.deadline()), 1, "the last state of a target wins");
    assert_eq!(taker.known, source.named());
}

#[test]
fn empty_source_is_one_small_frame_every_five_minutes() {
    let source = FakeSource::with(1000);
    let mut taker = Taker::new(Duration::ZERO);
    let mut wakes = 0;
    while taker.pacer.deadline() < 48 * HOUR {
        assert_eq!(taker.take(&source, taker.pacer.deadline()), 1);
        wakes += 1;
    }
    assert_eq!(wakes, 48 * HOUR.as_secs() / 300);
    assert!(taker.bytes / wakes < 20);
}

#[test]
fn change_of_the_configuration_alone_is_told_once() {
    let source = FakeSource::with(10);
    let mut taker = Taker::new(Duration::ZERO);
    taker.take(&source, Duration::ZERO);
    source.state.lock().targets = 11;
    for second in 1..10 {
        taker.pacer.changed();
        let frames = taker.take(&source, Duration::from_secs(second));
        assert_eq!(frames, u64::from(second == 1));
    }
}

/// Three thousand targets of which up to as many change each second, more than the rate allows.
#[test]
fn bytes_stay_within_the_rate_whatever_flaps_and_the_last_state_arrives() {
    for seed in 0..2 {
        let mut rng = StdRng::seed_from_u64(seed);
        let source = FakeSource::with(3000);
        let mut taker = Taker::new(Duration::ZERO);
        let mut now = Duration::ZERO;
        let steps = 200;
        for step in 0..steps {
            for _ in 0..rng.random_range(0..6000) {
                let health = [Health::Unhealthy, Health::Healthy, Health::Ejected][rng.random_range(0..3)];
                source.set(rng.random_range(0..3000), health, step);
            }
            taker.pacer.changed();
            let end = now + Duration::from_secs(1);
            while now < end {
                taker.take(&source, now);
                now = taker.pacer.deadline().max(now + Duration::from_millis(1)).min(end);
            }
        }
        assert_eq!(taker.full, 1, "the first report, which is empty");
        // The rate, and the bytes that may be sent at once.
        let most = 64 * 1024 * steps + 768 * 1024 + 64 * 1024;
        assert!((most * 3 / 4..most).contains(&taker.bytes), "seed {seed}: {} bytes of {most}", taker.bytes);
        // Within a minute of quiet, everything has arrived.
        let end = now + Duration::from_secs(60);
        while now < end {
            taker.take(&source, now);
            now = taker.pacer.deadline().max(now + Duration::from_millis(1)).min(end);
        }
        assert_eq!(taker.known, source.named(), "seed {seed}");
    }
}

#[test]
fn long_report_is_several_frames_of_which_the_last_says_so() {
    let source = FakeSource::with(10_000);
    (0..10_000).for_each(|number| source.set(number, Health::Unhealthy, 1));
    let mut taker = Taker::new(Duration::ZERO);
    let frames = taker.take(&source, Duration::ZERO);
    assert!(frames > 5);
    assert_eq!((taker.full, taker.known.len()), (1, 10_000));
    let mut pacer = HealthPacer::new(Duration::ZERO, 0.0);
    let first = pacer.next(&*source, 7, Duration::ZERO).unwrap();
    assert_eq!(first.part, ReportPart::Full { first: true, last: false });
    assert_eq!(pacer.deadline(), Duration::ZERO, "the rest is due");
    source.set(1, Health::Healthy, 2);
    pacer.changed();
    let parts: Vec<_> = std::iter::from_fn(|| pacer.next(&*source, 7, Duration::ZERO)).collect();
    let (rest, changes) = parts.split_at(usize::try_from(frames).unwrap() - 1);
    assert_eq!(rest.last().unwrap().part, ReportPart::Full { first: false, last: true });
    assert_eq!(changes[0].part, ReportPart::Changes, "what changed meanwhile comes after it");
    assert_eq!(changes[0].entries, [TargetHealth::plain(Uuid::from_u128(1))]);
}
