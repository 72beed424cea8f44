//! Waits for requests in flight, then for connections, with a deadline, before the program ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::draining::Draining;
use crate::limit::Limit;

/// Interval of the checks whether something is still open.
const PACE: Duration = Duration::from_millis(10);
/// How long connections may take to close after the last request.
const CLOSING: Duration = Duration::from_secs(1);

/// Requests and connections that are still open when the program begins to stop.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) draining: Draining,
    pub(super) in_flight: Arc<Limit>,
    pub(super) connections: Arc<Limit>,
}

impl Load {
    /// Returns as soon as nothing is left, after `time_limit`, or with the signal `again`. Closes connections
    /// without a request after `idle_grace`.
    pub(super) async fn drain<T>(
        &self,
        time_limit: Duration,
        idle_grace: Duration,
        again: impl Future<Output = T>,
    ) {
        info!("stopping: up to {time_limit:?} for {} requests in flight", self.in_flight.used());
        self.draining.begin();
        let done = async {
            timeout(idle_grace, none_left(&self.connections)).await.ok();
            self.draining.end_idle();
            none_left(&self.in_flight).await;
            timeout(CLOSING, none_left(&self.connections)).await.ok();
        };
        tokio::select! {
            ended = timeout(time_limit + CLOSING, done) => {
                if ended.is_err() {
                    warn!("{} requests are cut off after {time_limit:?}", self.in_flight.used());
                }
            }
            _ = again => warn!("told to stop again: {} requests are cut off", self.in_flight.used()),
        }
    }
}

async fn none_left(limit: &Limit) {
    while limit.used() > 0 {
        sleep(PACE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use prometheus::IntGauge;
    use tokio::time::Instant;

    use super::*;
    use crate::limit::Permit;

    const TIMEOUT: Duration = Duration::from_secs(30);
    const GRACE: Duration = Duration::from_secs(1);

    fn load() -> Load {
        let limit = || Arc::new(Limit::new(100, IntGauge::new("g", "g").unwrap()));
        Load { draining: Draining::new(), in_flight: limit(), connections: limit() }
    }

    /// Measures how long the drain takes, while `others` happen.
    async fn drained(load: &Load, others: impl Future<Output = ()>) -> Duration {
        let begun = Instant::now();
        let drain = async {
            load.drain(TIMEOUT, GRACE, pending::<()>()).await;
            begun.elapsed()
        };
        tokio::join!(drain, others).0
    }

    async fn hold(permit: Permit, time: Duration) {
        sleep(time).await;
        drop(permit);
    }

    #[tokio::test(start_paused = true)]
    async fn without_connections_it_ends_at_once() {
        assert!(drained(&load(), ready(())).await <= PACE);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_are_closed_after_the_grace() {
        let load = load();
        let connection = load.connections.acquire().unwrap();
        let idle = async {
            load.draining.idle_ended().await;
            drop(connection);
        };
        let took = drained(&load, idle).await;
        assert!(took >= GRACE && took <= GRACE + 2 * PACE, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_last_request() {
        let (load, slow) = (load(), Duration::from_secs(17));
        let connection = hold(load.connections.acquire().unwrap(), slow);
        let request = hold(load.in_flight.acquire().unwrap(), slow);
        let requests = async {
            tokio::join!(connection, request);
        };
        let took = drained(&load, requests).await;
        assert!(took >= slow && took <= slow + 2 * PACE, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_do_not_close_are_waited_for_a_second() {
        let (load, slow) = (load(), Duration::from_secs(3));
        let _connection = load.connections.acquire().unwrap();
        let took = drained(&load, hold(load.in_flight.acquire().unwrap(), slow)).await;
        assert!(took >= slow + CLOSING && took <= slow + CLOSING + 2 * PACE, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_never_end_are_cut_off_at_the_deadline() {
        let load = load();
        let _request = load.in_flight.acquire().unwrap();
        let took = drained(&load, ready(())).await;
        assert!(took >= TIMEOUT + CLOSING && took <= TIMEOUT + CLOSING + PACE, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_it_at_once() {
        let load = load();
        let _request = load.in_flight.acquire().unwrap();
        let begun = Instant::now();
        load.drain(TIMEOUT, GRACE, sleep(GRACE * 5)).await;
        let took = begun.elapsed();
        assert!(took >= GRACE * 5 && took <= GRACE * 5 + PACE, "{took:?}");
    }
}
