//! Connections to upstreams: idle ones of HTTP/1.1, and those of HTTP/2, which many streams share. A
//! connection is found by its terms and address, never by a service: a new configuration finds the connections
//! of the earlier one.

mod avoided;
mod idle;
mod shared;

use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::task::TaskTracker;

use self::avoided::Avoided;
use self::idle::{Count, Idle};
use self::shared::Shared;
use super::answer::AnswerLimits;
use super::dial::dial;
use super::exchange::Upstream;
use super::failure::UpstreamFailure;
use super::http1::{Home, Http1};
use super::http2::{self, Http2};
use super::protocol::Protocol;
use super::terms::{Key, Terms};
use super::timeouts::Timeouts;

/// How long an unused connection is kept; Kong's default.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// Time between two sweeps.
const SWEEP: Duration = Duration::from_secs(1);
/// Connections of HTTP/2 that one request waits for. An upstream may end each at once, or allow no stream.
const MOST_FLIGHTS: usize = 3;
/// Parts with a lock of their own.
const SHARDS: usize = 16;

/// The connections of a process.
#[derive(Debug)]
pub struct Pool {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    /// Idle connections of HTTP/1.1.
    idle: Count,
    avoided: Avoided,
    answers: AnswerLimits,
    /// Owns the connections of HTTP/2, and those that are being established. They end with the runtime.
    tasks: TaskTracker,
    /// Whether the sweep has begun.
    swept: AtomicBool,
}

/// The most idle connections of HTTP/1.1 that are kept.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// In the process.
    pub idle: usize,
    /// For each upstream: for equal terms and one address.
    pub idle_of_upstream: usize,
}

/// Where to connect to, and how.
#[derive(Clone, Copy, Debug)]
struct Destination<'d> {
    terms: &'d Arc<Terms>,
    addresses: &'d [SocketAddr],
    timeouts: Timeouts,
}

#[derive(Debug, Default)]
struct Shard {
    idle: Idle,
    shared: Shared,
}

/// The addresses of a destination, in the order in which they are tried now.
type Order = SmallVec<[SocketAddr; 4]>;

