//! Plans when each probe runs: intervals by health, spread, caps. Has no sockets and no clock.

mod entry;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use uuid::Uuid;

use self::entry::{Entry, Subscriber, Timing};
pub(super) use self::entry::{EntryId, Job, Memory};
use super::probe::{Heard, ProbeOutcome, Schedule};

/// All probes of the process.
pub(super) struct Plan {
    entries: HashMap<EntryId, Entry, RandomState>,
    by_job: HashMap<Arc<Job>, EntryId, RandomState>,
    /// When entries are looked at next.
    timers: BTreeSet<(Instant, EntryId)>,
    /// Entries that are due, in the order in which they became due.
    ready: VecDeque<EntryId>,
    upstreams: HashMap<Uuid, Members, RandomState>,
    running: usize,
    most_running: usize,
    last_id: EntryId,
    random: StdRng,
}

/// The probes of an upstream.
#[derive(Default)]
struct Members {
    entries: Vec<EntryId>,
    concurrency: usize,
    running: usize,
    /// Entries that are due and wait for another probe of this upstream to end.
    waiting: VecDeque<EntryId>,
}

/// What an upstream wants.
pub(super) struct Wanted {
    pub(super) job: Job,
    pub(super) schedule: Schedule,
    pub(super) heard: Arc<dyn Heard>,
}

/// A probe that begins now.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) id: EntryId,
    pub(super) job: Arc<Job>,
    pub(super) memory: Arc<Memory>,
    /// How much later than planned.
    pub(super) lag: Duration,
}

/// The state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In `timers`, or in nothing while it is being changed.
    Timed(Instant),
    /// Due since then, and waiting for its turn.
    Queued(Instant),
    /// Running since then, at the cost of this upstream.
    Running(Instant, Uuid),
}

