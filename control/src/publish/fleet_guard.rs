//! Keeps one mistake from emptying all data planes. It holds back a configuration of a new epoch that is
//! empty, or much smaller than that of the data planes. An operator must confirm it. A wrong database URL, an
//! emptied file or an old dump look like that. Deleting entities does not, since the epoch stays the same.

use tokio::sync::watch;
use tracing::{info, warn};
use uuid::Uuid;
use wire::{Digest, Position};

use crate::metrics::ClusterMetrics;
use crate::store::{Store, StoreError};

/// A configuration is much smaller if it has less than half of the entities, and at least this many fewer.
const FEWER: usize = 10;

/// The guard.
#[derive(Debug)]
pub(super) struct FleetGuard {
    enabled: bool,
    metrics: ClusterMetrics,
    held_back: watch::Sender<Option<HeldBack>>,
}

/// A configuration that is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Its epoch.
    pub epoch: Uuid,
    /// The reason.
    pub reason: String,
    /// The configuration that the data planes had.
    fleet: Size,
}

/// The size of a configuration, by which the guard compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) epoch: Uuid,
    pub(super) entities: usize,
}

impl HeldBack {
    fn new(fleet: Size, now: Size) -> Self {
        let reason = format!(
            "the configuration of epoch {} has {} entities, the one of epoch {} before it had {}",
            now.epoch, now.entities, fleet.epoch, fleet.entities
        );
        Self { epoch: now.epoch, reason, fleet }
    }
}

impl FleetGuard {
    pub(super) fn new(enabled: bool, metrics: ClusterMetrics) -> Self {
        Self { enabled, metrics, held_back: watch::Sender::new(None) }
    }

    pub(super) fn held_back(&self) -> Option<HeldBack> {
        self.held_back.borrow().clone()
    }

    /// Changes whenever something is held back or released.
    pub(super) fn changes(&self) -> watch::Receiver<Option<HeldBack>> {
        self.held_back.subscribe()
    }

    /// Waits until no configuration is held back.
    pub(super) async fn released(&self) {
        // The sender lives as long as `self`.
        self.held_back.subscribe().wait_for(Option::is_none).await.ok();
    }

    /// Compares the configuration with the previous one, in the order of their publication.
    pub(super) async fn compare(&self, store: &Store, before: Size, now: Size) {
        if before.epoch == now.epoch || !is_much_smaller(before.entities, now.entities) {
            return;
        }
        self.hold_back(store, HeldBack::new(before, now)).await;
    }

    /// Compares the configuration with that of a data plane of another epoch.
    pub(super) async fn compare_with_fleet(&self, store: &Store, held: Position, now: Size) {
        if held.epoch == now.epoch || now.entities > 0 || held.root == Digest::new().root() {
            return;
        }
        let reason = format!(
            "the configuration of epoch {} is empty, a data plane has one of epoch {}",
            now.epoch, held.epoch
        );
        // The position does not tell how many entities the data plane has, but it has some.
        let fleet = Size { epoch: held.epoch, entities: 1 };
        self.hold_back(store, HeldBack { epoch: now.epoch, reason, fleet }).await;
    }

    /// Releases a held-back configuration if it was confirmed, or if the database has one of another epoch
    /// that is not much smaller than that of the data planes. Entities that are added to the held-back epoch
    /// do not release it, since the rest may still be missing.
    pub(super) async fn review(&self, store: &Store, now: Size) {
        let Some(held_back) = self.held_back() else { return };
        let is_another = held_back.epoch != now.epoch;
        let is_smaller = is_much_smaller(held_back.fleet.entities, now.entities);
        if is_confirmed(store, now.epoch).await {
            self.release("it was confirmed");
        } else if is_another && is_smaller {
            self.held_back.send_replace(Some(HeldBack::new(held_back.fleet, now)));
        } else if is_another {
            self.release("the database has another one, which is not much smaller");
        }
    }

    /// Releases the held-back configuration if a data plane connects with one of the same epoch: then it is
    /// the one before it that was out of date. An empty one proves nothing.
    pub(super) fn data_plane_holds(&self, held: Position) {
        let is_held = self.held_back().is_some_and(|held_back| held_back.epoch == held.epoch);
        if is_held && held.root != Digest::new().root() {
            self.release("a data plane has it already");
        }
    }

    async fn hold_back(&self, store: &Store, held_back: HeldBack) {
        if !self.enabled || self.held_back().is_some() || is_confirmed(store, held_back.epoch).await {
            return;
        }
        warn!(
            "{}: it is held back, and the data planes go on serving what they have. If it is the right one, \
             confirm it by `gibbon-control cluster confirm`, or POST /clustering/guard/confirm",
            held_back.reason
        );
        self.metrics.guard_held_back.set(1);
        self.held_back.send_replace(Some(held_back));
    }

    fn release(&self, reason: &str) {
        info!("the configuration is not held back any more: {reason}");
        self.metrics.guard_held_back.set(0);
        self.held_back.send_replace(None);
    }
}

/// Whether the epoch is confirmed; a database that does not answer has confirmed nothing.
async fn is_confirmed(store: &Store, epoch: Uuid) -> bool {
    matches!(store.confirmed_epoch().await, Ok(Some(confirmed)) if confirmed == epoch)
}

const fn is_much_smaller(before: usize, now: usize) -> bool {
    (now == 0 && before > 0) || (now * 2 < before && before - now >= FEWER)
}

/// Confirms the present configuration in the database for all its control planes.
pub(super) async fn confirm(store: &Store) -> Result<Uuid, StoreError> {
    let epoch = store.head().await?.epoch;
    store.confirm_epoch(epoch).await?;
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_less_than_half_are_much_smaller() {
        for (before, now) in [(1, 0), (100, 0), (100, 49), (20, 9), (13, 3)] {
            assert!(is_much_smaller(before, now), "{before} -> {now}");
        }
        for (before, now) in [(0, 0), (9, 1), (100, 50), (100, 99), (20, 10), (1, 5)] {
            assert!(!is_much_smaller(before, now), "{before} -> {now}");
        }
    }
}
