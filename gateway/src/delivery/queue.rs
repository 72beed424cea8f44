//! The entries of one plugin that wait for its collector.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use super::collector::Collector;
use super::memory::{Entry, Memory};
use super::terms::QueueTerms;
use crate::metrics::{DeliveryMetrics, DropReason};

/// The entries of one plugin, and where they go.
#[derive(Debug)]
pub(super) struct Queue {
    /// The plugin, for the log.
    pub(super) plugin: Uuid,
    pub(super) terms: QueueTerms,
    pub(super) collector: Arc<dyn Collector>,
    pub(super) metrics: DeliveryMetrics,
    memory: Arc<Memory>,
    state: Mutex<State>,
    /// An entry has been added.
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Nothing takes entries any more.
    has_ended: bool,
}

/// The queue takes no entries any more; another one must be made.
#[derive(Debug)]
pub(super) struct HasEnded;

impl Queue {
    pub(super) fn new(
        plugin: Uuid,
        terms: QueueTerms,
        collector: Arc<dyn Collector>,
        metrics: DeliveryMetrics,
        memory: Arc<Memory>,
    ) -> Self {
        Self { plugin, terms, collector, metrics, memory, state: Mutex::default(), added: Notify::new() }
    }

    /// Appends an entry, for which the oldest ones may have to go. One that has no place at all is dropped.
    pub(super) fn push(&self, bytes: &Bytes) -> Result<(), HasEnded> {
        if bytes.len() > self.terms.entry || bytes.len() > self.terms.bytes {
            self.metrics.drop_entries(self.collector.plugin(), DropReason::TooLarge, 1);
            return Ok(());
        }
        let (mut full, mut without_memory) = (0, 0);
        let is_added = {
            let mut state = self.state.lock();
            if state.has_ended {
                return Err(HasEnded);
            }
            while state.entries.len() >= self.terms.entries || state.bytes + bytes.len() > self.terms.bytes {
                let Some(_) = state.pop() else { break };
                full += 1;
            }
            loop {
                if let Some(entry) = self.memory.entry(bytes.clone(), state.bytes) {
                    state.bytes += bytes.len();
                    state.entries.push_back(entry);
                    break true;
                }
                without_memory += 1;
                let Some(_) = state.pop() else { break false };
            }
        };
        for (reason, count) in [(DropReason::Full, full), (DropReason::Memory, without_memory)] {
            self.metrics.drop_entries(self.collector.plugin(), reason, count);
        }
        if is_added {
            self.added.notify_one();
        }
        Ok(())
    }

    /// Waits for at least `count` entries.
    pub(super) async fn wait_for(&self, count: usize) {
        while self.len() < count {
            self.added.notified().await;
        }
    }

    /// Takes the oldest entries, at most `count`.
    pub(super) fn take(&self, count: usize) -> Vec<Entry> {
        let mut state = self.state.lock();
        let count = count.min(state.entries.len());
        (0..count).filter_map(|_| state.pop()).collect()
    }

    /// Ends the queue if it has no entries; `false` if it has some.
    pub(super) fn end_if_empty(&self) -> bool {
        let mut state = self.state.lock();
        state.has_ended |= state.entries.is_empty();
        state.has_ended
    }

    /// Ends the queue. Returns the number of entries that are lost.
    pub(super) fn end(&self) -> usize {
        let lost = {
            let mut state = self.state.lock();
            state.has_ended = true;
            std::mem::take(&mut state.entries)
        };
        self.metrics.drop_entries(self.collector.plugin(), DropReason::Stopped, lost.len());
        lost.len()
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().entries.len()
    }
}

impl State {
    fn pop(&mut self) -> Option<Entry> {
        let oldest = self.entries.pop_front()?;
        self.bytes -= oldest.bytes.len();
        Some(oldest)
    }
}
