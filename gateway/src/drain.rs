//! Stops the program or hands it over to a successor: closes the listeners first, then waits for the requests
//! in flight, with a deadline.

mod load;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio_util::sync::CancellationToken;
use tracing::error;

use self::load::Load;
pub use self::signals::Signals;
pub(crate) use self::signals::StopSignal;
use crate::draining::Draining;
use crate::limit::Limit;
use crate::notify;
use crate::upgrade::{Attempt, Predecessor, Upgrade};

/// How long an idle connection stays open after the program begins to stop. A request that is already on its
/// way still arrives, and its response says that the connection ends.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// Waits for the signal to stop, and then for the requests in flight.
#[derive(Debug)]
pub struct Stop {
    /// The source of signals; taken when the wait begins.
    pub signals: Mutex<Option<Signals>>,
    /// Notified when the drain begins.
    pub draining: Draining,
    /// The requests to wait for.
    pub in_flight: Arc<Limit>,
    /// The connections to wait for.
    pub connections: Arc<Limit>,
    /// How long to wait for them.
    pub drain_timeout: Duration,
    /// Cancelled when a part of the program ends that should run until the end.
    pub fault: CancellationToken,
    /// How to hand over to another process.
    pub upgrade: Upgrade,
    /// The process that handed over to this one.
    pub predecessor: Option<Predecessor>,
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    /// Waits until everything may end at once. Pingora would sleep through its whole grace period, with or
    /// without requests in flight, so this method does the waiting.
    async fn recv(&self) -> ShutdownSignal {
        let signals = self.signals.lock().take();
        if let Some(signals) = signals {
            self.wait(signals).await;
        }
        ShutdownSignal::FastShutdown
    }
}

impl Stop {
    async fn wait(&self, mut signals: Signals) {
        if let Some(predecessor) = &self.predecessor {
            predecessor.relieve().await;
        }
        notify::ready();
        loop {
            tokio::select! {
                told = signals.next() => match told {
                    StopSignal::Stop => return self.stop(&mut signals).await,
                    StopSignal::StopNow => return,
                    StopSignal::Upgrade => match self.upgrade.attempt(signals.stop()).await {
                        // Nobody waits for this process: connections may end one by one.
                        Attempt::HandedOver => return self.drain(&mut signals, self.drain_timeout).await,
                        Attempt::Interrupted(StopSignal::StopNow) => return,
                        Attempt::Interrupted(_) => return self.stop(&mut signals).await,
                        Attempt::Failed => {}
                    },
                },
                () = self.fault.cancelled() => {
                    return error!("stopping, since a part of the program has ended");
                }
            }
        }
    }

    async fn stop(&self, signals: &mut Signals) {
        notify::stopping();
        self.upgrade.close();
        self.drain(signals, IDLE_GRACE).await;
    }

    async fn drain(&self, signals: &mut Signals, idle_grace: Duration) {
        let load = Load {
            draining: self.draining.clone(),
            in_flight: self.in_flight.clone(),
            connections: self.connections.clone(),
        };
        load.drain(self.drain_timeout, idle_grace, signals.stop()).await;
    }
}
