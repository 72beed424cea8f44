//! The names that the program uses, by request or by handle.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Limits;
use super::addresses::Addresses;
use super::answer::{Answer, Endpoint};
use super::driver::Driver;
use super::look_up::LookUp;
use super::query::{DnsTerms, Query, SrvUse};
use super::watched::{Condition, Flight, Usage, Watched};
use crate::metrics::DnsMetrics;

/// The most names of requests. They come from services, not from clients.
const NAMES: usize = 65_536;

/// The names of the program. Look-ups end when it is dropped.
#[derive(Debug)]
pub struct Names {
    shared: Arc<Shared>,
    /// For the names of requests.
    terms: DnsTerms,
    limits: Limits,
    waiting: Semaphore,
    _stop: DropGuard,
}

/// The part that the driver uses as well.
#[derive(Debug)]
pub(super) struct Shared {
    by_name: RwLock<HashMap<Box<str>, Arc<Watched>>>,
    by_query: Mutex<HashMap<Query, Weak<Watched>>>,
    flights: mpsc::UnboundedSender<Flight>,
}

/// What a request can use.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// Addresses.
    Fresh,
    /// Addresses that are due for the next look-up.
    Stale,
    /// The name has no addresses.
    Failed,
    /// The name had no addresses, and a request may try again.
    FailedBefore,
    Nothing,
}

impl Names {
    /// Creates the names, and the driver that must run for as long as they are used. `terms` are for
    /// [`Names::resolve`].
    pub fn new(
        looks_up: impl LookUp,
        limits: Limits,
        terms: DnsTerms,
        metrics: DnsMetrics,
    ) -> (Arc<Self>, Driver) {
        let (flights, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { by_name: RwLock::default(), by_query: Mutex::default(), flights });
        let stop = CancellationToken::new();
        let driver =
            Driver::new(shared.clone(), Arc::new(looks_up), receiver, limits.timeout, metrics, stop.clone());
        let waiting = Semaphore::new(limits.waiting.clamp(1, Semaphore::MAX_PERMITS));
        let names = Self { shared, terms, limits, waiting, _stop: stop.drop_guard() };
        (Arc::new(names), driver)
    }

    /// Watches a name. It is looked up now, and for as long as the result or a clone of it lives.
    pub fn watch(&self, query: Query) -> Arc<Watched> {
        let now = Instant::now();
        let host =
            query.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&query.host);
        if let Ok(address) = host.parse() {
            return Arc::new(Watched::literal(query, Endpoint::of(address), now));
        }
        let watched = {
            let mut by_query = self.shared.by_query.lock();
            if let Some(watched) = by_query.get(&query).and_then(Weak::upgrade) {
                return watched;
            }
            let watched = Arc::new(Watched::new(query.clone(), None, now));
            by_query.insert(query, Arc::downgrade(&watched));
            watched
        };
        if let Ok(flight) = watched.begin() {
            self.shared.send(flight);
        }
        watched
    }

    /// The addresses of `name`, for one request; `None` when it has none, or when too many requests wait for
    /// them.
    ///
    /// Waits while the name has no addresses that can be used: for its first look-up, and for one that this
    /// request begins itself at least [`ERROR_TTL`](super::ERROR_TTL) after a failed one.
    pub async fn resolve(&self, name: &str) -> Option<Addresses> {
        let now = Instant::now();
        let watched = self.name(name, now)?;
        let usage = watched.usage()?;
        usage.touch(now);
        match known(&watched.current(), now) {
            Known::Fresh => take_turn(&watched, usage),
            Known::Stale => {
                drop(self.begin(&watched, now));
                take_turn(&watched, usage)
            }
            Known::Failed => None,
            // The request that begins the look-up waits for it, so that a seldom-used name recovers at once.
            Known::FailedBefore => {
                let Begun::Now(ended) = self.begin(&watched, now) else { return None };
                self.wait(&watched, usage, ended).await
            }
            Known::Nothing => {
                let (Begun::Now(ended) | Begun::Before(ended)) = self.begin(&watched, now);
                self.wait(&watched, usage, ended).await
            }
        }
    }

    /// Waits for the end of one look-up, which has a deadline.
    async fn wait(&self, watched: &Watched, usage: &Usage, ended: CancellationToken) -> Option<Addresses> {
        let _place = self.waiting.try_acquire().ok()?;
        let _place_of_name = usage.waiting.try_acquire().ok()?;
        ended.cancelled().await;
        take_turn(watched, usage)
    }

    /// Begins a look-up, unless one is running or has just ended.
    fn begin(&self, watched: &Arc<Watched>, now: Instant) -> Begun {
        match watched.begin() {
            Ok(flight) => {
                let ended = flight.ended();
                if matches!(known(&watched.current(), now), Known::Fresh | Known::Failed) {
                    drop(flight);
                    return Begun::Before(ended);
                }
                self.shared.send(flight);
                Begun::Now(ended)
            }
            Err(running) => Begun::Before(running),
        }
    }

    fn name(&self, name: &str, now: Instant) -> Option<Arc<Watched>> {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.lower_case_name(&name.to_ascii_lowercase(), now);
        }
        self.lower_case_name(name, now)
    }

    fn lower_case_name(&self, name: &str, now: Instant) -> Option<Arc<Watched>> {
        if let Some(found) = self.shared.by_name.read().get(name) {
            return Some(found.clone());
        }
        let mut by_name = self.shared.by_name.write();
        if by_name.len() >= NAMES {
            return None;
        }
        let new = || {
            let usage = Usage::new(self.limits.waiting.div_ceil(4), now);
            Arc::new(Watched::new(Query::new(name, self.terms, SrvUse::Never), Some(usage), now))
        };
        Some(by_name.entry(name.into()).or_insert_with(new).clone())
    }

    /// The number of names of requests.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shared.by_name.read().len()
    }
}