impl Plan {
    /// Creates an empty plan for at most `most_running` probes at a time.
    pub(super) fn new(most_running: usize, seed: u64) -> Self {
        Self {
            entries: HashMap::default(),
            by_job: HashMap::default(),
            timers: BTreeSet::new(),
            ready: VecDeque::new(),
            upstreams: HashMap::default(),
            running: 0,
            most_running: most_running.max(1),
            last_id: 0,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Replaces the probes of an upstream. Those that stay keep their timing.
    pub(super) fn set(&mut self, upstream: Uuid, concurrency: usize, wanted: Vec<Wanted>, now: Instant) {
        let members = self.upstreams.entry(upstream).or_default();
        members.concurrency = concurrency.max(1);
        let before = std::mem::take(&mut members.entries);
        // There may be more room now, or another upstream alone that wants them.
        self.ready.append(&mut members.waiting);
        let mut kept: HashMap<EntryId, Vec<Subscriber>, RandomState> = HashMap::default();
        for id in &before {
            if let Some(entry) = self.entries.get_mut(id) {
                kept.entry(*id).or_default().extend(entry.remove(upstream));
            }
        }
        let mut after = Vec::with_capacity(wanted.len());
        for Wanted { job, schedule, heard } in wanted {
            if schedule.shortest().is_none() {
                continue;
            }
            let id = self.entry_of(job, now);
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let old = kept.get_mut(&id).and_then(Vec::pop);
            let timing = old.map(|old| old.timing).or_else(|| entry.timing_like(&schedule));
            let timing = timing.unwrap_or_else(|| Timing::first(now, self.random.random()));
            entry.subscribers.push(Subscriber { upstream, schedule, heard, timing });
            after.push(id);
        }
        for id in before.iter().chain(&after) {
            self.settle(*id, now);
        }
        if let Some(members) = self.upstreams.get_mut(&upstream) {
            members.entries = after;
        }
        self.forget_unused(upstream);
    }

    /// When [`Plan::start`] has something to do next without a change or an end of a probe.
    pub(super) fn next(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes the probes that begin now.
    pub(super) fn start(&mut self, now: Instant) -> Vec<Start> {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.pop_first();
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if entry.is_due(now) {
                entry.state = State::Queued(at);
                self.ready.push_back(id);
            } else {
                self.settle(id, now);
            }
        }
        let mut starts = Vec::new();
        while self.running < self.most_running {
            let Some(id) = self.ready.pop_front() else { break };
            starts.extend(self.start_one(id, now));
        }
        starts
    }

    /// Starts an entry if one of its upstreams has room, else lets it wait for room.
    fn start_one(&mut self, id: EntryId, now: Instant) -> Option<Start> {
        let entry = self.entries.get_mut(&id)?;
        let State::Queued(since) = entry.state else { return None };
        if !entry.is_due(now) {
            // Its health has changed meanwhile.
            entry.state = State::Timed(now);
            self.settle(id, now);
            return None;
        }
        let has_room = |members: &Members| members.running < members.concurrency;
        let mut upstreams = entry.subscribers.iter().map(|subscriber| subscriber.upstream);
        let Some(payer) = upstreams.find(|upstream| self.upstreams.get(upstream).is_some_and(has_room))
        else {
            for subscriber in &entry.subscribers {
                if let Some(members) = self.upstreams.get_mut(&subscriber.upstream) {
                    members.waiting.push_back(id);
                }
            }
            return None;
        };
        entry.begin(now, payer);
        self.running += 1;
        if let Some(members) = self.upstreams.get_mut(&payer) {
            members.running += 1;
        }
        let (job, memory) = (Arc::clone(&entry.job), Arc::clone(&entry.memory));
        Some(Start { id, job, memory, lag: now.saturating_duration_since(since) })
    }

    /// Ends a probe, tells its result to those that were due, and plans the next. `None` is no result.
    pub(super) fn finish(&mut self, id: EntryId, now: Instant, outcome: Option<&ProbeOutcome>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let State::Running(started, payer) = entry.state else { return };
        entry.end(started, outcome, self.random.random_range(-1.0..=1.0));
        entry.state = State::Timed(now);
        self.running -= 1;
        self.settle(id, now);
        self.release(payer);
    }

    /// Gives the place of an ended probe to the next one that waits for it.
    fn release(&mut self, payer: Uuid) {
        let Some(members) = self.upstreams.get_mut(&payer) else { return };
        members.running = members.running.saturating_sub(1);
        while let Some(id) = members.waiting.pop_front() {
            if matches!(self.entries.get(&id), Some(Entry { state: State::Queued(_), .. })) {
                self.ready.push_back(id);
                break;
            }
        }
        self.forget_unused(payer);
    }

    /// The number of different probes.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of running probes.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// The entry of a job, perhaps a new one without subscribers.
    fn entry_of(&mut self, job: Job, now: Instant) -> EntryId {
        if let Some(id) = self.by_job.get(&job) {
            return *id;
        }
        self.last_id += 1;
        let job = Arc::new(job);
        self.by_job.insert(Arc::clone(&job), self.last_id);
        self.entries.insert(self.last_id, Entry::new(job, now));
        self.last_id
    }

    /// Sets the timer of an entry that neither waits nor runs. Removes an entry that nobody wants.
    fn settle(&mut self, id: EntryId, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let State::Timed(at) = entry.state {
            self.timers.remove(&(at, id));
        }
        if entry.subscribers.is_empty() {
            if !matches!(entry.state, State::Running(..)) {
                self.by_job.remove(&entry.job);
                self.entries.remove(&id);
            }
        } else if let State::Timed(_) = entry.state {
            let at = entry.next(now);
            entry.state = State::Timed(at);
            self.timers.insert((at, id));
        }
    }

    /// Forgets an upstream without probes.
    fn forget_unused(&mut self, upstream: Uuid) {
        let is_unused = |members: &Members| members.entries.is_empty() && members.running == 0;
        if self.upstreams.get(&upstream).is_some_and(is_unused) {
            self.upstreams.remove(&upstream);
        }
    }
}

#[cfg(test)]
mod tests;
