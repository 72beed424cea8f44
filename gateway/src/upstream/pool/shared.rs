//! Connections of HTTP/2, which streams share, and those that are being established.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use smallvec::SmallVec;
use tokio::sync::watch;
use tokio::time::Instant;

use super::IDLE;
use crate::upstream::failure::UpstreamFailure;
use crate::upstream::http2::{Connection, Slot};
use crate::upstream::terms::Key;

/// The connections of a shard.
#[derive(Debug, Default)]
pub(super) struct Shared {
    by_key: HashMap<Key, Connections, RandomState>,
    flights: HashMap<Key, Flight, RandomState>,
}

type Connections = SmallVec<[Connection; 1]>;

/// A connection that is being established, for all streams that wait for it.
#[derive(Clone, Debug)]
pub(super) struct Flight(watch::Receiver<Option<Result<(), UpstreamFailure>>>);

/// Reports the end of a flight.
#[derive(Debug)]
pub(super) struct Pilot(watch::Sender<Option<Result<(), UpstreamFailure>>>);

impl Shared {
    /// Takes a place for a stream. Connections are filled one after the other, so that those beyond the need
    /// become unused.
    pub(super) fn take(&self, key: &Key) -> Option<Slot> {
        self.by_key.get(key)?.iter().find_map(Connection::take_slot)
    }

    /// Adds a connection.
    pub(super) fn add(&mut self, key: Key, connection: Connection) {
        let all = self.by_key.entry(key).or_default();
        all.retain(|other| !other.is_gone());
        all.push(connection);
    }

    /// Joins a flight, or begins one: then its end has to be reported.
    pub(super) fn fly(&mut self, key: &Key) -> (Flight, Option<Pilot>) {
        // One that was given up has not landed.
        let under_way = self.flights.get(key).filter(|flight| flight.0.has_changed().is_ok());
        if let Some(flight) = under_way {
            return (flight.clone(), None);
        }
        let (pilot, receiver) = watch::channel(None);
        let flight = Flight(receiver);
        self.flights.insert(*key, flight.clone());
        (flight, Some(Pilot(pilot)))
    }

    /// Removes a flight: those that come later need another one.
    pub(super) fn land(&mut self, key: &Key) {
        self.flights.remove(key);
    }

    /// Takes out the connections that have had no streams for too long, or that have ended.
    #[must_use]
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<Connection> {
        let mut closed = Vec::new();
        self.by_key.retain(|_, all| {
            let (gone, kept) = all.drain(..).partition(|one| one.is_gone() || one.is_unused(now, IDLE));
            *all = kept;
            closed.extend::<Connections>(gone);
            !all.is_empty()
        });
        closed
    }
}

impl Flight {
    /// Waits for the end.
    pub(super) async fn wait(mut self) -> Result<(), UpstreamFailure> {
        let ended = self.0.wait_for(Option::is_some).await.ok().and_then(|ended| Option::clone(&ended));
        ended.unwrap_or_else(|| Err(UpstreamFailure::Connect("given up".into())))
    }
}

impl Pilot {
    pub(super) fn report(&self, ended: Result<(), UpstreamFailure>) {
        self.0.send_replace(Some(ended));
    }
}

#[cfg(test)]
impl Shared {
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.flights.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.by_key.values().map(SmallVec::len).sum()
    }
}
