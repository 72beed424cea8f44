//! Counters on servers of redis, which nodes share.
//!
//! Each server has one connection, which all requests share, on a thread of its own. A server that is away costs
//! no request more than the timeout, and none at all once that is known. Equal terms of several plugins are one
//! server.

mod bounded;
mod dial;
mod failure;
mod outbound;
mod script;
mod server;
mod synced;
mod terms;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::sleep;
use uuid::Uuid;

pub use self::dial::{Dial, Dialed, Stream};
pub use self::failure::RedisFailure;
pub use self::outbound::OutboundDial;
use self::script::{ADD, LOOK, TAKE};
pub use self::server::Server;
pub use self::synced::Synced;
pub use self::terms::{RedisTerms, RedisTls};
use self::thread::{Kept, Tasks};
use super::counters::{Ask, Counters, Period, Taken};

/// The most counts that wait to be sent by [`Redis::add_later`].
const MOST_LATER: usize = 10_000;
/// How often what nobody wants is looked for.
const TIDY: Duration = Duration::from_secs(30);

/// The servers in use.
#[derive(Debug)]
pub struct Redis {
    dial: Arc<dyn Dial>,
    counters: Arc<Counters>,
    tasks: Tasks,
    known: Arc<Known>,
}

/// What is kept as long as anybody wants it, and a while longer.
#[derive(Debug, Default)]
struct Known {
    servers: Mutex<Vec<Kept<Server>>>,
    synced: Mutex<Vec<Kept<Synced>>>,
}

/// The keys of a counter on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The key of its window.
    pub current: Vec<u8>,
    /// The key of the window before.
    pub previous: Vec<u8>,
}

impl Redis {
    /// Creates the servers of a process. `counters` are those of this node, for [`Redis::synced`].
    pub fn new(dial: Arc<dyn Dial>, counters: Arc<Counters>) -> Self {
        Self { dial, counters, tasks: Tasks::default(), known: Arc::default() }
    }

    /// The server with these terms, which `plugin` asks for. A connection is made at once, and kept while the
    /// result is held.
    pub fn server(&self, terms: &RedisTerms, plugin: Uuid) -> Arc<Server> {
        let mut servers = self.known.servers.lock();
        if let Some(kept) = servers.iter().find(|kept| kept.value.terms == *terms) {
            return kept.value.clone();
        }
        if servers.is_empty() {
            self.tasks.run(tidy(Arc::downgrade(&self.known)));
        }
        let server = Arc::new(Server::new(terms.clone(), plugin));
        let task = self.tasks.spawn(server.clone().keep(self.dial.clone()));
        servers.push(Kept::new(server.clone(), task));
        server
    }

    /// The counts that go to the server with these terms every so often.
    pub fn synced(&self, terms: &RedisTerms, plugin: Uuid, every: Duration) -> Arc<Synced> {
        let server = self.server(terms, plugin);
        let mut all = self.known.synced.lock();
        let is_same =
            |kept: &&Kept<Synced>| Arc::ptr_eq(kept.value.server(), &server) && kept.value.every() == every;
        if let Some(kept) = all.iter().find(is_same) {
            return kept.value.clone();
        }
        let synced = Arc::new(Synced::new(server, self.counters.clone(), every));
        let task = self.tasks.spawn(synced.clone().keep());
        all.push(Kept::new(synced.clone(), task));
        synced
    }

    /// Adds to counters on a server after the request, without waiting for it. What a server that is away does
    /// not take is lost.
    pub fn add_later(&self, server: &Arc<Server>, asks: &[Ask], keys: &[Keys], now: u64) {
        let counted = || asks.iter().zip(keys).filter(|(ask, _)| ask.cost != 0.0);
        let arguments: Vec<_> =
            counted().flat_map(|(ask, _)| [ask.cost.to_string(), ask.kept_for(now).to_string()]).collect();
        let keys: Vec<_> = counted().map(|(_, keys)| keys.current.clone()).collect();
        if !keys.is_empty() && !server.is_away() && self.tasks.len() < MOST_LATER {
            let server = server.clone();
            self.tasks.run(async move { drop(server.run(&ADD, &keys, &arguments).await) });
        }
    }
}

impl Keys {
    /// The keys of a counter in the windows of a time. `begin` ends with who is counted, and `name` is that of
    /// what is used, for limits of such.
    pub fn new(begin: &[u8], name: Option<&str>, period: Period, now: u64) -> Self {
        let window = period.window_at(now);
        let key = |start: u32| {
            let mut key = begin.to_vec();
            key.extend(format!(":{}000:", start).bytes());
            name.into_iter().for_each(|name| key.extend([name.as_bytes(), b":"].concat()));
            key.extend(period.as_str().bytes());
            key
        };
        Self { current: key(window.start), previous: key(period.before(window.start)) }
    }
}

/// Lets go what nobody wants any more, until nothing is left.
async fn tidy(known: Weak<Known>) {
    loop {
        sleep(TIDY).await;
        let Some(known) = known.upgrade() else { return };
        known.synced.lock().retain_mut(|kept| kept.is_wanted() || !kept.value.is_idle());
        let mut servers = known.servers.lock();
        servers.retain_mut(Kept::is_wanted);
        if servers.is_empty() {
            return;
        }
    }
}

impl Server {
    /// Counts a request on every ask, if all limits have something left.
    ///
    /// # Errors
    /// When the server is away, or does not answer within its timeout.
    pub async fn take(&self, asks: &[Ask], keys: &[Keys], now: u64) -> Result<Taken, RedisFailure> {
        let pairs: Vec<_> =
            keys.iter().flat_map(|keys| [keys.current.clone(), keys.previous.clone()]).collect();
        let arguments = asks.iter().flat_map(|ask| {
            let left = if ask.sliding { ask.period.window_at(now).left(now) } else { 0.0 };
            let numbers = [ask.cost.to_string(), ask.limit.to_string()];
            numbers.into_iter().chain([ask.kept_for(now).to_string(), left.to_string()])
        });
        let arguments: Vec<_> = arguments.collect();
        taken(asks, self.run(&TAKE, &pairs, &arguments).await?, now)
    }

    /// What counts against each ask, by windows that do not slide. Nothing is counted.
    ///
    /// # Errors
    /// Those of [`Server::take`].
    pub async fn look(&self, asks: &[Ask], keys: &[Keys], now: u64) -> Result<Taken, RedisFailure> {
        let keys: Vec<_> = keys.iter().map(|keys| keys.current.clone()).collect();
        taken(asks, self.run(&LOOK, &keys, &[]).await?, now)
    }
}

fn taken(asks: &[Ask], usage: SmallVec<[f64; 8]>, now: u64) -> Result<Taken, RedisFailure> {
    if usage.len() != asks.len() {
        return Err(RedisFailure::Broken);
    }
    // What the server knows of the windows alone would tell more: at their ends something is left.
    let until_end = |ask: &Ask| ask.period.window_at(now).end.saturating_sub(super::counters::second(now));
    Ok(Taken::new(asks, usage, now, until_end))
}
