//! Counters of limits: one for each subject and period, exact whatever the number of threads.
//!
//! A request looks at all of its limits and counts on all of them in one step, or on none. The counters are
//! held by what they count, not by the configuration that asks, so no push resets one.
//!
//! Memory has a bound. With [`MOST`] counters in use, those that are used least leave for new ones. What they
//! have counted goes on in a [sketch] of fixed size, whose estimates are never too low: a subject
//! that had used up its limit does not get it again, though another one may get less than its own.
//!
//! This module has no clock: each call gets the time, in milliseconds since 1970.

mod location;
mod period;
mod probing;
mod saved;
mod shard;
mod sketch;
mod slot;
mod table;
#[cfg(test)]
mod tests;

use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use siphasher::sip128::{Hasher128, SipHasher13};
use smallvec::SmallVec;
use uuid::Uuid;

use self::location::{Location, TableLocation};
pub use self::period::{Period, Window, second};
pub use self::saved::MOST_BYTES;
use self::shard::{Found, Shard};
use self::table::SlotTable;
use crate::prefetch::CacheLines;

/// Counters at most. One takes 32 bytes of a table that is then full to three quarters: 45 MB for all of them. The
/// estimates of those that left take 10 MB at most.
pub const MOST: usize = SHARDS * 16_384;

/// Parts, each with a lock of its own.
const SHARDS: usize = 64;
/// By how much longer than its window a server keeps a counter, in milliseconds: clocks differ.
const SLACK: u64 = 1000;
/// Limits of one request that need no memory of their own.
const FEW: usize = 8;

/// All counters of the process.
#[derive(Debug)]
pub struct Counters {
    /// The secret of [`Counters::subject`]: a client cannot choose two names that share a counter.
    key: [AtomicU64; 2],
    shards: Box<[Part]>,
    locations: Arc<[Location]>,
}

/// Who and what is counted: the hash of a scope and a name. 96 bits tell subjects apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject([u32; 3]);

/// What a plugin is configured for. Instances with the same scope share their counters, as in Kong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Id of the plugin's route; nil without.
    pub route: Uuid,
    /// Id of the plugin's service; nil without.
    pub service: Uuid,
}

/// A scope and what is counted there: no limit counts what one of another plugin counts, or of another kind.
#[derive(Clone, Copy, Debug)]
pub struct Namespace([u8; 16]);

/// One limit that a request asks about.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Who is counted.
    pub subject: Subject,
    /// In which windows.
    pub period: Period,
    /// How much may be counted in a window; a fraction lets one more through.
    pub limit: f64,
    /// Whether windows slide: the part of the window before that lies within the last period counts, too.
    pub sliding: bool,
    /// How much the request counts. A limit with nothing left refuses what counts more than nothing.
    pub cost: f64,
}

/// The answer to some asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Whether every limit on which the request counts had something left. If so, it is counted.
    pub allowed: bool,
    /// For each ask, in their order, what counted before this request.
    pub usage: SmallVec<[f64; FEW]>,
    /// The time that it was counted at, in milliseconds since 1970.
    pub now: u64,
    /// The seconds until the limits by sliding windows that had nothing left have something. `None` without
    /// such limits, and when the request passed.
    pub wait: Option<u32>,
}

/// A shard on cache lines of its own, so that the locks of two do not disturb each other.
#[derive(Debug)]
#[repr(align(128))]
struct Part(Mutex<Shard>);

/// The locks of some shards, in the order of their numbers.
type Locked<'a> = SmallVec<[(usize, MutexGuard<'a, Shard>); 1]>;

impl Counters {
    /// Creates the counters of a process, of which at most `most` are held.
    pub fn new(most: usize) -> Self {
        let key: [u64; 2] = rand::random();
        let locations = Location::all(SHARDS);
        let shard = |number| Shard::new(most.div_ceil(SHARDS), TableLocation::new(&locations, number));
        let shards = (0..SHARDS).map(|number| Part(Mutex::new(shard(number)))).collect();
        Self { key: key.map(AtomicU64::new), shards, locations }
    }

    /// The subject of a name.
    pub fn subject(&self, namespace: &Namespace, name: &[u8]) -> Subject {
        let [first, second] = [&self.key[0], &self.key[1]].map(|part| part.load(Ordering::Relaxed));
        let mut hasher = SipHasher13::new_with_keys(first, second);
        hasher.write(&namespace.0);
        hasher.write(name);
        let hash = hasher.finish128();
        Subject::new(hash.h1, hash.h2)
    }

    /// Begins to fetch the counter of a request that will soon be counted, and its lock.
    pub fn prefetch(&self, subject: Subject, period: Period) {
        CacheLines::begin_of(&self.shards[number(subject)]).prefetch();
        self.lines(subject, period).into_iter().for_each(CacheLines::prefetch);
    }

    /// The memory in which the search for a counter begins.
    fn lines(&self, subject: Subject, period: Period) -> Option<CacheLines> {
        SlotTable::lines(&self.locations[number(subject)], subject, period)
    }

