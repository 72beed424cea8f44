//! Prefetches memory into the cache of the processor. A look-up among very many values waits for memory longer than it
//! computes; what was asked for before comes meanwhile.

use std::ptr;

use prefetch_index::prefetch_index;

/// The lines of the cache on which a value begins and ends: all of one that spans at most two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheLines {
    first: usize,
    last: usize,
}

impl CacheLines {
    /// Those of a value.
    pub(crate) fn of<T>(value: &T) -> Self {
        Self::at(ptr::from_ref(value).addr(), size_of::<T>())
    }

    /// The one on which a value begins.
    pub(crate) fn begin_of<T>(value: &T) -> Self {
        Self::at(ptr::from_ref(value).addr(), 1)
    }

    /// Those of `bytes` bytes at an address, which need not be valid.
    pub(crate) fn at(first: usize, bytes: usize) -> Self {
        Self { first, last: first.wrapping_add(bytes.saturating_sub(1)) }
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
