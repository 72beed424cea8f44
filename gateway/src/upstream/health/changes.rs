//! The way of changes from requests' threads to the runner.

use std::collections::HashMap;
use std::fmt;

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use super::plan::Wanted;

/// The changes that the runner has not seen yet: the last one of each upstream.
#[derive(Default)]
pub(super) struct Changes {
    pending: Mutex<HashMap<Uuid, (usize, Vec<Wanted>)>>,
    notify: Notify,
}

impl Changes {
    /// Notes what an upstream wants, and at most how many of its probes run at a time.
    pub(super) fn put(&self, upstream: Uuid, concurrency: usize, wanted: Vec<Wanted>) {
        let replaced = self.pending.lock().insert(upstream, (concurrency, wanted));
        // Without the lock.
        drop(replaced);
        self.notify.notify_one();
    }

    /// Takes all changes.
    pub(super) fn take(&self) -> HashMap<Uuid, (usize, Vec<Wanted>)> {
        std::mem::take(&mut *self.pending.lock())
    }

    /// Waits for a change.
    pub(super) async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("pending", &self.pending.lock().len()).finish_non_exhaustive()
    }
}