/// The look-up that a request can wait for.
enum Begun {
    /// This request has begun it.
    Now(CancellationToken),
    /// It was running already, or has ended.
    Before(CancellationToken),
}

fn known(answer: &Answer, now: Instant) -> Known {
    let Some(due) = answer.times.due else { return Known::Nothing };
    let is_later = |time: Option<Instant>| time.is_some_and(|time| time > now);
    match (usable(answer, now).is_empty(), due > now) {
        (false, true) => Known::Fresh,
        (false, false) => Known::Stale,
        (true, _) if is_later(answer.times.retry) => Known::Failed,
        (true, _) => Known::FailedBefore,
    }
}

/// The addresses that may still be used: the driver may be late by a moment.
fn usable(answer: &Answer, now: Instant) -> &[IpAddr] {
    if answer.times.usable_until.is_some_and(|end| end <= now) { &[] } else { &answer.addresses }
}

fn take_turn(watched: &Watched, usage: &Usage) -> Option<Addresses> {
    let answer = watched.current();
    if usable(&answer, Instant::now()).is_empty() {
        return None;
    }
    Addresses::from(answer.addresses.clone(), usage.turn.fetch_add(1, Ordering::Relaxed))
}

impl Shared {
    /// Hands a look-up to the driver. Without a driver it ends here, and what waits for it goes on.
    fn send(&self, flight: Flight) {
        self.flights.send(flight).ok();
    }

    /// Removes a name without requests and addresses.
    pub(super) fn forget(&self, watched: &Watched, now: Instant) {
        let mut by_name = self.by_name.write();
        let host = &watched.query().host;
        let is_same = by_name.get(host).is_some_and(|known| std::ptr::eq(&**known, watched));
        if is_same && watched.is_forgettable(now) {
            by_name.remove(host);
        }
    }

    /// The condition of every name. Forgets queries that nothing watches.
    pub(super) fn survey(&self, now: Instant) -> Vec<Condition> {
        let mut by_query = self.by_query.lock();
        by_query.retain(|_, watched| watched.strong_count() > 0);
        let watched = by_query.values().filter_map(Weak::upgrade).collect::<Vec<_>>();
        drop(by_query);
        let of_requests = self.by_name.read().values().cloned().collect::<Vec<_>>();
        watched.iter().chain(&of_requests).map(|watched| watched.condition(now)).collect()
    }
}
