//! One probe of the plan, and those who want it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::State;
use crate::upstream::health::probe::{Heard, Probe, ProbeOutcome, Schedule};

/// Identifies an entry. Never used again.
pub(in crate::upstream::health) type EntryId = u64;

/// The part of an interval by which a result may come early to one of several upstreams: 1 / 10.
const EARLY: u32 = 10;

/// What is run. Equal jobs are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::upstream::health) struct Job {
    pub(in crate::upstream::health) probe: Probe,
    /// Whether the policy on addresses allows it. If not, the probe fails without a connection.
    pub(in crate::upstream::health) allowed: bool,
}

/// What a probe remembers from run to run.
#[derive(Debug, Default)]
pub(in crate::upstream::health) struct Memory {
    /// Whether the upstream wants the version of HTTP/1 that is not tried first.
    pub(in crate::upstream::health) other_version: AtomicBool,
    /// Runs so far.
    pub(in crate::upstream::health) runs: AtomicU32,
}

/// One probe.
pub(super) struct Entry {
    pub(super) job: Arc<Job>,
    pub(super) memory: Arc<Memory>,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) state: State,
}

/// An upstream that wants a probe.
pub(super) struct Subscriber {
    pub(super) upstream: Uuid,
    pub(super) schedule: Schedule,
    pub(super) heard: Arc<dyn Heard>,
    pub(super) timing: Timing,
}

/// When a subscriber heard its last result, and when the next is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// The start of the last probe, or when the first was planned.
    base: Instant,
    /// The next one is due this many intervals after `base`.
    factor: f64,
    /// Whether the probe that runs now is for this subscriber, too.
    awaits: bool,
}

impl Timing {
    /// The first probe comes after a part of an interval.
    pub(super) fn first(now: Instant, part: f64) -> Self {
        Self { base: now, factor: part, awaits: false }
    }
}

impl Entry {
    pub(super) fn new(job: Arc<Job>, now: Instant) -> Self {
        Self { job, memory: Arc::default(), subscribers: Vec::new(), state: State::Timed(now) }
    }

    /// Takes out the subscribers of an upstream.
    pub(super) fn remove(&mut self, upstream: Uuid) -> Vec<Subscriber> {
        self.subscribers.extract_if(.., |subscriber| subscriber.upstream == upstream).collect()
    }

    /// The timing of a subscriber with the same schedule, so that both go on in step.
    pub(super) fn timing_like(&self, schedule: &Schedule) -> Option<Timing> {
        let same = self.subscribers.iter().find(|subscriber| subscriber.schedule == *schedule)?;
        Some(Timing { awaits: false, ..same.timing })
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.subscribers.iter().any(|subscriber| subscriber.is_due(now))
    }

    /// When the entry is to be looked at next.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.subscribers.iter().filter_map(|subscriber| subscriber.next(now)).min().unwrap_or(now)
    }

    pub(super) fn begin(&mut self, now: Instant, payer: Uuid) {
        self.state = State::Running(now, payer);
        for subscriber in &mut self.subscribers {
            subscriber.timing.awaits = subscriber.is_nearly_due(now);
        }
    }

    /// Tells the result to those that wait for it. `drawn`, from -1 to 1, becomes the jitter of the next interval.
    pub(super) fn end(&mut self, started: Instant, outcome: Option<&ProbeOutcome>, drawn: f64) {
        for subscriber in self.subscribers.iter_mut().filter(|subscriber| subscriber.timing.awaits) {
            if let Some(outcome) = outcome {
                subscriber.heard.result(outcome);
            }
            let jitter = f64::from(subscriber.schedule.jitter.min(100)) / 100.0;
            subscriber.timing = Timing { base: started, factor: 1.0 + jitter * drawn, awaits: false };
        }
    }
}

impl Subscriber {
    /// The interval for the health of now.
    fn interval(&self) -> Option<Duration> {
        self.schedule.interval(self.heard.is_healthy())
    }

    fn due(&self) -> Option<Instant> {
        self.interval().map(|interval| self.timing.base + interval.mul_f64(self.timing.factor))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// Whether it is so nearly due that another upstream's probe serves for it.
    fn is_nearly_due(&self, now: Instant) -> bool {
        let Some(interval) = self.interval() else { return false };
        self.due().is_some_and(|due| due <= now + interval / EARLY)
    }

    /// When to look next: when the probe is due, but no later than the shorter interval. Health may change at any
    /// time, by requests or by an operator, and then another interval counts.
    fn next(&self, now: Instant) -> Option<Instant> {
        let again = now + self.schedule.shortest()?;
        Some(self.due().map_or(again, |due| due.max(now).min(again)))
    }
}
