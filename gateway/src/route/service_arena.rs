//! A persistent vector of services. A route holds the slot number of its service, so that a change of the
//! service edits one slot and none of its routes.

use std::sync::Arc;

use super::Service;

/// Slots of one chunk: an edit copies one chunk, and the list of chunks.
const CHUNK: usize = 256;

#[derive(Clone, Debug, Default)]
pub(super) struct ServiceArena {
    chunks: Arc<Vec<Arc<Chunk>>>,
}

type Chunk = [Option<Arc<Service>>; CHUNK];

impl ServiceArena {
    pub(super) fn get(&self, slot: u32) -> Option<&Arc<Service>> {
        let slot = slot as usize;
        self.chunks.get(slot / CHUNK)?[slot % CHUNK].as_ref()
    }

    /// Puts `service` into `slot`, which may lie past the end.
    pub(super) fn set(&mut self, slot: u32, service: Option<Arc<Service>>) {
        let slot = slot as usize;
        let chunks = Arc::make_mut(&mut self.chunks);
        while chunks.len() <= slot / CHUNK {
            chunks.push(Arc::new([const { None }; CHUNK]));
        }
        Arc::make_mut(&mut chunks[slot / CHUNK])[slot % CHUNK] = service;
    }
}
