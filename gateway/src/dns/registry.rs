//! The names in use, for those who look them up and for the driver.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::query::Query;
use super::watched::{Condition, Flight, Watched};

/// The most names of requests. They come from services, not from clients.
const NAMES: usize = 65_536;

/// The names in use, and the way to the driver.
#[derive(Debug)]
pub(super) struct Registry {
    by_name: RwLock<HashMap<Box<str>, Arc<Watched>>>,
    by_query: Mutex<HashMap<Query, Weak<Watched>>>,
    flights: mpsc::UnboundedSender<Flight>,
}

impl Registry {
    /// Creates an empty registry whose look-ups go to `flights`.
    pub(super) fn new(flights: mpsc::UnboundedSender<Flight>) -> Self {
        Self { by_name: RwLock::default(), by_query: Mutex::default(), flights }
    }

    /// Hands a look-up to the driver. Without a driver it ends here, and what waits for it goes on.
    pub(super) fn send(&self, flight: Flight) {
        self.flights.send(flight).ok();
    }

    /// A name of requests, in lower case; `None` if there are too many.
    pub(super) fn name(&self, name: &str, new: impl FnOnce() -> Watched) -> Option<Arc<Watched>> {
        if let Some(found) = self.by_name.read().get(name) {
            return Some(found.clone());
        }
        let mut by_name = self.by_name.write();
        if by_name.len() >= NAMES {
            return None;
        }
        Some(by_name.entry(name.into()).or_insert_with(|| Arc::new(new())).clone())
    }

    /// A watched name, and whether it is new.
    pub(super) fn watched(&self, query: Query, now: Instant) -> (Arc<Watched>, bool) {
        let mut by_query = self.by_query.lock();
        if let Some(watched) = by_query.get(&query).and_then(Weak::upgrade) {
            return (watched, false);
        }
        let watched = Arc::new(Watched::new(query.clone(), None, now));
        by_query.insert(query, Arc::downgrade(&watched));
        (watched, true)
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

    /// The number of names of requests.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_name.read().len()
    }
}