    /// Counts a request on every ask, if all limits have something left.
    pub fn take(&self, asks: &[Ask], now: u64) -> Taken {
        if let [ask] = asks {
            return self.take_one(ask, now);
        }
        let (mut locked, now) = self.lock(asks, now);
        let found: SmallVec<[Found; FEW]> =
            asks.iter().map(|ask| shard(&mut locked, ask.subject).find(ask, now)).collect();
        let usage: SmallVec<[f64; FEW]> = found.iter().map(|found| found.usage).collect();
        let taken = Taken::new(asks, usage, now, |ask| shard(&mut locked, ask.subject).wait(ask, now));
        if taken.allowed {
            count(&mut locked, asks, &found, now);
        }
        taken
    }

    /// Most requests ask for one limit, for which there is one lock and nothing to sort.
    fn take_one(&self, ask: &Ask, now: u64) -> Taken {
        let mut shard = self.shards[number(ask.subject)].0.lock();
        let now = shard.settle(now);
        shard.note(now);
        let found = shard.find(ask, now);
        let usage = SmallVec::from_iter([found.usage]);
        let taken = Taken::new(std::slice::from_ref(ask), usage, now, |ask| shard.wait(ask, now));
        if taken.allowed && ask.cost != 0.0 {
            shard.count(ask, found.place, now);
        }
        taken
    }

    /// Raises the counter of `ask` to `count`, if it is lower and still in the window that starts at `window`.
    pub fn raise(&self, ask: &Ask, window: u32, count: f64, now: u64) {
        let (mut locked, now) = self.lock(std::slice::from_ref(ask), now);
        shard(&mut locked, ask.subject).raise(ask, window, count, now);
    }

    /// Forgets counters whose windows are over. For a timer; nothing depends on it but memory.
    pub fn sweep(&self, now: u64) {
        self.shards.iter().for_each(|part| part.0.lock().sweep(now));
    }

    /// How many counters are held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|part| part.0.lock().len()).sum()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Locks the shards of all asks, in the order of their numbers, and settles on a time.
    fn lock(&self, asks: &[Ask], now: u64) -> (Locked<'_>, u64) {
        let mut numbers: SmallVec<[usize; FEW]> = asks.iter().map(|ask| number(ask.subject)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut locked: Locked<'_> =
            numbers.into_iter().map(|number| (number, self.shards[number].0.lock())).collect();
        let now = locked.iter().map(|(_, shard)| shard.settle(now)).max().unwrap_or(now);
        locked.iter_mut().for_each(|(_, shard)| shard.note(now));
        (locked, now)
    }
}

impl Namespace {
    /// The namespace of what a plugin counts within a scope.
    pub fn new(scope: &Scope, what: &[u8]) -> Self {
        let hash = blake3::hash(&[scope.route.as_bytes(), scope.service.as_bytes(), what].concat());
        Self(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

impl Subject {
    /// The subject with a hash of 128 bits.
    fn new(high: u64, low: u64) -> Self {
        Self([high as u32, low as u32, (low >> 32) as u32])
    }

    /// The number that chooses its shard.
    fn high(self) -> u32 {
        self.0[0]
    }

    /// The number that chooses its place in the shard.
    fn low(self) -> u64 {
        u64::from(self.0[1]) | u64::from(self.0[2]) << 32
    }
}

impl Ask {
    /// The same without a cost: to look and to count nothing.
    #[must_use]
    pub const fn without_cost(self) -> Self {
        Self { cost: 0.0, ..self }
    }

    /// Whether both count on one counter.
    pub fn shares_counter(&self, other: &Self) -> bool {
        self.subject == other.subject && self.period == other.period
    }

    /// How long what is counted now matters, in milliseconds: to the end of the window, and of the next one if
    /// windows slide.
    pub fn kept_for(&self, now: u64) -> u64 {
        let window = self.period.window_at(now);
        let next = if self.sliding { window.seconds() } else { 0 };
        (u64::from(window.end) + u64::from(next)) * 1000 + SLACK - now.min(u64::from(window.end) * 1000)
    }
}

impl Taken {
    /// The answer to `asks` by what counts against each of them. `wait` says when a sliding window has something
    /// left.
    pub fn new(asks: &[Ask], usage: SmallVec<[f64; FEW]>, now: u64, wait: impl FnMut(&Ask) -> u32) -> Self {
        let is_over = |(ask, usage): &(&Ask, &f64)| ask.cost > 0.0 && ask.limit - **usage <= 0.0;
        let over = asks.iter().zip(&usage).filter(is_over);
        let allowed = over.clone().next().is_none();
        let wait = over.map(|(ask, _)| ask).filter(|ask| ask.sliding).map(wait).max();
        Self { allowed, usage, now, wait }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new(MOST)
    }
}

fn count(locked: &mut Locked<'_>, asks: &[Ask], found: &[Found], now: u64) {
    // A new counter may take the place of one that was found.
    let all_exist = found.iter().all(|found| found.place.is_some());
    for (index, (ask, found)) in asks.iter().zip(found).enumerate() {
        // Two limits on one counter count a request once.
        if ask.cost == 0.0 || asks[..index].iter().any(|other| other.shares_counter(ask)) {
            continue;
        }
        shard(locked, ask.subject).count(ask, found.place.filter(|_| all_exist), now);
    }
}

fn shard<'a>(locked: &'a mut Locked<'_>, subject: Subject) -> &'a mut Shard {
    let number = number(subject);
    let found = locked.iter_mut().find(|(locked, _)| *locked == number);
    &mut found.expect("the shards of all asks are locked").1
}

fn number(subject: Subject) -> usize {
    subject.high() as usize % SHARDS
}
