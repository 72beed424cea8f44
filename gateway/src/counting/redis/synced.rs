//! Counts that go to a server by a timer, so that no request waits for it.
//!
//! A request is counted on this node's own counters, and what was counted goes to the server every so often. The
//! answer says what all nodes have counted, and raises the node's own counter. Between two exchanges a node does
//! not know what the others count: all of them together may pass as many requests too many as come within that
//! time to all nodes but one. On no node alone do more pass than the limit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::failure::RedisFailure;
use super::script::ADD;
use super::server::Server;
use crate::counting::clock::unix_millis;
use crate::counting::counters::{Ask, Counters, Period, Subject};

/// Counters with something unsent, at most. Beyond them a request is counted on this node alone.
const MOST: usize = 100_000;
/// Counters that one command adds to.
const AT_ONCE: usize = 500;

/// What was counted for a server and has not been sent.
#[derive(Debug)]
pub struct Synced {
    server: Arc<Server>,
    counters: Arc<Counters>,
    every: Duration,
    unsent: Mutex<HashMap<Place, Unsent>>,
}

/// A counter in one of its windows.
type Place = (Subject, Period, u32);

#[derive(Clone, Debug)]
struct Unsent {
    ask: Ask,
    key: Vec<u8>,
    amount: f64,
}

impl Synced {
    pub(super) fn new(server: Arc<Server>, counters: Arc<Counters>, every: Duration) -> Self {
        Self { server, counters, every, unsent: Mutex::default() }
    }

    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(super) fn every(&self) -> Duration {
        self.every
    }

    /// Notes that an ask was counted at a time in milliseconds since 1970. `key` is that of the counter on the
    /// server.
    pub fn note(&self, ask: &Ask, now: u64, key: impl FnOnce() -> Vec<u8>) {
        let place = (ask.subject, ask.period, ask.period.window_at(now).start);
        let mut unsent = self.unsent.lock();
        if let Some(unsent) = unsent.get_mut(&place) {
            unsent.amount += ask.cost;
        } else if unsent.len() < MOST {
            unsent.insert(place, Unsent { ask: *ask, key: key(), amount: ask.cost });
        }
    }

    /// Whether everything was sent.
    pub(super) fn is_idle(&self) -> bool {
        self.unsent.lock().is_empty()
    }

    /// Sends what was counted, again and again.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut timer = interval(self.every);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            self.send(unix_millis()).await;
        }
    }

    async fn send(&self, now: u64) {
        let mut all: Vec<(Place, Unsent)> = self.unsent.lock().drain().collect();
        // What counts no more need not be told.
        all.retain(|((_, period, window), _)| *window == period.window_at(now).start);
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.len().min(AT_ONCE));
            if let Err(failure) = self.send_part(part, now).await {
                debug!("{}: {failure}", self.server.terms);
                self.give_back(rest);
                return;
            }
            rest = later;
        }
    }

    async fn send_part(&self, part: &[(Place, Unsent)], now: u64) -> Result<(), RedisFailure> {
        let keys: Vec<_> = part.iter().map(|(_, unsent)| unsent.key.clone()).collect();
        let arguments: Vec<_> = part
            .iter()
            .flat_map(|(_, unsent)| [unsent.amount.to_string(), unsent.ask.kept_for(now).to_string()])
            .collect();
        let totals = self.server.run(&ADD, &keys, &arguments).await?;
        if totals.len() != part.len() {
            return Err(RedisFailure::Broken);
        }
        for ((place, sent), total) in part.iter().zip(totals) {
            let since = self.unsent.lock().get(place).map_or(0.0, |unsent| unsent.amount);
            self.counters.raise(&sent.ask, place.2, total + since, unix_millis());
        }
        Ok(())
    }

    /// Takes back what was not sent. Of a command without an answer nobody knows whether the server has run it:
    /// it is sent again, since a request that counts twice is better than one that does not count.
    fn give_back(&self, parts: &[(Place, Unsent)]) {
        let mut all = self.unsent.lock();
        for (place, unsent) in parts {
            if let Some(later) = all.get_mut(place) {
                later.amount += unsent.amount;
            } else if all.len() < MOST {
                all.insert(*place, unsent.clone());
            }
        }
    }
}
