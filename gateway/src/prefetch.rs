//! Prefetches memory into the cache of the processor. A look-up among very many values waits for memory longer than it
//! computes; what was asked for before comes meanwhile.

use std::ptr;

use prefetch_index::prefetch_index;

/// The lines of the cache on which a value begins and ends: all of one that spans at most two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheLines {
    first: usize,
    last: usize,
}

impl CacheLines {
    /// Those of a value.
    pub(crate) fn of<T>(value: &T) -> Self {
        let first = ptr::from_ref(value).addr();
        Self { first, last: first + size_of::<T>().saturating_sub(1) }
    }

    /// Begins to fetch them. If the value has been freed, nothing is lost but time.
    pub(crate) fn prefetch(self) {
        // The library takes a slice and an index. From the start of an empty slice, an index leads to any address, and
        // nothing is read there.
        let nothing: &[u8] = &[];
        let base = nothing.as_ptr().addr();
        [self.first, self.last].into_iter().for_each(|at| prefetch_index(nothing, at.wrapping_sub(base)));
    }
}

/// Begins to fetch a value that will be read soon.
pub(crate) fn prefetch<T>(value: &T) {
    CacheLines::of(value).prefetch();
}
