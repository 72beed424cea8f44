//! Expects whether a `PUT` by a name makes an entity, from the one before for the same kind: imports make many. Then
//! the entity is made without a look-up, as by a `POST`.

use std::sync::atomic::{AtomicU64, Ordering};

use wire::Kind;

/// A bit for each kind; kinds that share one only expect the wrong thing more often.
#[derive(Debug, Default)]
pub(super) struct NewNames(AtomicU64);

impl NewNames {
    pub(super) fn expected(&self, kind: Kind) -> bool {
        self.0.load(Ordering::Relaxed) & bit(kind) != 0
    }

    /// Notes whether there was no entity with the name.
    pub(super) fn note(&self, kind: Kind, was_new: bool) {
        if was_new {
            self.0.fetch_or(bit(kind), Ordering::Relaxed);
        } else {
            self.0.fetch_and(!bit(kind), Ordering::Relaxed);
        }
    }
}

const fn bit(kind: Kind) -> u64 {
    1 << (kind.0 % 64)
}
