//! A part of the counters under one lock: at most a fixed number of them, and what is remembered of those that
//! had to leave.

use hashbrown::HashTable;

use super::period::{Period, Window, second};
use super::sketch::Sketch;
use super::slot::{Slot, Tally};
use super::{Ask, Subject};

/// How many counters a search for a victim looks at, at most.
const SEARCHED: usize = 32;
/// How many counters a new one looks at, to find one whose window is over.
const SWEPT: usize = 2;
/// By how much the clocks of threads may differ, in milliseconds. A clock that goes back further was set.
const SKEW: u64 = 5000;

/// Counters, at most `most`.
#[derive(Debug)]
pub(super) struct Shard {
    /// Places in `slots`.
    index: HashTable<u32>,
    slots: Vec<Slot>,
    /// Where the next search begins.
    hand: usize,
    most: usize,
    sketch: Sketch,
    /// The latest time seen, in milliseconds since 1970.
    latest: u64,
}

/// What counts against a limit, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) usage: f64,
    /// The place of the counter; `None` if there is none yet.
    pub(super) place: Option<u32>,
}

impl Shard {
    pub(super) fn new(most: usize) -> Self {
        let (index, sketch) = (HashTable::new(), Sketch::default());
        Self { index, slots: Vec::new(), hand: 0, most: most.max(1), sketch, latest: 0 }
    }

    /// The time to count at. Threads read their clocks before they get the lock: of two around the border of a
    /// window, the second must not begin the earlier window again.
    pub(super) fn settle(&self, now: u64) -> u64 {
        if (now..now.saturating_add(SKEW)).contains(&self.latest) { self.latest } else { now }
    }

    /// Notes the time that is counted at.
    pub(super) fn note(&mut self, now: u64) {
        self.latest = now;
    }

    /// What counts against a limit.
    pub(super) fn find(&self, ask: &Ask, now: u64) -> Found {
        let window = ask.period.window_at(now);
        let place = self.place(ask.subject, ask.period);
        Found { usage: self.tally_at(place, ask, window).usage(window, ask.sliding, now), place }
    }

    /// The seconds until a limit that has nothing left, by windows that slide, has something.
    pub(super) fn wait(&self, ask: &Ask, now: u64) -> u32 {
        let window = ask.period.window_at(now);
        self.tally_at(self.place(ask.subject, ask.period), ask, window).wait(ask.limit, window, now)
    }

    /// Counts on a counter, whose place is known if it exists.
    pub(super) fn count(&mut self, ask: &Ask, place: Option<u32>, now: u64) {
        let place = place.unwrap_or_else(|| self.place_or_new(ask, now));
        self.count_at(place, ask, now);
    }

    fn count_at(&mut self, place: u32, ask: &Ask, now: u64) {
        let window = ask.period.window_at(now);
        let slot = &mut self.slots[place as usize];
        slot.tally = slot.tally.within(ask.period, window);
        slot.tally.count += ask.cost;
        slot.used = true;
        slot.sliding |= ask.sliding;
    }

    /// Raises a counter to `count`, if it is lower and still in that window.
    pub(super) fn raise(&mut self, ask: &Ask, window: u32, count: f64, now: u64) {
        if ask.period.window_at(now).start != window {
            return;
        }
        let place = self.place_or_new(ask, now);
        self.count_at(place, &ask.without_cost(), now);
        let tally = &mut self.slots[place as usize].tally;
        tally.count = tally.count.max(count);
    }

    /// Restores a counter of an earlier process.
    pub(super) fn put(&mut self, slot: Slot, now: u64) {
        if !slot.is_over(second(now)) {
            let Slot { subject, period, sliding, .. } = slot;
            let place = self.place_or_new(&Ask { subject, period, limit: 0.0, sliding, cost: 0.0 }, now);
            self.slots[place as usize] = slot;
        }
    }

    /// Forgets counters whose windows are over, if there are many, and the memory that they took.
    pub(super) fn sweep(&mut self, now: u64) {
        let second = second(now);
        let live = self.slots.iter().filter(|slot| !slot.is_over(second)).count();
        if live * 2 > self.slots.len() {
            return;
        }
        self.slots.retain(|slot| !slot.is_over(second));
        self.slots.shrink_to_fit();
        self.hand = 0;
        self.index = HashTable::with_capacity(live);
        for (place, slot) in (0..).zip(&self.slots) {
            let hash = hash(slot.subject, slot.period);
            self.index.insert_unique(hash, place, |place| hash_at(&self.slots, *place));
        }
    }

    /// The counters that count still.
    pub(super) fn live(&self, now: u64) -> impl Iterator<Item = &Slot> {
        let second = second(now);
        self.slots.iter().filter(move |slot| !slot.is_over(second))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn tally_at(&self, place: Option<u32>, ask: &Ask, window: Window) -> Tally {
        match place {
            Some(place) => self.slots[place as usize].tally.within(ask.period, window),
            None => self.sketch.recall(ask.subject, ask.period, window),
        }
    }

    fn place(&self, subject: Subject, period: Period) -> Option<u32> {
        let is_same = |place: &u32| self.slots[*place as usize].is_of(subject, period);
        self.index.find(hash(subject, period), is_same).copied()
    }

    fn place_or_new(&mut self, ask: &Ask, now: u64) -> u32 {
        if let Some(place) = self.place(ask.subject, ask.period) {
            return place;
        }
        let window = ask.period.window_at(now);
        let tally = self.sketch.recall(ask.subject, ask.period, window);
        self.insert(Slot::new(ask, tally), window)
    }

    fn insert(&mut self, slot: Slot, window: Window) -> u32 {
        debug_assert_eq!(slot.tally.window, window.start);
        let second = second(self.latest);
        let place = match self.free_place(second) {
            Some(place) => {
                self.leave(place, second);
                self.slots[place] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        let place = u32::try_from(place).expect("a shard has fewer counters");
        let slots = &self.slots;
        let hash = hash(slot.subject, slot.period);
        self.index.insert_unique(hash, place, |place| hash_at(slots, *place));
        place
    }

    /// The place of a counter that can leave for a new one; `None` if there is room.
    fn free_place(&mut self, second: u32) -> Option<usize> {
        let is_full = self.slots.len() >= self.most;
        let mut victim = None;
        for _ in 0..(if is_full { SEARCHED } else { SWEPT }).min(self.slots.len()) {
            let place = self.hand % self.slots.len();
            self.hand = place + 1;
            let slot = &mut self.slots[place];
            if slot.is_over(second) {
                return Some(place);
            }
            // Not used since the last visit. Of those, the first.
            if is_full && !std::mem::take(&mut slot.used) {
                victim = victim.or(Some(place));
            }
        }
        if is_full { victim.or(Some(self.hand % self.slots.len())) } else { None }
    }

    /// Lets a counter go. One that counts still is remembered.
    fn leave(&mut self, place: usize, second: u32) {
        let slot = self.slots[place];
        if !slot.is_over(second) {
            self.sketch.remember(slot.subject, slot.period, slot.tally);
        }
        let is_here = |other: &u32| *other as usize == place;
        if let Ok(entry) = self.index.find_entry(hash(slot.subject, slot.period), is_here) {
            entry.remove();
        }
    }
}

/// The subject is a hash already.
fn hash(subject: Subject, period: Period) -> u64 {
    subject.low.wrapping_add((period as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn hash_at(slots: &[Slot], place: u32) -> u64 {
    let slot = &slots[place as usize];
    hash(slot.subject, slot.period)
}
