//! The counters of a shard in one piece of memory, where a look-up waits for one place.

use std::ops::{Index, IndexMut};

use super::Subject;
use super::location::{Location, TableLocation};
use super::period::Period;
use super::probing::{self, Hashed};
use super::slot::{self, Slot};
use crate::prefetch::CacheLines;

/// Counters by what they count. Each keeps its place until one is added or removed.
#[derive(Debug)]
#[repr(C)]
pub(super) struct SlotTable {
    places: Vec<Option<Slot>>,
    len: usize,
    location: TableLocation,
}

impl SlotTable {
    /// Creates an empty one.
    pub(super) fn new(location: TableLocation) -> Self {
        Self { places: Vec::new(), len: 0, location }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many places there are, free ones, too.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.places.iter().flatten()
    }

    /// The place of a counter.
    pub(super) fn find(&self, subject: Subject, period: Period) -> Option<usize> {
        let is_it = |slot: &Slot| slot.is_of(subject, period);
        probing::find(&self.places, slot::hash(subject, period), is_it)
    }

    /// The memory in which the search for a counter begins in the table at a location.
    pub(super) fn lines(at: &Location, subject: Subject, period: Period) -> Option<CacheLines> {
        at.lines(size_of::<Option<Slot>>(), |places| probing::start(places, slot::hash(subject, period)))
    }

    /// The same of this table, as it is.
    #[cfg(test)]
    pub(super) fn own_lines(&self, subject: Subject, period: Period) -> Option<CacheLines> {
        let first = probing::start(self.places(), slot::hash(subject, period));
        self.places.get(first).map(CacheLines::of)
    }

    /// The counter at a place; `None` if that is free.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Slot> {
        self.places.get_mut(place)?.as_mut()
    }

    /// Makes room for so many counters.
    pub(super) fn reserve(&mut self, counters: usize) {
        if places_for(counters) > self.places.len() {
            self.arrange(counters, |_| true);
        }
    }

    /// Whether there is one whose window is over on the way to the place of a new one.
    pub(super) fn replaces(&self, slot: &Slot, second: u32) -> bool {
        probing::find(&self.places, slot.hash(), |other| other.is_over(second)).is_some()
    }

    /// Adds a counter, which is not there yet, to fewer than `most`, in the place of one whose window is over if there
    /// is one on its way. Returns its place.
    pub(super) fn insert(&mut self, slot: Slot, most: usize, second: u32) -> usize {
        if places_for(self.len + 1) > self.places.len() {
            let live = self.iter().filter(|slot| !slot.is_over(second)).count();
            self.arrange((live * 2).clamp(1, most), |slot| !slot.is_over(second));
        }
        let (place, left) = probing::insert(&mut self.places, slot, |other| other.is_over(second));
        self.len += usize::from(left.is_none());
        place
    }

    /// Removes the counter at a place, if there is one.
    pub(super) fn remove(&mut self, place: usize) -> Option<Slot> {
        let removed = probing::remove(&mut self.places, place);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Removes the counters that are not to be kept, and gives back the memory that they took.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Slot) -> bool) {
        let kept = self.iter().filter(|slot| is_kept(slot)).count();
        self.arrange(kept, is_kept);
    }

    /// Places those that are kept in a table for so many.
    fn arrange(&mut self, counters: usize, is_kept: impl Fn(&Slot) -> bool) {
        let slots = std::mem::replace(&mut self.places, vec![None; places_for(counters)]);
        self.location.set(&self.places);
        self.len = 0;
        for slot in slots.into_iter().flatten().filter(is_kept) {
            self.len += 1;
            probing::insert(&mut self.places, slot, |_| false);
        }
    }
}

/// Counters must be there: [`SlotTable::find`] and [`SlotTable::insert`] give such places.
impl Index<usize> for SlotTable {
    type Output = Slot;

    fn index(&self, place: usize) -> &Slot {
        self.places[place].as_ref().expect("there is a counter")
    }
}

