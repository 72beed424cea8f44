//! Whether the program is stopping: what listeners, connections and the status listener look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pingora::server::ShutdownWatch;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Whether the program is stopping. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Draining {
    listeners: watch::Sender<bool>,
    begun: Arc<AtomicBool>,
    idle: CancellationToken,
}

impl Draining {
    /// Not stopping yet.
    pub fn new() -> Self {
        Self { listeners: watch::Sender::new(false), begun: Arc::default(), idle: CancellationToken::new() }
    }

    /// Listeners stop accepting when this turns to true.
    pub fn watch(&self) -> ShutdownWatch {
        self.listeners.subscribe()
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Begins it: no new connection, and the next answer on each of the old ones is its last.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.listeners.send_replace(true);
    }

    /// Ends the connections that wait for a request.
    pub fn end_idle(&self) {
        self.idle.cancel();
    }

    /// Until connections that wait for a request are to end.
    pub async fn idle_ended(&self) {
        self.idle.cancelled().await;
    }
}

impl Default for Draining {
    fn default() -> Self {
        Self::new()
    }
}
