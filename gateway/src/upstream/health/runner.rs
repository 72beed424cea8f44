//! The task that runs probes.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::changes::Changes;
use super::exchange::Execute;
use super::plan::{EntryId, Plan, Start};
use super::probe::ProbeOutcome;
use crate::metrics::{ProbeMetrics, ProbeResult};

/// The task that runs probes.
pub(super) struct Runner<E> {
    pub(super) changes: Arc<Changes>,
    pub(super) plan: Plan,
    pub(super) execute: Arc<E>,
    pub(super) metrics: ProbeMetrics,
}

/// A probe that has ended. Without a result it has panicked.
struct Finished {
    id: EntryId,
    outcome: Option<ProbeOutcome>,
    begun: Instant,
}

impl<E: Execute> Runner<E> {
    /// Runs probes until `stop`.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            self.take_changes();
            self.start(&mut tasks);
            let next = self.plan.next();
            if let Some(next) = next.filter(|next| timer.deadline() != *next) {
                timer.as_mut().reset(next);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.changes.changed() => {}
                Some(finished) = tasks.join_next() => self.finish(finished.ok(), &mut tasks),
                () = &mut timer, if next.is_some() => {}
            }
        }
        tasks.shutdown().await;
        self.metrics.running.set(0);
        self.metrics.planned.set(0);
    }

    fn take_changes(&mut self) {
        let pending = self.changes.take();
        if pending.is_empty() {
            return;
        }
        let now = Instant::now();
        for (upstream, (concurrency, wanted)) in pending {
            self.plan.set(upstream, concurrency, wanted, now);
        }
        self.count();
    }

    fn start(&mut self, tasks: &mut JoinSet<Finished>) {
        let begun = Instant::now();
        let starts = self.plan.start(begun);
        if starts.is_empty() {
            return;
        }
        for Start { id, job, memory, lag } in starts {
            self.metrics.lag.observe(lag.as_secs_f64());
            let execute = Arc::clone(&self.execute);
            tasks.spawn(async move {
                let run = AssertUnwindSafe(execute.execute(&job, &memory)).catch_unwind();
                Finished { id, outcome: run.await.ok(), begun }
            });
        }
        self.count();
    }

    /// Notes a probe that has ended, and all others that have.
    fn finish(&mut self, first: Option<Finished>, tasks: &mut JoinSet<Finished>) {
        let now = Instant::now();
        let mut next = first;
        while let Some(Finished { id, outcome, begun }) = next {
            match &outcome {
                Some(outcome) => self.metrics.count(ProbeResult::from(outcome), now - begun),
                None => error!("a probe has panicked"),
            }
            self.plan.finish(id, now, outcome.as_ref());
            next = tasks.try_join_next().and_then(Result::ok);
        }
        self.count();
    }

    fn count(&self) {
        let count = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.metrics.running.set(count(self.plan.running()));
        self.metrics.planned.set(count(self.plan.len()));
    }
}

impl<E> fmt::Debug for Runner<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("probes", &self.plan.len()).finish_non_exhaustive()
    }
}
