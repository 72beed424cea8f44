//! Where the table of a shard is, for a prefetch without the lock of the shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::prefetch::CacheLines;

/// The address and the length of a table, as they were when it was last arranged.
#[derive(Debug, Default)]
pub(super) struct Location {
    first: AtomicUsize,
    places: AtomicUsize,
}

/// The entry of one table in the locations of all: few cache lines, which each request reads and few requests write.
#[derive(Clone, Debug)]
pub(super) struct TableLocation {
    all: Arc<[Location]>,
    number: usize,
}

impl Location {
    /// The locations of that many tables.
    pub(super) fn all(tables: usize) -> Arc<[Self]> {
        (0..tables).map(|_| Self::default()).collect()
    }

    /// The memory of a place of `bytes` bytes, which `choose` chooses by the number of places; `None` if there are
    /// none. If the table is arranged meanwhile, address and number may be of different tables: it may be any memory.
    pub(super) fn lines(&self, bytes: usize, choose: impl FnOnce(usize) -> usize) -> Option<CacheLines> {
        let (first, places) = (self.first.load(Ordering::Relaxed), self.places.load(Ordering::Relaxed));
        let offset = choose(places).wrapping_mul(bytes);
        (places > 0).then(|| CacheLines::at(first.wrapping_add(offset), bytes))
    }
}

impl TableLocation {
    pub(super) fn new(all: &Arc<[Location]>, number: usize) -> Self {
        Self { all: all.clone(), number }
    }

    /// Says where the table is now.
    pub(super) fn set<T>(&self, table: &[T]) {
        let location = &self.all[self.number];
        location.first.store(table.as_ptr().addr(), Ordering::Relaxed);
        location.places.store(table.len(), Ordering::Relaxed);
    }
}
