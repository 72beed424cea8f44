//! Addresses whose availability changed since the last report. One that changes often stands here once: its state
//! is read when it is reported.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use super::member::Identity;

/// Changed addresses by the ids of their slots, for one reader. They are bounded by the number of slots.
#[derive(Debug, Default)]
pub(super) struct Changes {
    slots: Mutex<HashMap<u64, (Uuid, Identity), RandomState>>,
    changed: Notify,
}

impl Changes {
    /// Notified when an address changes.
    pub(super) fn notify(&self) -> &Notify {
        &self.changed
    }

    /// Takes the upstreams and identities of those that changed.
    pub(super) fn take(&self) -> Vec<(Uuid, Identity)> {
        std::mem::take(&mut *self.slots.lock()).into_values().collect()
    }

    pub(super) fn add(&self, slot: u64, upstream: Uuid, identity: &Identity) {
        self.slots.lock().entry(slot).or_insert_with(|| (upstream, identity.clone()));
        self.changed.notify_one();
    }
}
