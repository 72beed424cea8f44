//! What the groups of all upstreams share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::dns::Names;
use crate::upstream::balancer::Slots;
use crate::upstream::health::Prober;
use crate::upstream::policy::Policy;

/// What the groups of all upstreams share.
pub(in crate::upstream) struct Shared {
    pub(in crate::upstream) slots: Arc<Slots>,
    /// `None`: names have no address.
    pub(in crate::upstream) names: Option<Arc<Names>>,
    /// `None`: nothing is probed.
    pub(in crate::upstream) prober: Option<Prober>,
    pub(in crate::upstream) policy: Arc<Policy>,
    /// This data plane's id.
    node: OnceLock<Uuid>,
    /// The zone of this data plane.
    pub(in crate::upstream) zone: Option<Arc<str>>,
    /// Permits for requests that wait for the first answers to names.
    pub(super) waiting: Semaphore,
    /// Targets whose addresses have changed since they were last asked for, and their upstreams.
    moved: Mutex<HashMap<Uuid, Uuid>>,
}

impl Shared {
    pub(in crate::upstream) fn new(
        names: Option<Arc<Names>>,
        prober: Option<Prober>,
        policy: Arc<Policy>,
        zone: Option<Arc<str>>,
        waiting: usize,
    ) -> Self {
        let (slots, node, moved) = (Slots::new(), OnceLock::new(), Mutex::default());
        let waiting = Semaphore::new(waiting.min(Semaphore::MAX_PERMITS));
        Self { slots, names, prober, policy, node, zone, waiting, moved }
    }

    /// Notes that the addresses of targets have changed.
    pub(super) fn moved(&self, upstream: Uuid, targets: impl Iterator<Item = Uuid>) {
        self.moved.lock().extend(targets.map(|target| (target, upstream)));
        self.slots.notify().notify_one();
    }

    /// Takes the targets whose addresses or health have changed, and their upstreams.
    pub(in crate::upstream) fn take_changed(&self) -> HashMap<Uuid, Uuid> {
        let mut changed = std::mem::take(&mut *self.moved.lock());
        let slots = self.slots.take_changes();
        changed.extend(slots.iter().map(|slot| (slot.identity().target, slot.upstream())));
        changed
    }

    /// Sets the id of this data plane, once.
    pub(in crate::upstream) fn set_node(&self, node: Uuid) {
        self.node.get_or_init(|| node);
    }

    /// Whether a data plane is this one.
    pub(super) fn is_node(&self, node: Uuid) -> bool {
        self.node.get() == Some(&node)
    }

    /// Ends the probes of an upstream.
    pub(in crate::upstream) fn unprobe(&self, upstream: Uuid) {
        if let Some(prober) = &self.prober {
            prober.remove(upstream);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("slots", &self.slots).finish_non_exhaustive()
    }
}
