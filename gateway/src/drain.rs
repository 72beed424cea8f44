//! How the program is told to stop, and how it stops: listeners first, then the requests in flight, with a
//! deadline.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::limit::Limit;

/// How often it is looked whether requests are still in flight.
const PACE: Duration = Duration::from_millis(10);

/// Whether the program is stopping. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Draining {
    listeners: watch::Sender<bool>,
    begun: Arc<AtomicBool>,
}

/// Waits for the signal to stop, and then for the requests in flight.
#[derive(Debug)]
pub struct Stop {
    /// Told when it begins.
    pub draining: Draining,
    /// The requests that are waited for.
    pub in_flight: Arc<Limit>,
    /// How long they are waited for.
    pub patience: Duration,
    /// Cancelled when a part of the program has ended that never should.
    pub fault: CancellationToken,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
}

impl Draining {
    /// Not stopping yet.
    pub fn new() -> Self {
        Self { listeners: watch::Sender::new(false), begun: Arc::default() }
    }

    /// Listeners stop accepting when this turns to true.
    pub fn watch(&self) -> ShutdownWatch {
        self.listeners.subscribe()
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Begins it: no new connection, no further request on the old ones.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.listeners.send_replace(true);
    }
}

impl Default for Draining {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    /// Ends when everything may end at once. Pingora would sleep through its whole period of grace, whether
    /// requests are in flight or not, so the waiting is done here.
    async fn recv(&self) -> ShutdownSignal {
        match Signals::listen() {
            Ok(signals) => self.wait(signals).await,
            Err(error) => error!("cannot listen for signals: {error}"),
        }
        ShutdownSignal::FastShutdown
    }
}

impl Stop {
    async fn wait(&self, mut signals: Signals) {
        tokio::select! {
            graceful = signals.next() => {
                if graceful {
                    self.drain(signals).await;
                }
            }
            () = self.fault.cancelled() => error!("stopping, since a part of the program has ended"),
        }
    }

    async fn drain(&self, mut signals: Signals) {
        let patience = self.patience;
        info!("stopping: up to {patience:?} for {} requests in flight", self.in_flight.used());
        self.draining.begin();
        let done = async {
            while self.in_flight.used() > 0 {
                sleep(PACE).await;
            }
        };
        tokio::select! {
            ended = timeout(patience, done) => {
                if ended.is_err() {
                    warn!("{} requests are cut off after {patience:?}", self.in_flight.used());
                }
            }
            _ = signals.next() => warn!("told to stop again: {} requests are cut off", self.in_flight.used()),
        }
    }
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal to stop: whether requests may end first.
    async fn next(&mut self) -> bool {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return true,
                _ = self.quit.recv() => return true,
                _ = self.interrupt.recv() => return false,
                // Its default would be the end of the process.
                _ = self.hangup.recv() => info!("SIGHUP ignored: certificates are read again by themselves, other keys need a restart"),
            }
        }
    }
}
