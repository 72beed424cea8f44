//! The memory of the entries of all queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// What an entry takes beside its bytes.
const OVERHEAD: usize = 96;

/// The bytes that entries take, and the most that they may.
#[derive(Debug)]
pub(super) struct Memory {
    most: usize,
    used: AtomicUsize,
}

/// An entry. Its bytes are counted for as long as it lives.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) bytes: Bytes,
    memory: Arc<Memory>,
}

impl Memory {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, used: AtomicUsize::new(0) })
    }

    /// Takes memory for an entry of a queue that waits for so many bytes; `None` if there is none for it. A queue
    /// has at most half of what is left to all: a collector that takes nothing leaves room for the others.
    pub(super) fn entry(self: &Arc<Self>, bytes: Bytes, waiting: usize) -> Option<Entry> {
        let entry = Entry { bytes, memory: self.clone() };
        let used = self.used.fetch_add(entry.size(), Ordering::Relaxed);
        // Dropped if it is one too many, which undoes the addition.
        (waiting + entry.size() <= self.most.saturating_sub(used) / 2).then_some(entry)
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Entry {
    /// The memory that it takes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.size(), Ordering::Relaxed);
    }
}
