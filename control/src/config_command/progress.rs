//! Progress of a long request, on the standard error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use node::logging::print_line;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Time between two lines.
const PAUSE: Duration = Duration::from_secs(2);

/// What a request has sent and received; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    length: u64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Progress {
    /// The progress of a request that sends `length` bytes.
    pub(super) fn new(length: u64) -> Self {
        Self(Arc::new(Counts { length, sent: AtomicU64::new(0), received: AtomicU64::new(0) }))
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.0.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.0.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Runs work, and prints a line every few seconds until it ends.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let mut lines = interval_at(begun + PAUSE, PAUSE);
        lines.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = lines.tick() => print_line(&self.line(begun.elapsed())),
            }
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        const MEGABYTE: f64 = 1e6;
        #[expect(clippy::cast_precision_loss, reason = "it is for people")]
        let megabytes = |bytes: u64| bytes as f64 / MEGABYTE;
        let (sent, received) = (self.0.sent.load(Ordering::Relaxed), self.0.received.load(Ordering::Relaxed));
        let seconds = elapsed.as_secs();
        if received > 0 {
            return format!("{seconds} s: received {:.1} MB", megabytes(received));
        }
        match sent < self.0.length {
            true => format!("{seconds} s: sent {:.1} of {:.1} MB", megabytes(sent), megabytes(self.0.length)),
            false => format!("{seconds} s: the control plane is working"),
        }
    }
}
