//! Places: the caps on connections, and the eviction of a connection when a cap is reached.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Clock};
use super::{Address, Connections};

/// The places that some listeners share.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    most_per_source: usize,
    clock: Clock,
    open: Mutex<Open>,
}

/// Connections by their number.
#[derive(Debug, Default)]
struct Open {
    next: u64,
    refused: u64,
    connections: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    source: Source,
    activity: Arc<Activity>,
    evicted: CancellationToken,
}

/// The unit that counts as one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Ip(IpAddr),
    User(u32),
}

/// The place of a connection; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    pub(super) activity: Arc<Activity>,
    /// Cancelled when another connection takes the place.
    pub(super) evicted: CancellationToken,
}

impl Places {
    pub(super) fn new(most: usize, most_per_source: usize) -> Self {
        Self { most, most_per_source, clock: Clock::default(), open: Mutex::default() }
    }

    /// Takes a place for a new connection, and says whether it evicted another one. `None` if connections
    /// with a request hold every place.
    pub(super) fn take(self: &Arc<Self>, address: Address) -> Option<(Place, bool)> {
        let source = Source::of(address);
        let mut open = self.open();
        let is_full_of_source = open.count(source) >= self.most_per_source;
        let is_full = is_full_of_source || open.connections.len() >= self.most;
        let has_room = if is_full_of_source {
            open.evict(|other| other == source)
        } else if is_full {
            let largest = open.largest();
            open.evict(|other| Some(other) == largest) || open.evict(|_| true)
        } else {
            true
        };
        if !has_room {
            open.refused += 1;
            return None;
        }
        Some((self.add(&mut open, source), is_full))
    }

    /// Counts the connections.
    pub(super) fn connections(&self) -> Connections {
        let open = self.open();
        let is_waiting = |connection: &&Connection| connection.activity.phase().is_waiting();
        Connections {
            accepted: open.next + open.refused,
            handled: open.next,
            active: open.connections.len(),
            waiting: open.connections.values().filter(is_waiting).count(),
        }
    }

    fn add(self: &Arc<Self>, open: &mut Open, source: Source) -> Place {
        let number = open.next;
        open.next += 1;
        let (activity, evicted) = (Arc::new(Activity::new(self.clock.clone())), CancellationToken::new());
        let connection = Connection { source, activity: Arc::clone(&activity), evicted: evicted.clone() };
        open.connections.insert(number, connection);
        Place { places: Arc::clone(self), number, activity, evicted }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn count(&self, source: Source) -> usize {
        self.connections.values().filter(|connection| connection.source == source).count()
    }

    /// Takes the place of the connection of such a source that has been without a request for longest.
    fn evict(&mut self, of: impl Fn(Source) -> bool) -> bool {
        while let Some(number) = self.longest_waiting(&of) {
            let evicted = self.connections.get(&number).filter(|connection| connection.activity.evict());
            // Otherwise a request has come meanwhile, and the connection waits no more.
            if let Some(connection) = evicted {
                connection.evicted.cancel();
                self.connections.remove(&number);
                return true;
            }
        }
        false
    }

    fn longest_waiting(&self, of: impl Fn(Source) -> bool) -> Option<u64> {
        let waiting = self
            .connections
            .iter()
            .filter(|(_, connection)| of(connection.source) && connection.activity.phase().is_waiting());
        waiting.min_by_key(|(_, connection)| connection.activity.waiting_since()).map(|(number, _)| *number)
    }

    /// The source with the most connections.
    fn largest(&self) -> Option<Source> {
        let mut counts = BTreeMap::<Source, usize>::new();
        for connection in self.connections.values() {
            *counts.entry(connection.source).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(source, _)| source)
    }
}

impl Source {
    /// A customer of a network has at least a /64 of IPv6 alone.
    fn of(address: Address) -> Self {
        match address {
            Address::Unix { uid } => Self::User(uid),
            Address::Tcp(address) => Self::Ip(match address.ip().to_canonical() {
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
                ip => ip,
            }),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(ip: &str) -> Address {
        Address::Tcp((ip.parse::<IpAddr>().unwrap(), 1).into())
    }

    #[test]
    fn one_address_at_its_cap_evicts_its_own_oldest_silent_connection() {
        let places = Arc::new(Places::new(4, 2));
        let (first, _) = places.take(from("192.0.2.1")).unwrap();
        let (second, _) = places.take(from("192.0.2.1")).unwrap();
        let (_other, evicted) = places.take(from("192.0.2.2")).unwrap();
        assert!(!evicted && first.activity.begin_request());
        let (_third, evicted) = places.take(from("::ffff:192.0.2.1")).unwrap();
        assert!(evicted && second.evicted.is_cancelled() && !first.evicted.is_cancelled());
        assert!(!second.activity.begin_request());
    }

    #[test]
    fn connection_that_was_idle_for_longest_is_evicted_first() {
        let places = Arc::new(Places::new(4, 2));
        let (old, _) = places.take(from("192.0.2.1")).unwrap();
        let (silent, _) = places.take(from("192.0.2.1")).unwrap();
        assert!(old.activity.begin_request());
        old.activity.begin_sending();
        assert!(old.activity.end_sending());
        let (_third, evicted) = places.take(from("192.0.2.1")).unwrap();
        assert!(evicted && silent.evicted.is_cancelled() && !old.evicted.is_cancelled());
        let (_fourth, evicted) = places.take(from("192.0.2.1")).unwrap();
        assert!(evicted && old.evicted.is_cancelled());
    }

    #[test]
    fn full_of_requests_refuses_and_full_of_silence_evicts_from_the_largest() {
        let places = Arc::new(Places::new(3, 2));
        let (small, _) = places.take(from("2001:db8:1::1")).unwrap();
        let (large, _) = places.take(from("2001:db8:2::1")).unwrap();
        let (_large, _) = places.take(from("2001:db8:2::2")).unwrap();
        let (fourth, evicted) = places.take(from("192.0.2.1")).unwrap();
        assert!(evicted && large.evicted.is_cancelled() && !small.evicted.is_cancelled());
        drop(fourth);
        assert!(places.take(from("192.0.2.1")).is_some_and(|(_, evicted)| !evicted));

        let places = Arc::new(Places::new(1, 1));
        let (only, _) = places.take(from("192.0.2.1")).unwrap();
        assert!(only.activity.begin_request());
        assert!(places.take(from("192.0.2.2")).is_none());
        only.activity.begin_sending();
        assert!(places.take(from("192.0.2.2")).is_none(), "an answer is being sent");
        assert!(only.activity.end_sending());
        let waiting = places.connections();
        assert_eq!(waiting, Connections { accepted: 3, handled: 1, active: 1, waiting: 1 });
        let other = places.take(from("192.0.2.2"));
        assert!(other.is_some());
        assert!(other.unwrap().0.activity.begin_request());
        let last = places.connections();
        assert_eq!(last, Connections { accepted: 4, handled: 2, active: 0, waiting: 0 });
    }
}