impl IndexMut<usize> for SlotTable {
    fn index_mut(&mut self, place: usize) -> &mut Slot {
        self.places[place].as_mut().expect("there is a counter")
    }
}

/// Places for so many counters, a quarter of them free.
fn places_for(counters: usize) -> usize {
    if counters == 0 { 0 } else { counters + counters / 3 + 1 }
}

#[cfg(test)]
mod tests {
    use super::super::Ask;
    use super::super::slot::Tally;
    use super::*;

    fn slot(number: u64, window: u32) -> Slot {
        let mixed = blake3::hash(&number.to_le_bytes());
        let subject =
            Subject::new(number, mixed.as_bytes().first_chunk().copied().map_or(0, u64::from_le_bytes));
        let ask = Ask { subject, period: Period::Minute, limit: 1.0, sliding: false, cost: 1.0 };
        Slot::new(&ask, Tally { window, ..Tally::default() })
    }

    fn table() -> SlotTable {
        SlotTable::new(TableLocation::new(&Location::all(1), 0))
    }

    #[test]
    fn search_begins_where_the_location_says() {
        let locations = Location::all(2);
        let mut tables = [0, 1].map(|number| SlotTable::new(TableLocation::new(&locations, number)));
        let lines =
            |number: usize, slot: &Slot| SlotTable::lines(&locations[number], slot.subject, slot.period);
        for (table, number) in tables.iter_mut().zip(0..) {
            assert_eq!(lines(number, &slot(0, 60)), None);
            for slot in (0..400).map(|number| slot(number, 60)) {
                table.insert(slot, 400, 61);
                let expected = table.own_lines(slot.subject, slot.period);
                assert!(expected.is_some() && lines(number, &slot) == expected);
            }
            table.retain(|_| false);
            assert_eq!(lines(number, &slot(0, 60)), None);
        }
    }

    fn is_there(table: &SlotTable, slot: &Slot) -> bool {
        let place = table.find(slot.subject, slot.period);
        place.is_some_and(|place| table[place].subject == slot.subject)
    }

    #[test]
    fn counters_are_found_while_the_table_grows_to_its_bound_and_shrinks() {
        const MOST: u64 = 1500;
        let mut table = table();
        for number in 0..MOST {
            let place = table.insert(slot(number, 60), MOST as usize, 61);
            assert_eq!(table[place].subject, slot(number, 60).subject);
            assert!(table.places() <= places_for(MOST as usize));
            assert!((0..=number).step_by(7).all(|number| is_there(&table, &slot(number, 60))), "{number}");
        }
        assert_eq!((table.len(), table.iter().count()), (1500, 1500));
        table.retain(|slot| slot.subject.high() % 100 == 0);
        assert_eq!((table.len(), table.places()), (15, places_for(15)));
        assert!((0..MOST).all(|number| is_there(&table, &slot(number, 60)) == (number % 100 == 0)));
        table.retain(|_| false);
        assert_eq!((table.len(), table.places()), (0, 0));
    }

    #[test]
    fn counter_takes_the_place_of_one_whose_window_is_over() {
        const MOST: u64 = 1500;
        let mut table = table();
        for number in 0..MOST {
            table.insert(slot(number, 60), 2 * MOST as usize, 61);
        }
        let places = table.places();
        for number in MOST..2 * MOST {
            let new = slot(number, 120);
            let (len, places, replaces) = (table.len(), table.places(), table.replaces(&new, 121));
            table.insert(new, 2 * MOST as usize, 121);
            assert!(table.places() != places || table.len() == len + usize::from(!replaces), "{number}");
            assert!(
                (MOST..=number).step_by(7).all(|number| is_there(&table, &slot(number, 120))),
                "{number}"
            );
        }
        assert_eq!(table.len(), table.iter().count());
        // Those that were over left when the table would have grown.
        assert!(table.len() < 1600 && table.places() < 2 * places, "{} {}", table.len(), table.places());
    }
}
