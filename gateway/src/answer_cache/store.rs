//! The answers that are kept, of all instances of the plugin, within one bound of memory. They outlive every
//! change of the configuration, and end with the process.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use http::HeaderMap;
use model::CachePurge;
use parking_lot::Mutex;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use tokio::time::Instant;
use uuid::Uuid;

use super::flight::{Flights, Waited};
use super::key::{self, Key, Keys, variant};
use super::stored::Stored;
use crate::metrics::CacheMetrics;

/// The most independent parts of the store: a request waits for others of its part only.
const MOST_PARTS: usize = 16;
/// Answers for which the tables have room at first; they grow.
const FIRST_ROOM: usize = 1024;
/// How long requests do not wait for one another that get an answer which is not kept.
const NOT_KEPT: Duration = Duration::from_secs(10);
/// Orders that are remembered.
const MOST_DONE: usize = 4096;
/// The memory of a mark.
const MARK_BYTES: u64 = 256;

/// The bounds of the store.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// The memory of all answers, in bytes.
    pub bytes: usize,
    /// The longest body, in bytes.
    pub object: usize,
}

/// The answers that are kept.
#[derive(Debug)]
pub struct Store {
    entries: Cache<Key, Entry, Weight, RandomState>,
    /// Requests whose answers others wait for.
    pub flights: Flights,
    limits: StoreLimits,
    metrics: CacheMetrics,
    /// Bytes of the bodies that are being recorded.
    pub(super) recorded: AtomicUsize,
    /// Purges since the start. An answer that was requested before one is not kept after it.
    purges: AtomicU64,
    /// When the purges were ordered that are done, by the id of each.
    done: Mutex<HashMap<Uuid, Duration>>,
}

/// What is known of a key.
#[derive(Clone, Debug)]
enum Entry {
    /// The answer.
    Stored(Arc<Stored>),
    /// Answers vary by these fields of requests; each variant has a key of its own.
    Varies(Arc<[String]>),
    /// Answers are not kept, so that requests do not wait for one another until then.
    NotKept(Instant),
}

/// What a purge removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The answers that this instance of the plugin has kept; `None`: those of all.
    pub plugin: Option<Uuid>,
    /// The answers with this shown key; `None`: all.
    pub key: Option<Key>,
}

/// What the store has for a request.
#[derive(Clone, Debug)]
pub struct Found {
    /// The key of the answer: its variant, as far as variants are known.
    pub key: Key,
    /// The answer.
    pub stored: Option<Arc<Stored>>,
    /// Whether requests may wait for the answer to another one.
    pub may_wait: bool,
}

/// A number of purges: see [`Store::purges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purges(u64);

/// The memory of an entry.
#[derive(Clone, Copy, Debug)]
struct Weight;

impl Weighter<Key, Entry> for Weight {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        match entry {
            Entry::Stored(stored) => stored.bytes() as u64,
            Entry::Varies(names) => MARK_BYTES + names.iter().map(|name| name.len() as u64).sum::<u64>(),
            Entry::NotKept(_) => MARK_BYTES,
        }
    }
}

impl Store {
    /// An empty store.
    pub fn new(limits: StoreLimits, metrics: CacheMetrics) -> Self {
        // Each part must have room for several of the longest answers.
        let parts = (limits.bytes / limits.object.saturating_mul(4).max(1)).clamp(1, MOST_PARTS);
        let parts = if parts.is_power_of_two() { parts } else { parts.next_power_of_two() / 2 };
        let options = OptionsBuilder::new()
            .estimated_items_capacity(FIRST_ROOM)
            .weight_capacity(limits.bytes as u64)
            .shards(parts)
            .build()
            .expect("all options are given");
        let entries =
            Cache::with_options(options, Weight, RandomState::default(), DefaultLifecycle::default());
        Self {
            entries,
            flights: Flights::default(),
            limits,
            metrics,
            recorded: AtomicUsize::new(0),
            purges: AtomicU64::new(0),
            done: Mutex::default(),
        }
    }

    /// What is kept for a request with this key and these fields.
    pub fn find(&self, keys: &Keys, headers: &HeaderMap, now: Instant) -> Found {
        match self.entry(&keys.lookup, now) {
            Some(Entry::Varies(names)) => {
                let key = variant(&keys.lookup, &names, headers);
                Found::of(key, self.entry(&key, now))
            }
            entry => Found::of(keys.lookup, entry),
        }
    }

    /// The entry of a key, unless its time is over.
    fn entry(&self, key: &Key, now: Instant) -> Option<Entry> {
        let entry = self.entries.get(key)?;
        let is_over = match &entry {
            Entry::Stored(stored) => stored.until < now,
            Entry::NotKept(until) => *until < now,
            Entry::Varies(_) => false,
        };
        if is_over {
            self.entries.remove(key);
            return None;
        }
        Some(entry)
    }

