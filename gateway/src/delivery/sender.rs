//! Sends the entries of one queue, until it has none for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::collector::DeliveryFailure;
use super::memory::Entry;
use super::queue::Queue;
use super::queues::{QueueKey, Queues};
use crate::metrics::DropReason;
use crate::outbound::Outbound;

/// A queue without entries ends after this time.
const IDLE: Duration = Duration::from_secs(60);

/// What senders have in common.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    pub(super) queues: Arc<Queues>,
    pub(super) outbound: Arc<Outbound>,
    /// Cancelled when the program ends: what is left is tried once more.
    pub(super) stopping: CancellationToken,
}

/// Whether the collector took the last batch, for the log.
#[derive(Debug, Default)]
struct Health {
    is_failing: AtomicBool,
}

/// Ends a queue with its sender, however that ends.
struct EndWithSender {
    queues: Arc<Queues>,
    key: QueueKey,
    queue: Arc<Queue>,
}

impl Drop for EndWithSender {
    fn drop(&mut self) {
        self.queue.end();
        self.queues.remove(self.key, &self.queue);
    }
}

/// Sends the entries of `queue`, until it has none for [`IDLE`], or none when the program ends.
pub(super) async fn run(sending: Sending, key: QueueKey, queue: Arc<Queue>) {
    let _end = EndWithSender { queues: sending.queues.clone(), key, queue: queue.clone() };
    let health = Arc::new(Health::default());
    let places = Arc::new(Semaphore::new(queue.terms.concurrency.clamp(1, Semaphore::MAX_PERMITS)));
    let mut batches = JoinSet::new();
    while wait_for_batch(&sending, &queue).await {
        while let Some(ended) = batches.try_join_next() {
            note_end(&ended);
        }
        // It is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let batch = queue.take(queue.terms.batch);
        let (sending, queue, health) = (sending.clone(), queue.clone(), health.clone());
        batches.spawn(async move {
            deliver(&sending, &queue, &health, batch).await;
            drop(place);
        });
    }
    while let Some(ended) = batches.join_next().await {
        note_end(&ended);
    }
}

fn note_end(ended: &Result<(), JoinError>) {
    if ended.is_err() {
        error!("the delivery of a batch to a collector has panicked");
    }
}

/// Waits for entries, and for as many more as make a batch within its time; `false` when the queue has ended.
async fn wait_for_batch(sending: &Sending, queue: &Queue) -> bool {
    let Sending { stopping, .. } = sending;
    loop {
        let came = tokio::select! {
            biased;
            came = timeout(IDLE, queue.wait_for(1)) => came.is_ok(),
            () = stopping.cancelled() => false,
        };
        if came {
            break;
        }
        if queue.end_if_empty() {
            return false;
        }
    }
    if queue.terms.batch > 1 && !queue.terms.delay.is_zero() {
        tokio::select! {
            _ = timeout(queue.terms.delay, queue.wait_for(queue.terms.batch)) => {}
            () = stopping.cancelled() => {}
        }
    }
    true
}

/// Delivers a batch, with as many attempts as its time allows.
async fn deliver(sending: &Sending, queue: &Queue, health: &Health, batch: Vec<Entry>) {
    let (plugin, terms) = (queue.collector.plugin(), &queue.terms);
    let bytes: Vec<Bytes> = batch.iter().map(|entry| entry.bytes.clone()).collect();
    let begun = Instant::now();
    let mut delay = terms.first_delay;
    loop {
        let failure = match queue.collector.deliver(queue.plugin, &bytes, &sending.outbound).await {
            Ok(()) => {
                health.note_success(queue);
                return queue.metrics.send_entries(plugin, batch.len());
            }
            Err(failure) => failure,
        };
        health.note_failure(queue, &failure);
        let left = terms.retry_time.map(|time| time.saturating_sub(begun.elapsed()));
        let has_time = left.is_some_and(|left| !left.is_zero());
        if !has_time || sending.stopping.is_cancelled() {
            return queue.metrics.drop_entries(plugin, DropReason::Failed, batch.len());
        }
        tokio::select! {
            () = sleep(delay.min(terms.longest_delay)) => {}
            () = sending.stopping.cancelled() => {}
        }
        delay = delay.saturating_mul(2);
    }
}

impl Health {
    fn note_failure(&self, queue: &Queue, failure: &DeliveryFailure) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            let (name, id) = (queue.collector.plugin(), queue.plugin);
            warn!(plugin = name, %id, "the collector of a plugin takes no entries: {failure}");
        }
    }

    fn note_success(&self, queue: &Queue) {
        if self.is_failing.swap(false, Ordering::Relaxed) {
            let (name, id) = (queue.collector.plugin(), queue.plugin);
            info!(plugin = name, %id, "the collector of a plugin takes entries again");
        }
    }
}
