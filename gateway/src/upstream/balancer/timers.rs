//! Deadlines of slots and balancers, for the one task that waits for them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// All deadlines of the process. An entry that is not needed any more stays until its time, and is then ignored.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: Mutex<BinaryHeap<Reverse<Entry>>>,
    earlier: Notify,
}

/// Something with deadlines.
pub(super) trait Timed: Send + Sync + std::fmt::Debug {
    /// Ends what is over at `now`.
    fn expire(self: Arc<Self>, now: Instant);
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    due: Weak<dyn Timed>,
}

impl Timers {
    /// Adds a deadline.
    pub(super) fn add(&self, at: Instant, due: Weak<dyn Timed>) {
        let mut heap = self.heap.lock();
        let is_first = heap.peek().is_none_or(|first| at < first.0.at);
        heap.push(Reverse(Entry { at, due }));
        drop(heap);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Takes out what is due at `now`, and still exists.
    pub(super) fn take_due(&self, now: Instant) -> Vec<Arc<dyn Timed>> {
        let (mut heap, mut due) = (self.heap.lock(), Vec::new());
        while heap.peek().is_some_and(|first| first.0.at <= now) {
            due.extend(heap.pop().and_then(|entry| entry.0.due.upgrade()));
        }
        due
    }

    /// Waits until something may be due.
    pub(super) async fn wait(&self) {
        let first = self.heap.lock().peek().map(|first| first.0.at);
        let reached = async {
            match first {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = reached => (),
            () = self.earlier.notified() => (),
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}