impl Pool {
    /// Creates an empty pool. `answers` limits the headers of all answers.
    pub fn new(limits: PoolLimits, answers: AnswerLimits) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::default(),
            idle: Count::new(limits),
            avoided: Avoided::default(),
            answers,
            tasks: TaskTracker::new(),
            swept: AtomicBool::new(false),
        }
    }

    /// Takes a connection under `terms` to the first of `addresses`, or establishes one to any of them, which are
    /// tried in their order.
    ///
    /// # Errors
    /// When there is none, and none can be established.
    pub async fn connect(
        self: &Arc<Self>,
        terms: &Arc<Terms>,
        addresses: &[SocketAddr],
        timeouts: Timeouts,
    ) -> Result<Upstream, UpstreamFailure> {
        if !self.swept.load(Ordering::Relaxed) {
            self.begin_sweep();
        }
        let destination = Destination { terms, addresses, timeouts };
        match terms.protocol() {
            Protocol::Http1 => Ok(Upstream::Http1(self.connection(destination).await?)),
            Protocol::Http2 => {
                let stream = timeout(timeouts.connect, self.stream(destination)).await;
                Ok(Upstream::Http2(stream.unwrap_or(Err(UpstreamFailure::ConnectTimedOut))?))
            }
        }
    }

    async fn connection(
        self: &Arc<Self>,
        destination: Destination<'_>,
    ) -> Result<Box<Http1>, UpstreamFailure> {
        let Destination { terms, timeouts, .. } = destination;
        let order = self.avoided.order(destination.addresses);
        if let Some(first) = order.first() {
            let key = Key { terms: terms.id(), address: *first };
            if let Some(mut idle) = self.take(&key) {
                idle.prepare(self.clone(), key, timeouts, true);
                return Ok(idle);
            }
        }
        // In a box: the future of every request would be as large as a handshake.
        let (io, address) = Box::pin(dial(terms, &order, timeouts.connect)).await?;
        self.avoided.note(&order, address);
        let mut fresh = Http1::new(io, self.answers);
        fresh.prepare(self.clone(), Key { terms: terms.id(), address }, timeouts, false);
        Ok(fresh)
    }

    /// Takes the idle connection that was used last, of those that the upstream has not ended.
    fn take(&self, key: &Key) -> Option<Box<Http1>> {
        loop {
            let mut idle = self.shard(key).lock().idle.take(key, &self.idle)?;
            if !idle.is_stale() {
                return Some(idle);
            }
        }
    }

    /// Opens a stream on a connection that has room for it.
    async fn stream(self: &Arc<Self>, destination: Destination<'_>) -> Result<Box<Http2>, UpstreamFailure> {
        let Destination { terms, addresses, timeouts } = destination;
        let mut flights = 0;
        loop {
            let order = self.avoided.order(addresses);
            let Some(address) = order.first() else {
                return Err(UpstreamFailure::Connect("no address".into()));
            };
            let key = Key { terms: terms.id(), address: *address };
            let taken = self.shard(&key).lock().shared.take(&key);
            if let Some(mut slot) = taken {
                if slot.is_usable() {
                    return Ok(Http2::new(slot, self.answers, timeouts, flights == 0));
                }
                continue;
            }
            flights += 1;
            if flights > MOST_FLIGHTS {
                return Err(UpstreamFailure::Connect("the upstream takes no stream".into()));
            }
            Box::pin(self.fly(key, terms, order, timeouts.connect)).await?;
        }
    }

    /// Establishes a connection, or waits for the one that is being established.
    async fn fly(
        self: &Arc<Self>,
        key: Key,
        terms: &Arc<Terms>,
        order: Order,
        limit: Duration,
    ) -> Result<(), UpstreamFailure> {
        let (flight, begun) = self.shard(&key).lock().shared.fly(&key);
        if let Some(pilot) = begun {
            let (pool, terms) = (Arc::clone(self), Arc::clone(terms));
            self.tasks.spawn(async move {
                let established = pool.establish(&terms, &order, limit).await;
                pool.shard(&key).lock().shared.land(&key);
                pilot.report(established);
            });
        }
        flight.wait().await
    }

    async fn establish(
        &self,
        terms: &Terms,
        order: &[SocketAddr],
        limit: Duration,
    ) -> Result<(), UpstreamFailure> {
        let (io, address) = dial(terms, order, limit).await?;
        self.avoided.note(order, address);
        let shaken = timeout(limit, http2::handshake(io, &self.answers)).await;
        let (connection, driver) = shaken.unwrap_or(Err(UpstreamFailure::ConnectTimedOut))?;
        self.tasks.spawn(driver);
        let key = Key { terms: terms.id(), address };
        self.shard(&key).lock().shared.add(key, connection);
        Ok(())
    }

    /// Begins to close, each second, what has been unused for [`IDLE`], and what upstreams have ended, until
    /// the pool is dropped.
    fn begin_sweep(self: &Arc<Self>) {
        if self.swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let pool = Arc::downgrade(self);
        self.tasks.spawn(async move {
            let mut ticks = interval(SWEEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(pool) = pool.upgrade() else { return };
                pool.sweep_once(Instant::now());
            }
        });
    }

    fn sweep_once(&self, now: Instant) {
        for shard in &self.shards {
            let (idle, shared) = {
                let mut shard = shard.lock();
                (shard.idle.sweep(now, &self.idle), shard.shared.sweep(now))
            };
            // Connections are closed without the lock.
            drop((idle, shared));
        }
        self.avoided.sweep(now);
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl Home for Pool {
    fn keep(&self, key: Key, connection: Box<Http1>) {
        let evicted = self.shard(&key).lock().idle.put(key, connection, &self.idle);
        // A connection is closed without the lock.
        drop(evicted);
    }
}

#[cfg(test)]
mod tests;
