//! The body of an answer on its way to a client, which is kept when it is complete.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use super::key::{Key, Keys, variant};
use super::store::{Purges, Store};
use super::stored::{Head, Stored};

/// A body that is being recorded. One that is longer than is allowed is not kept, and neither is one for which
/// all recordings together have no room.
#[derive(Debug)]
pub struct Recording {
    store: Arc<Store>,
    /// `None` once it is given up.
    head: Option<Head>,
    keys: (Key, Key),
    names: Arc<[String]>,
    since: Purges,
    body: Vec<u8>,
    /// Bytes of the room of all recordings that this one has taken.
    taken: usize,
}

impl Store {
    /// Records the body of an answer to a request with these fields.
    pub fn record(
        self: &Arc<Self>,
        head: Head,
        keys: &Keys,
        headers: &HeaderMap,
        since: Purges,
    ) -> Recording {
        let names = self.names(keys, &head.admitted.vary);
        let key = if names.is_empty() { keys.lookup } else { variant(&keys.lookup, &names, headers) };
        Recording::new(self.clone(), head, (keys.lookup, key), names, since)
    }
}

impl Recording {
    /// Begins with an empty body. `keys` are those of the request and of the answer.
    pub(super) fn new(
        store: Arc<Store>,
        head: Head,
        keys: (Key, Key),
        names: Arc<[String]>,
        since: Purges,
    ) -> Self {
        Self { store, head: Some(head), keys, names, since, body: Vec::new(), taken: 0 }
    }

    /// Adds a part of the body, and returns whether the answer may still be kept.
    pub fn add(&mut self, part: &[u8]) -> bool {
        if self.head.is_none() {
            return false;
        }
        let fits = self.body.len() + part.len() <= self.store.most_bytes();
        if !fits || !self.take(part.len()) {
            self.give_up();
            return false;
        }
        // The part may be a small piece of a large buffer.
        self.body.extend_from_slice(part);
        true
    }

    /// Keeps the answer, and returns whether it is kept.
    pub fn end(mut self) -> bool {
        let Some(head) = self.head.take() else { return false };
        let stored = Stored::new(head, Bytes::from(std::mem::take(&mut self.body)), Instant::now());
        self.store.keep(self.keys, &self.names, stored, self.since)
    }

    /// Takes room for so many bytes.
    fn take(&mut self, bytes: usize) -> bool {
        let before = self.store.recorded.fetch_add(bytes, Ordering::Relaxed);
        self.taken += bytes;
        before + bytes <= self.store.most_recorded()
    }

    fn give_up(&mut self) {
        self.head = None;
        self.body = Vec::new();
        self.release();
    }

    fn release(&mut self) {
        self.store.recorded.fetch_sub(std::mem::take(&mut self.taken), Ordering::Relaxed);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.release();
    }
}