    /// The number of purges, for [`Store::record`]: to be taken before the request is sent.
    pub fn purges(&self) -> Purges {
        Purges(self.purges.load(Ordering::Acquire))
    }

    /// The fields by which answers vary: those of this answer, and those that earlier ones have named.
    pub(super) fn names(&self, keys: &Keys, vary: &[String]) -> Arc<[String]> {
        let Some(Entry::Varies(known)) = self.entries.get(&keys.lookup) else { return vary.into() };
        if vary.iter().all(|name| known.contains(name)) {
            return known;
        }
        let mut all = [&known[..], vary].concat();
        all.sort_unstable();
        all.dedup();
        // A list that grows without end says nothing any more.
        if all.len() > super::admission::MOST_NAMES { vary.into() } else { all.into() }
    }

    /// The most bytes of one body.
    pub const fn most_bytes(&self) -> usize {
        self.limits.object
    }

    /// The most bytes of all bodies that are being recorded.
    pub(super) const fn most_recorded(&self) -> usize {
        self.limits.bytes / 2
    }

    /// Keeps an answer, unless something was purged since it was requested.
    pub(super) fn keep(
        &self,
        keys: (Key, Key),
        names: &Arc<[String]>,
        stored: Stored,
        since: Purges,
    ) -> bool {
        if self.purges() != since {
            return false;
        }
        let (lookup, key) = keys;
        if lookup != key {
            self.entries.insert(lookup, Entry::Varies(names.clone()));
        }
        self.entries.insert(key, Entry::Stored(Arc::new(stored)));
        if self.purges() != since {
            self.entries.remove(&key);
            return false;
        }
        true
    }

    /// Notes that answers to requests with this key are not kept.
    pub fn note_not_kept(&self, key: &Key, now: Instant) {
        self.entries.insert(*key, Entry::NotKept(now + NOT_KEPT));
    }

    /// Carries out an order, if that was not done before. A data plane may see one again.
    pub fn order(&self, purge: &CachePurge) {
        let at = purge.set_at.seconds();
        let mut done = self.done.lock();
        if done.len() >= MOST_DONE {
            done.clear();
        }
        let before = done.insert(purge.id, at);
        drop(done);
        // Not "later": the clocks of two control planes may differ.
        if before == Some(at) {
            return;
        }
        match purge.key.as_deref().map(key::from_hex) {
            // The rules of the entity allow no such text.
            Some(None) => {}
            key => self.purge(Scope { plugin: purge.plugin, key: key.flatten() }),
        }
    }

    /// Removes answers.
    pub fn purge(&self, scope: Scope) {
        self.purges.fetch_add(1, Ordering::AcqRel);
        if scope == Scope::default() {
            return self.entries.clear();
        }
        self.entries.retain(|_, entry| match entry {
            Entry::Stored(stored) => {
                scope.plugin.is_some_and(|plugin| plugin != stored.plugin)
                    || scope.key.is_some_and(|key| key != stored.shown)
            }
            Entry::Varies(_) | Entry::NotKept(_) => true,
        });
    }

    /// Its metrics.
    pub const fn metrics(&self) -> &CacheMetrics {
        &self.metrics
    }

    /// Counts a wait for another request.
    pub fn count_wait(&self, waited: Waited) {
        match waited {
            Waited::Kept => self.metrics.waits_kept.inc(),
            Waited::NotKept => self.metrics.waits_not_kept.inc(),
            Waited::TimedOut => self.metrics.waits_timed_out.inc(),
        }
    }

    /// Shows the memory and the number of answers in the metrics.
    pub fn observe(&self) {
        self.metrics.bytes.set(i64::try_from(self.bytes()).unwrap_or(i64::MAX));
        self.metrics.entries.set(i64::try_from(self.len()).unwrap_or(i64::MAX));
    }

    /// The memory of all answers, in bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// The most bytes of all answers.
    pub const fn capacity(&self) -> usize {
        self.limits.bytes
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }
}

impl Found {
    fn of(key: Key, entry: Option<Entry>) -> Self {
        match entry {
            Some(Entry::Stored(stored)) => Self { key, stored: Some(stored), may_wait: true },
            Some(Entry::NotKept(_)) => Self { key, stored: None, may_wait: false },
            // A variant that varies again: an entry of an earlier list.
            Some(Entry::Varies(_)) | None => Self { key, stored: None, may_wait: true },
        }
    }
}

#[cfg(test)]
mod tests;
