//! A part of the counters under one lock: at most a fixed number of them, and what is remembered of those that
//! had to leave.

use super::Ask;
use super::location::TableLocation;
use super::period::{Window, second};
use super::sketch::Sketch;
use super::slot::{Slot, Tally};
use super::table::SlotTable;
#[cfg(test)]
use super::{Period, Subject};
#[cfg(test)]
use crate::prefetch::CacheLines;

/// How many counters a search for one that is to leave looks at, at most.
const SEARCHED: usize = 32;
/// By how much the clocks of threads may differ, in milliseconds. A clock that goes back further was set.
const SKEW: u64 = 5000;

/// Counters, at most `most`. What each request reads comes first: it is on one line of the cache, with the lock.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shard {
    /// The latest time seen, in milliseconds since 1970.
    latest: u64,
    slots: SlotTable,
    /// The place where the next search begins.
    hand: usize,
    most: usize,
    sketch: Sketch,
}

/// What counts against a limit, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) usage: f64,
    /// The place of the counter; `None` if there is none yet.
    pub(super) place: Option<usize>,
}

impl Shard {
    pub(super) fn new(most: usize, location: TableLocation) -> Self {
        let (slots, sketch) = (SlotTable::new(location), Sketch::default());
        Self { slots, hand: 0, most: most.max(1), sketch, latest: 0 }
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
        let place = self.slots.find(ask.subject, ask.period);
        Found { usage: self.tally_at(place, ask, window).usage(window, ask.sliding, now), place }
    }

    /// The seconds until a limit that has nothing left, by windows that slide, has something.
    pub(super) fn wait(&self, ask: &Ask, now: u64) -> u32 {
        let window = ask.period.window_at(now);
        self.tally_at(self.slots.find(ask.subject, ask.period), ask, window).wait(ask.limit, window, now)
    }

    /// Counts on a counter, whose place is known if it exists.
    pub(super) fn count(&mut self, ask: &Ask, place: Option<usize>, now: u64) {
        let place = place.unwrap_or_else(|| self.place_or_new(ask, now));
        self.count_at(place, ask, now);
    }

    fn count_at(&mut self, place: usize, ask: &Ask, now: u64) {
        let window = ask.period.window_at(now);
        let slot = &mut self.slots[place];
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
        let tally = &mut self.slots[place].tally;
        tally.count = tally.count.max(count);
    }

    /// Makes room for so many counters of an earlier process.
    pub(super) fn reserve(&mut self, counters: usize) {
        self.slots.reserve(counters.min(self.most));
    }

    /// Restores a counter of an earlier process.
    pub(super) fn put(&mut self, slot: Slot, now: u64) {
        if !slot.is_over(second(now)) {
            let Slot { subject, period, sliding, .. } = slot;
            let place = self.place_or_new(&Ask { subject, period, limit: 0.0, sliding, cost: 0.0 }, now);
            self.slots[place] = slot;
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
        self.hand = 0;
    }

    /// The counters that count still.
    pub(super) fn live(&self, now: u64) -> impl Iterator<Item = &Slot> {
        let second = second(now);
        self.slots.iter().filter(move |slot| !slot.is_over(second))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The memory in which the search for a counter begins.
    #[cfg(test)]
    pub(super) fn lines(&self, subject: Subject, period: Period) -> Option<CacheLines> {
        self.slots.own_lines(subject, period)
    }

    /// The most places in a row that are not free: as far may a search go.
    #[cfg(test)]
    pub(super) fn longest_run(&mut self) -> usize {
        let (mut run, mut longest) = (0, 0);
        for place in 0..self.slots.places() {
            run = if self.slots.at(place).is_some() { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        longest
    }

    fn tally_at(&self, place: Option<usize>, ask: &Ask, window: Window) -> Tally {
        match place {
            Some(place) => self.slots[place].tally.within(ask.period, window),
            None => self.sketch.recall(ask.subject, ask.period, window),
        }
    }

    fn place_or_new(&mut self, ask: &Ask, now: u64) -> usize {
        if let Some(place) = self.slots.find(ask.subject, ask.period) {
            return place;
        }
        let window = ask.period.window_at(now);
        let tally = self.sketch.recall(ask.subject, ask.period, window);
        self.insert(Slot::new(ask, tally), window)
    }

    fn insert(&mut self, slot: Slot, window: Window) -> usize {
        debug_assert_eq!(slot.tally.window, window.start);
        let second = second(self.latest);
        // One that counts still is remembered.
        if self.slots.len() >= self.most
            && !self.slots.replaces(&slot, second)
            && let victim = self.victim(second)
            && let Some(left) = self.slots.remove(victim)
            && !left.is_over(second)
        {
            self.sketch.remember(left.subject, left.period, left.tally);
        }
        self.slots.insert(slot, self.most, second)
    }

    /// The place of a counter that is to leave: one whose window is over, or else one that was not used since the
    /// last visit.
    fn victim(&mut self, second: u32) -> usize {
        let (mut first, mut unused) = (None, None);
        let mut counters = SEARCHED.min(self.slots.len());
        while counters > 0 {
            let place = self.hand % self.slots.places();
            self.hand = place + 1;
            let Some(slot) = self.slots.at(place) else { continue };
            if slot.is_over(second) {
                // Another one moves there.
                self.hand = place;
                return place;
            }
            counters -= 1;
            first = first.or(Some(place));
            if !std::mem::take(&mut slot.used) {
                unused = unused.or(Some(place));
            }
        }
        unused.or(first).unwrap_or_default()
    }
}
