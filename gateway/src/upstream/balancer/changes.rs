//! Slots whose availability changed since the last report. A slot that changes often stands here once: the last
//! state wins.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::slot::Slot;

/// Changed slots, for one reader. It is bounded by the number of slots.
#[derive(Debug, Default)]
pub struct Changes {
    slots: Mutex<HashMap<u64, Weak<Slot>, RandomState>>,
    changed: Notify,
}

impl Changes {
    /// Waits until a slot changes, or returns at once if one changed since the last wait.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Notified when a slot changes.
    pub fn notify(&self) -> &Notify {
        &self.changed
    }

    /// Takes the slots that changed. Slots that no longer exist are left out.
    pub fn take(&self) -> Vec<Arc<Slot>> {
        let slots = std::mem::take(&mut *self.slots.lock());
        slots.into_values().filter_map(|slot| slot.upgrade()).collect()
    }

    pub(super) fn add(&self, id: u64, slot: Weak<Slot>) {
        self.slots.lock().insert(id, slot);
        self.changed.notify_one();
    }
}
