//! The queues of a process.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::collector::Collector;
use super::memory::Memory;
use super::queue::{HasEnded, Queue};
use super::terms::QueueTerms;
use crate::metrics::{DeliveryMetrics, DropReason};

/// Bytes of the entries of all queues.
const MOST_BYTES: usize = 256 << 20;
/// The most queues. Each plugin has one for each configuration of the last minutes.
const MOST_QUEUES: usize = 10_000;

/// The queues of a process. They outlive the configurations whose plugins fill them.
#[derive(Debug)]
pub struct Queues {
    queues: RwLock<HashMap<QueueKey, Arc<Queue>, RandomState>>,
    /// New queues, for the thread that sends.
    begun: mpsc::UnboundedSender<(QueueKey, Arc<Queue>)>,
    /// The same, until that thread runs.
    unstarted: Mutex<Option<Unstarted>>,
    memory: Arc<Memory>,
    metrics: DeliveryMetrics,
}

/// The queues that have begun, for the thread that sends.
pub(super) type Unstarted = mpsc::UnboundedReceiver<(QueueKey, Arc<Queue>)>;

/// Identifies a queue: a plugin with one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueKey {
    /// The plugin.
    pub plugin: Uuid,
    /// A digest of its configuration.
    pub configuration: u128,
}

impl QueueKey {
    /// The key of a plugin with these canonical bytes of its configuration.
    pub fn new(plugin: Uuid, configuration: &[u8]) -> Self {
        let digest = blake3::hash(configuration);
        let half = digest.as_bytes().first_chunk().copied().unwrap_or_default();
        Self { plugin, configuration: u128::from_le_bytes(half) }
    }
}

impl Queues {
    /// Creates no queues. What they take is sent once a [`DeliveryThread`](super::DeliveryThread) runs.
    pub fn new(metrics: DeliveryMetrics) -> Arc<Self> {
        Self::within(MOST_BYTES, metrics)
    }

    /// The same, with so many bytes for all entries.
    pub(super) fn within(most_bytes: usize, metrics: DeliveryMetrics) -> Arc<Self> {
        let (begun, unstarted) = mpsc::unbounded_channel();
        let (queues, memory) = (RwLock::default(), Memory::new(most_bytes));
        Arc::new(Self { queues, begun, unstarted: Mutex::new(Some(unstarted)), memory, metrics })
    }

    /// The queues that begin, for the one thread that sends.
    pub(super) fn take_unstarted(&self) -> Option<Unstarted> {
        self.unstarted.lock().take()
    }

    /// Appends an entry to a queue, which is made if there is none. Never waits for a collector.
    pub fn push(&self, key: QueueKey, terms: &QueueTerms, collector: &Arc<dyn Collector>, entry: Bytes) {
        // A queue may end between the look-up and the entry, though hardly twice.
        for _ in 0..3 {
            let found = self.queues.read().get(&key).cloned();
            let Some(queue) = found.or_else(|| self.begin(key, terms, collector)) else { break };
            match queue.push(&entry) {
                Ok(()) => return,
                Err(HasEnded) => self.remove(key, &queue),
            }
        }
        self.metrics.drop_entries(collector.plugin(), DropReason::Stopped, 1);
    }

    fn begin(&self, key: QueueKey, terms: &QueueTerms, collector: &Arc<dyn Collector>) -> Option<Arc<Queue>> {
        let mut queues = self.queues.write();
        if let Some(queue) = queues.get(&key) {
            return Some(queue.clone());
        }
        if queues.len() >= MOST_QUEUES {
            return None;
        }
        let (terms, collector) = (terms.clone(), collector.clone());
        let queue = Queue::new(key.plugin, terms, collector, self.metrics.clone(), self.memory.clone());
        let queue = Arc::new(queue);
        // Without the thread nothing is sent.
        self.begun.send((key, queue.clone())).ok()?;
        queues.insert(key, queue.clone());
        Some(queue)
    }

    /// Removes a queue that has ended.
    pub(super) fn remove(&self, key: QueueKey, ended: &Arc<Queue>) {
        let mut queues = self.queues.write();
        if queues.get(&key).is_some_and(|queue| Arc::ptr_eq(queue, ended)) {
            queues.remove(&key);
        }
    }

    /// Ends all queues. Returns the number of entries that are lost.
    pub(super) fn end(&self) -> usize {
        let ended = std::mem::take(&mut *self.queues.write());
        ended.values().map(|queue| queue.end()).sum()
    }

    /// The number of queues.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queues.read().len()
    }

    /// The bytes of all entries.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.memory.used()
    }
}
