//! What the groups of all upstreams share, and what outlives each of them: the slots of addresses, the look-ups of
//! names, the probes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use super::balancer::Slots;
use super::group::{Group, GroupTarget, GroupTerms, Shared};
use super::health::Prober;
use super::policy::Policy;
use crate::dns::Names;

/// Makes groups, and keeps those that are live.
#[derive(Debug)]
pub struct Balancing {
    shared: Arc<Shared>,
    /// By the upstream's id.
    live: Mutex<HashMap<Uuid, Arc<Group>>>,
}

impl Balancing {
    /// Creates the parts that groups share.
    /// `zone` is that of this data plane; at most `waiting` requests wait for the first answers to names.
    pub fn new(
        names: Arc<Names>,
        prober: Prober,
        policy: Arc<Policy>,
        zone: Option<Arc<str>>,
        waiting: usize,
    ) -> Self {
        let shared = Shared::new(Some(names), Some(prober), policy, zone, waiting);
        Self { shared: Arc::new(shared), live: Mutex::default() }
    }

    /// Sets the id of this data plane, once.
    pub fn set_node(&self, node: Uuid) {
        self.shared.set_node(node);
    }

    /// Creates the group that follows `earlier`, the one of the same upstream. It is probed from
    /// [`Balancing::begin`] on.
    pub fn group(
        &self,
        terms: Arc<GroupTerms>,
        targets: Vec<GroupTarget>,
        earlier: Option<&Group>,
    ) -> Arc<Group> {
        Group::new(terms, targets, earlier, &self.shared)
    }

    /// Makes a group live, in place of the one of the same upstream.
    pub fn begin(&self, group: &Arc<Group>) {
        let before = self.live.lock().insert(group.id(), group.clone());
        // Without the lock.
        if let Some(before) = before {
            before.retire();
        }
        group.begin();
    }

    /// Ends what the group of an upstream has begun.
    pub fn end(&self, upstream: Uuid) {
        let before = self.live.lock().remove(&upstream);
        if let Some(before) = before {
            before.retire();
            self.shared.unprobe(upstream);
        }
    }

    /// The live groups.
    pub fn live(&self) -> Vec<Arc<Group>> {
        self.live.lock().values().cloned().collect()
    }

    /// The live group of an upstream.
    pub fn live_group(&self, upstream: &Uuid) -> Option<Arc<Group>> {
        self.live.lock().get(upstream).cloned()
    }

    /// Takes the targets whose addresses or health have changed, with their upstreams. There is one reader.
    pub fn take_changed_targets(&self) -> HashMap<Uuid, Uuid> {
        self.shared.take_changed()
    }

    /// Notified when there are such targets.
    pub fn targets_changed(&self) -> &Notify {
        self.shared.slots.notify()
    }

    /// The slots of all addresses.
    pub fn slots(&self) -> &Arc<Slots> {
        &self.shared.slots
    }
}

impl Default for Balancing {
    /// Without names, probes and a policy.
    fn default() -> Self {
        let shared = Shared::new(None, None, Arc::default(), None, 0);
        Self { shared: Arc::new(shared), live: Mutex::default() }
    }
}
