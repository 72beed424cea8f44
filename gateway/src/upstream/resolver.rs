//! Resolves names to addresses, off the path of requests. A request waits for the first look-up of a name,
//! and never again while the name has addresses.
//!
//! A name server that is silent for some names delays the requests for these names and no others. Each name
//! has one look-up at a time, with a deadline, and few requests wait for it. After a failure requests fail at
//! once, while look-ups go on one after the other in the background.

mod name;
mod system;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;
use smallvec::SmallVec;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::name::{Flight, Known, Name};
pub use self::system::NameServers;

/// Concurrent look-ups; each takes a descriptor.
const LOOK_UPS: usize = 128;
/// The most names in the cache. They come from services, not from clients.
const NAMES: usize = 65_536;
/// The number of names at which unused ones are first removed.
const FIRST_SWEEP: usize = 1024;

/// Looks names up.
#[async_trait]
pub trait LookUp: fmt::Debug + Send + Sync + 'static {
    /// The addresses of `name`.
    ///
    /// # Errors
    /// When it has none, or when no name server answers.
    async fn look_up(&self, name: &str) -> Result<Found, LookUpError>;
}

/// The addresses of a name.
#[derive(Clone, Debug)]
pub struct Found {
    /// Never empty.
    pub addresses: Vec<IpAddr>,
    /// How long they are valid.
    pub ttl: Duration,
}

/// Why a look-up failed.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    /// No name server answered in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The error of a name server, or of this machine's configuration.
    #[error("{0}")]
    Failed(String),
}

/// Limits of look-ups.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Timeout of a look-up.
    pub timeout: Duration,
    /// How many requests may wait for look-ups; those for one name take a quarter at most.
    pub waiting: usize,
}

/// A cache of look-ups.
#[derive(Debug)]
pub struct Resolver {
    names: RwLock<Names>,
    looks_up: Arc<dyn LookUp>,
    limits: Limits,
    waiting: Semaphore,
    under_way: Arc<Semaphore>,
    /// Owns the running look-ups; they end with the runtime that they were started in.
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Names {
    by_name: HashMap<Box<str>, Arc<Name>>,
    /// The number of names at which unused ones are removed next.
    sweep_at: usize,
}

/// The addresses of a host, and the one to begin with.
#[derive(Clone, Debug)]
pub struct Addresses {
    all: Arc<[IpAddr]>,
    first: usize,
}

impl Resolver {
    /// Creates a cache for the results of `looks_up`.
    pub fn new(looks_up: impl LookUp, limits: Limits) -> Self {
        Self {
            names: RwLock::new(Names { by_name: HashMap::new(), sweep_at: FIRST_SWEEP }),
            looks_up: Arc::new(looks_up),
            limits,
            waiting: Semaphore::new(limits.waiting.clamp(1, Semaphore::MAX_PERMITS)),
            under_way: Arc::new(Semaphore::new(LOOK_UPS)),
            tasks: TaskTracker::new(),
        }
    }

    /// The addresses of `name`; `None` when it has none, or when too many requests wait for them.
    pub async fn resolve(&self, name: &str) -> Option<Addresses> {
        let name = self.name(name)?;
        match name.known(Instant::now()) {
            Known::Fresh(answer) => name.take_turn(&answer),
            Known::Stale(answer) => {
                drop(self.begin(&name));
                name.take_turn(&answer)
            }
            Known::Failed => None,
            // The request that begins the look-up waits for it, so that a seldom-used name recovers at once.
            Known::FailedBefore => {
                let Begun::Now(ended) = self.begin(&name) else { return None };
                self.wait(&name, ended).await
            }
            Known::Nothing => {
                let (Begun::Now(ended) | Begun::Before(ended)) = self.begin(&name);
                self.wait(&name, ended).await
            }
        }
    }

    /// Waits for the end of one look-up, which has a deadline.
    async fn wait(&self, name: &Name, ended: CancellationToken) -> Option<Addresses> {
        let _place = self.waiting.try_acquire().ok()?;
        let _place_of_name = name.waiting.try_acquire().ok()?;
        ended.cancelled().await;
        match name.known(Instant::now()) {
            Known::Fresh(answer) | Known::Stale(answer) => name.take_turn(&answer),
            Known::Failed | Known::FailedBefore | Known::Nothing => None,
        }
    }

    /// Begins a look-up, unless one is running.
    fn begin(&self, name: &Arc<Name>) -> Begun {
        let flight = match name.take_off() {
            Ok(flight) => flight,
            Err(under_way) => return Begun::Before(under_way),
        };
        let ended = flight.ended();
        let (looks_up, under_way, deadline) =
            (self.looks_up.clone(), self.under_way.clone(), self.limits.timeout);
        self.tasks.spawn(async move { look_up(&flight, &*looks_up, &under_way, deadline).await });
        Begun::Now(ended)
    }

    fn name(&self, name: &str) -> Option<Arc<Name>> {
        if let Some(found) = self.names.read().by_name.get(name) {
            return Some(found.clone());
        }
        let mut names = self.names.write();
        if names.by_name.len() >= names.sweep_at {
            names.sweep(Instant::now());
        }
        if names.by_name.len() >= NAMES {
            return None;
        }
        let new = || Arc::new(Name::new(name, self.limits.waiting.div_ceil(4)));
        Some(names.by_name.entry(name.into()).or_insert_with(new).clone())
    }
}

/// The look-up that a request can wait for.
enum Begun {
    /// This request has begun it.
    Now(CancellationToken),
    /// It was running already.
    Before(CancellationToken),
}

async fn look_up(flight: &Flight, looks_up: &dyn LookUp, under_way: &Semaphore, deadline: Duration) {
    let name = flight.name();
    let found = timeout(deadline, async {
        let _place = under_way.acquire().await;
        looks_up.look_up(name.host()).await
    });
    let found = found.await.unwrap_or(Err(LookUpError::Timeout(deadline)));
    name.note(found, deadline);
}

impl Names {
    /// Removes names without recent requests: they belong to services that are gone.
    fn sweep(&mut self, now: Instant) {
        self.by_name.retain(|_, name| name.is_used(now));
        self.sweep_at = (2 * self.by_name.len()).clamp(FIRST_SWEEP, NAMES);
    }
}

impl Addresses {
    /// One address, of a host that needs no look-up.
    pub(crate) fn one(address: IpAddr) -> Self {
        Self { all: Arc::new([address]), first: 0 }
    }

    /// The allowed ones of these addresses; `None` when none is allowed.
    pub(crate) fn only(self, is_allowed: impl Fn(IpAddr) -> bool) -> Option<Self> {
        let allowed: SmallVec<[IpAddr; 8]> = self.all.iter().copied().filter(|ip| is_allowed(*ip)).collect();
        match allowed.len() {
            0 => None,
            all if all == self.all.len() => Some(self),
            _ => Some(Self { all: allowed.as_slice().into(), first: self.first }),
        }
    }

    /// The number of addresses, at least 1.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The address for the attempt `number`, counted from 0.
    pub(crate) fn nth(&self, number: usize) -> IpAddr {
        self.all[self.first.wrapping_add(number) % self.all.len()]
    }
}

#[cfg(test)]
mod tests;
