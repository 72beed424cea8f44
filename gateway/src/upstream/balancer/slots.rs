//! The slots of a process, by upstream, target and address. They are kept for a while after their last use, so
//! that an address which leaves DNS and returns, or an upstream that is deleted and made again, finds its state.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::current;
use super::member::Identity;
use super::settings::Settings;
use super::shared::{Process, UpstreamState};
use super::slot::{SavedSlot, Slot};

/// How long the state of an unused address is kept; Kong's value.
const KEPT: Duration = Duration::from_secs(300);
/// Time between two sweeps.
const SWEEP: Duration = Duration::from_secs(30);

/// The slots of a process.
#[derive(Debug)]
pub struct Slots {
    process: Arc<Process>,
    upstreams: Mutex<HashMap<Uuid, Entry, RandomState>>,
    /// States from another process, by upstream and target, until their slots are made.
    saved: Mutex<Saved>,
}

#[derive(Debug)]
struct Entry {
    state: Arc<UpstreamState>,
    slots: HashMap<Identity, Kept, RandomState>,
}

#[derive(Debug)]
struct Kept {
    slot: Arc<Slot>,
    unused_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Saved {
    slots: HashMap<(Uuid, Uuid), Vec<SavedSlot>, RandomState>,
    since: Option<Instant>,
}

impl Slots {
    /// Creates an empty registry.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            process: Arc::new(Process::new(Instant::now())),
            upstreams: Mutex::default(),
            saved: Mutex::default(),
        })
    }

    /// Notified when the availability of an address changes.
    pub fn notify(&self) -> &Notify {
        self.process.changes.notify()
    }

    /// Takes the slots that changed since the last call. Each is there once, with its last state.
    pub fn take_changes(&self) -> Vec<Arc<Slot>> {
        let (changed, upstreams) = (self.process.changes.take(), self.upstreams.lock());
        let slot = |(upstream, identity): &(Uuid, Identity)| {
            Some(upstreams.get(upstream)?.slots.get(identity)?.slot.clone())
        };
        changed.iter().filter_map(slot).collect()
    }

    /// Ends ejections, pins and pauses at their time, and sweeps. Runs until it is dropped; one task of the
    /// process does it.
    pub async fn keep_time(&self) {
        let mut sweep = Instant::now() + SWEEP;
        loop {
            tokio::select! {
                () = self.process.timers.wait() => (),
                () = sleep_until(sweep) => (),
            }
            let now = Instant::now();
            self.process.timers.take_due(now).into_iter().for_each(|due| due.expire(now));
            if sweep <= now {
                self.sweep(now);
                sweep = now + SWEEP;
            }
        }
    }

    /// The state of all addresses that differs from a new one's, for another process.
    pub fn export(&self) -> Vec<SavedSlot> {
        let now = Instant::now();
        let upstreams = self.upstreams.lock();
        let slots = upstreams.values().flat_map(|entry| entry.slots.values());
        slots.filter_map(|kept| kept.slot.saved(now)).collect()
    }

    /// Takes over the state of another process, before the first balancer is made. What is not used within
    /// five minutes is forgotten.
    pub fn import(&self, slots: Vec<SavedSlot>) {
        let mut saved = self.saved.lock();
        saved.since = Some(Instant::now());
        for slot in slots {
            saved.slots.entry((slot.upstream, slot.target)).or_default().push(slot);
        }
    }

    /// Returns the state of an upstream.
    pub(super) fn upstream(&self, upstream: Uuid) -> Arc<UpstreamState> {
        let mut upstreams = self.upstreams.lock();
        self.entry(&mut upstreams, upstream).state.clone()
    }

    /// Returns the slots of `identities`, and for each whether it is new.
    pub(super) fn slots<'i>(
        &self,
        upstream: Uuid,
        identities: impl Iterator<Item = &'i Identity>,
        settings: &Arc<Settings>,
        now: Instant,
    ) -> Vec<(Arc<Slot>, bool)> {
        let mut upstreams = self.upstreams.lock();
        let entry = self.entry(&mut upstreams, upstream);
        identities
            .map(|identity| {
                if let Some(kept) = entry.slots.get_mut(identity) {
                    kept.unused_since = None;
                    return (kept.slot.clone(), false);
                }
                let saved = self.take_saved(upstream, identity);
                let restored = saved.is_some();
                let slot = Slot::new(identity.clone(), entry.state.clone(), settings.clone(), saved, now);
                let kept = Kept { slot: slot.clone(), unused_since: None };
                entry.slots.insert(identity.clone(), kept);
                (slot, !restored)
            })
            .collect()
    }

    fn entry<'e>(
        &self,
        upstreams: &'e mut HashMap<Uuid, Entry, RandomState>,
        upstream: Uuid,
    ) -> &'e mut Entry {
        upstreams.entry(upstream).or_insert_with(|| Entry {
            state: Arc::new(UpstreamState::new(upstream, self.process.clone())),
            slots: HashMap::default(),
        })
    }

    fn take_saved(&self, upstream: Uuid, identity: &Identity) -> Option<SavedSlot> {
        let mut saved = self.saved.lock();
        let slots = saved.slots.get_mut(&(upstream, identity.target))?;
        let index = slots.iter().position(|slot| slot.is_of(identity))?;
        Some(slots.swap_remove(index))
    }

    /// Forgets what has been unused for [`KEPT`].
    fn sweep(&self, now: Instant) {
        current::sweep();
        let is_over = |since: Instant| now.saturating_duration_since(since) >= KEPT;
        self.upstreams.lock().retain(|_, entry| {
            entry.slots.retain(|_, kept| {
                // The registry's own reference is the only one.
                let unused = Arc::strong_count(&kept.slot) == 1 && kept.slot.in_flight() == 0;
                kept.unused_since = unused.then(|| kept.unused_since.unwrap_or(now));
                !kept.unused_since.is_some_and(is_over)
            });
            !entry.slots.is_empty() || Arc::strong_count(&entry.state) > 1
        });
        let mut saved = self.saved.lock();
        if saved.since.is_some_and(is_over) {
            *saved = Saved::default();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.upstreams.lock().values().map(|entry| entry.slots.len()).sum()
    }
}
