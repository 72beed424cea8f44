//! The memory of bodies: all bodies that are being read or handled have one bound in bytes together.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// The memory that bodies may take; cheap to clone.
#[derive(Clone, Debug)]
pub struct BodyMemory {
    bytes: usize,
    free: Arc<Semaphore>,
}

/// The share of one request, which ends with its last clone.
#[derive(Clone, Debug)]
pub(super) struct BodyShare {
    memory: BodyMemory,
    taken: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl BodyMemory {
    /// Makes the memory of this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, free: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))) }
    }

    /// Makes the share of a request.
    pub(super) fn share(&self) -> BodyShare {
        BodyShare { memory: self.clone(), taken: Arc::default() }
    }
}

impl BodyShare {
    /// Takes this many more bytes.
    pub(super) fn take(&self, bytes: usize) -> Result<(), ApiError> {
        let busy = || ApiError::BodiesBusy(self.memory.bytes);
        let more = u32::try_from(bytes).map_err(|_| busy())?;
        let more = Arc::clone(&self.memory.free).try_acquire_many_owned(more).map_err(|_| busy())?;
        match &mut *self.taken.lock() {
            Some(taken) => taken.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Gives all bytes back: the body was dropped.
    pub(super) fn release(&self) {
        *self.taken.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back_with_their_requests() {
        let memory = BodyMemory::new(10);
        let (first, second) = (memory.share(), memory.share());
        first.take(4).unwrap();
        first.take(3).unwrap();
        assert!(matches!(second.take(4), Err(ApiError::BodiesBusy(10))));
        second.take(3).unwrap();
        let clone = first.clone();
        drop(first);
        assert!(second.take(1).is_err());
        drop(clone);
        second.take(7).unwrap();
    }
}
