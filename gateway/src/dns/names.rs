//! The names that the program uses, by request or by handle.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Limits;
use super::addresses::Addresses;
use super::answer::{Answer, Endpoint};
use super::driver::Driver;
use super::look_up::LookUp;
use super::query::{DnsTerms, Query, SrvUse};
use super::registry::Registry;
use super::watched::{Usage, Watched};
use crate::metrics::DnsMetrics;

/// The names of the program. Look-ups end when it is dropped.
#[derive(Debug)]
pub struct Names {
    registry: Arc<Registry>,
    /// For the names of requests.
    terms: DnsTerms,
    limits: Limits,
    waiting: Semaphore,
    _stop: DropGuard,
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
        let registry = Arc::new(Registry::new(flights));
        let stop = CancellationToken::new();
        let driver = Driver::new(
            registry.clone(),
            Arc::new(looks_up),
            receiver,
            limits.timeout,
            metrics,
            stop.clone(),
        );
        let waiting = Semaphore::new(limits.waiting.clamp(1, Semaphore::MAX_PERMITS));
        let names = Self { registry, terms, limits, waiting, _stop: stop.drop_guard() };
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
        let (watched, is_new) = self.registry.watched(query, now);
        if is_new && let Ok(flight) = watched.begin() {
            self.registry.send(flight);
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
                self.registry.send(flight);
                Begun::Now(ended)
            }
            Err(running) => Begun::Before(running),
        }
    }

    fn name(&self, name: &str, now: Instant) -> Option<Arc<Watched>> {
        let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
        let name = if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) };
        self.registry.name(&name, || {
            let usage = Usage::new(self.limits.waiting.div_ceil(4), now);
            Watched::new(Query::new(&name, self.terms, SrvUse::Never), Some(usage), now)
        })
    }

    /// The number of names of requests.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.registry.len()
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
