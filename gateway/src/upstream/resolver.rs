//! Names to addresses, off the path of requests: a request waits for the first resolution of a name, and
//! never again while the name resolves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use smallvec::SmallVec;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tracing::warn;

/// How long an answer is good. The system's resolver tells no time to live; it honours it in its own cache.
const TTL: Duration = Duration::from_secs(10);
/// How long a failure is good; Kong's `error_ttl`.
const ERROR_TTL: Duration = Duration::from_secs(1);
/// How long an old answer is used while new ones fail; Kong's `stale_ttl`.
const STALE: Duration = Duration::from_secs(3600);
/// How long a resolution may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A cache of the system's resolver.
#[derive(Debug, Default)]
pub struct Resolver {
    names: RwLock<HashMap<Box<str>, Arc<Name>>>,
    /// Owns the refreshes under way; they end with the runtime that they were started in.
    refreshes: TaskTracker,
}

/// The addresses of a host, and with which to begin.
#[derive(Clone, Debug)]
pub struct Addresses {
    all: Arc<[IpAddr]>,
    first: usize,
}

#[derive(Debug)]
struct Name {
    name: Box<str>,
    answer: ArcSwapOption<Answer>,
    /// Held by the one who resolves the name while others wait for the result.
    resolving: Mutex<()>,
    refreshing: AtomicBool,
    /// So that requests take the addresses in turn.
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Answer {
    /// Empty: the resolution failed.
    addresses: Arc<[IpAddr]>,
    /// When they came.
    at: Instant,
    /// When to ask again.
    until: Instant,
}

impl Resolver {
    /// The addresses of `name`; `None` when it has none.
    pub async fn resolve(&self, name: &str) -> Option<Addresses> {
        let name = self.name(name);
        if let Some(answer) = name.usable() {
            if answer.until <= Instant::now() {
                self.refresh(&name);
            }
            return name.take_turn(&answer);
        }
        name.ask_once().await
    }

    fn name(&self, name: &str) -> Arc<Name> {
        if let Some(found) = self.names.read().get(name) {
            return found.clone();
        }
        let mut names = self.names.write();
        // Names that nobody has asked for of late belong to services that are gone.
        names.retain(|_, name| !name.is_forgotten());
        names.entry(name.into()).or_insert_with(|| Arc::new(Name::new(name))).clone()
    }

    fn refresh(&self, name: &Arc<Name>) {
        if !name.refreshing.swap(true, Ordering::AcqRel) {
            let name = name.clone();
            self.refreshes.spawn(async move {
                name.ask().await;
                name.refreshing.store(false, Ordering::Release);
            });
        }
    }
}

impl Addresses {
    pub(super) fn one(address: IpAddr) -> Self {
        Self { all: Arc::new([address]), first: 0 }
    }

    /// Those of them that are allowed; `None` when none is.
    pub(super) fn only(self, is_allowed: impl Fn(IpAddr) -> bool) -> Option<Self> {
        let allowed: SmallVec<[IpAddr; 8]> = self.all.iter().copied().filter(|ip| is_allowed(*ip)).collect();
        match allowed.len() {
            0 => None,
            all if all == self.all.len() => Some(self),
            _ => Some(Self { all: allowed.as_slice().into(), first: self.first }),
        }
    }

    /// The address for the attempt `number`, counted from 0.
    pub(super) fn nth(&self, number: usize) -> IpAddr {
        self.all[self.first.wrapping_add(number) % self.all.len()]
    }
}

impl Name {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            answer: ArcSwapOption::empty(),
            resolving: Mutex::default(),
            refreshing: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
        }
    }

    /// An answer that spares asking: addresses, or a failure of just now.
    fn usable(&self) -> Option<Arc<Answer>> {
        let now = Instant::now();
        self.answer.load_full().filter(|answer| match answer.addresses.is_empty() {
            true => answer.until > now,
            false => answer.at + STALE > now,
        })
    }

    fn take_turn(&self, answer: &Answer) -> Option<Addresses> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let addresses = Addresses { all: answer.addresses.clone(), first };
        (!addresses.all.is_empty()).then_some(addresses)
    }

    /// Asks, unless somebody is asking already: then their answer will do.
    async fn ask_once(&self) -> Option<Addresses> {
        let _turn = self.resolving.lock().await;
        if self.usable().is_none() {
            self.ask().await;
        }
        self.answer.load_full().and_then(|answer| self.take_turn(&answer))
    }

    async fn ask(&self) {
        let now = Instant::now();
        let answer = match look_up(&self.name).await {
            Ok(addresses) => Answer { addresses, at: now, until: now + TTL },
            Err(error) => {
                warn!(name = &*self.name, "cannot resolve an upstream's name: {error}");
                self.still_good(now + ERROR_TTL)
            }
        };
        self.answer.store(Some(Arc::new(answer)));
    }

    /// What was known before, to be used until new addresses come.
    fn still_good(&self, until: Instant) -> Answer {
        match self.usable() {
            Some(old) => Answer { addresses: old.addresses.clone(), at: old.at, until },
            None => Answer { addresses: Arc::new([]), at: until, until },
        }
    }

    fn is_forgotten(&self) -> bool {
        self.answer.load().as_ref().is_some_and(|answer| answer.until + STALE < Instant::now())
    }
}

async fn look_up(name: &str) -> Result<Arc<[IpAddr]>, String> {
    let found = timeout(PATIENCE, tokio::net::lookup_host((name, 0))).await;
    let found =
        found.map_err(|_| format!("no answer within {PATIENCE:?}"))?.map_err(|error| error.to_string())?;
    let all: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    // As Kong by default: of a name with addresses of both kinds, those of IPv4.
    let v4: Vec<IpAddr> = all.iter().copied().filter(IpAddr::is_ipv4).collect();
    let addresses = if v4.is_empty() { all } else { v4 };
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_resolved_once_and_an_unknown_one_fails() {
        let resolver = Resolver::default();
        for _ in 0..3 {
            assert!(resolver.resolve("localhost").await.unwrap().nth(0).is_loopback());
        }
        assert!(resolver.resolve("no-such-name.invalid").await.is_none());
        assert_eq!(resolver.names.read().len(), 2);
    }

    #[test]
    fn denied_addresses_are_never_taken() {
        let all: Vec<IpAddr> = ["10.0.0.1", "169.254.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap()).into();
        let addresses = Addresses { all: all.clone().into(), first: 1 };
        let allowed = addresses.clone().only(|ip| ip != all[1]).unwrap();
        assert_eq!([0, 1, 2].map(|n| allowed.nth(n)), [all[2], all[0], all[2]]);
        assert!(addresses.only(|_| false).is_none());
    }

    #[test]
    fn attempts_take_the_addresses_in_turn() {
        let all: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap()).into();
        let addresses = Addresses { all: all.clone().into(), first: 1 };
        assert_eq!([0, 1, 2].map(|n| addresses.nth(n)), [all[1], all[0], all[1]]);
    }
}
