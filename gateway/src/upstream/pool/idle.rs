//! Idle connections of HTTP/1.1. The one that was used last is taken first, so that those beyond the need
//! become old and are closed.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{IDLE, PoolLimits};
use crate::upstream::http1::Http1;
use crate::upstream::terms::Key;

/// The idle connections of a shard.
#[derive(Debug, Default)]
pub(super) struct Idle {
    by_key: HashMap<Key, VecDeque<Kept>, RandomState>,
}

/// An idle connection.
#[derive(Debug)]
pub(super) struct Kept {
    connection: Box<Http1>,
    since: Instant,
}

/// The number of idle connections of all shards.
#[derive(Debug)]
pub(super) struct Count {
    now: AtomicUsize,
    limits: PoolLimits,
}

impl Count {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self { now: AtomicUsize::new(0), limits }
    }

    /// Counts one more; `false` if there would be too many.
    fn add(&self) -> bool {
        let added = self.now.fetch_add(1, Ordering::Relaxed) < self.limits.idle;
        if !added {
            self.subtract(1);
        }
        added
    }

    fn subtract(&self, closed: usize) {
        self.now.fetch_sub(closed, Ordering::Relaxed);
    }
}

impl Idle {
    /// Takes the connection that was used last.
    pub(super) fn take(&mut self, key: &Key, count: &Count) -> Option<Box<Http1>> {
        let kept = self.by_key.get_mut(key)?.pop_back()?;
        count.subtract(1);
        Some(kept.connection)
    }

    /// Keeps a connection. Returns the one that has to be closed for it, or the connection itself.
    #[must_use]
    pub(super) fn put(&mut self, key: Key, connection: Box<Http1>, count: &Count) -> Option<Box<Http1>> {
        let same = self.by_key.get(&key).map_or(0, VecDeque::len);
        let mut evicted = None;
        if same >= count.limits.idle_of_upstream || !count.add() {
            evicted = self.evict(&key);
            if evicted.is_none() {
                return Some(connection);
            }
        }
        let kept = Kept { connection, since: Instant::now() };
        self.by_key.entry(key).or_default().push_back(kept);
        evicted
    }

    /// Takes out the oldest connection of the same upstream, or else one of another upstream.
    fn evict(&mut self, key: &Key) -> Option<Box<Http1>> {
        let same = self.by_key.get_mut(key).and_then(VecDeque::pop_front);
        let other = || self.by_key.values_mut().find_map(VecDeque::pop_front);
        same.or_else(other).map(|kept| kept.connection)
    }

    /// Takes out the connections that are too old, or that the upstream has ended.
    #[must_use]
    pub(super) fn sweep(&mut self, now: Instant, count: &Count) -> Vec<Kept> {
        let mut closed = Vec::new();
        self.by_key.retain(|_, all| {
            let mut index = 0;
            while let Some(kept) = all.get_mut(index) {
                if now.duration_since(kept.since) >= IDLE || kept.connection.is_stale() {
                    closed.extend(all.remove(index));
                } else {
                    index += 1;
                }
            }
            !all.is_empty()
        });
        count.subtract(closed.len());
        closed
    }
}

#[cfg(test)]
impl Idle {
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub(super) fn has_stale(&mut self) -> bool {
        self.by_key.values_mut().flatten().any(|kept| kept.connection.is_stale())
    }
}

#[cfg(test)]
impl Count {
    pub(super) fn get(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }
}
