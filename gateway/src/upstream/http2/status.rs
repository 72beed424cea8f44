//! What a connection of HTTP/2, its streams and its task know of each other.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The most streams on one connection, if the upstream allows as many; nginx accepts no more.
const STREAMS: usize = 128;

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Status {
    ended: AtomicBool,
    streams: AtomicUsize,
    /// The most streams that the upstream allows.
    allowed: AtomicUsize,
    begun: Instant,
    /// When the last stream ended, in milliseconds after `begun`.
    unused_since: AtomicU64,
}

impl Status {
    pub(super) fn new(allowed: usize) -> Self {
        Self {
            ended: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            allowed: AtomicUsize::new(allowed),
            begun: Instant::now(),
            unused_since: AtomicU64::new(0),
        }
    }

    /// When the last stream ended; `None` while there are streams.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        let is_unused = self.streams.load(Ordering::Acquire) == 0;
        is_unused.then(|| self.begun + Duration::from_millis(self.unused_since.load(Ordering::Relaxed)))
    }

    /// Whether no more streams can begin.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Notes how many streams the upstream allows.
    pub(super) fn allow(&self, streams: usize) {
        self.allowed.store(streams, Ordering::Relaxed);
    }

    /// Notes that no more streams can begin.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Counts a stream, if there is room for it.
    pub(super) fn add_stream(&self) -> bool {
        let most = self.allowed.load(Ordering::Relaxed).min(STREAMS);
        let more = |streams| (streams < most).then_some(streams + 1);
        !self.ended.load(Ordering::Relaxed)
            && self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Whether several streams are open.
    pub(super) fn has_many_streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed) > 1
    }

    /// Counts a stream less.
    pub(super) fn remove_stream(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.unused_since.store(now, Ordering::Relaxed);
        self.streams.fetch_sub(1, Ordering::Release);
    }
}
