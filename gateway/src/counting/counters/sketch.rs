//! What is remembered of counters that had to leave: estimates in a fixed number of cells, of which none is
//! too low.

use super::Subject;
use super::period::{Period, Window};
use super::slot::{Tally, at_least};

/// Cells of a row. Each takes 12 bytes.
const WIDTH: usize = 1024;
/// Rows: a subject has a cell in each, and the lowest one is its estimate.
const ROWS: usize = 2;

/// Estimates by period. A period without any takes no memory; one with takes 24 kB.
#[derive(Debug, Default)]
pub(super) struct Sketch([Option<Box<[Cell]>>; Period::ALL.len()]);

/// The greatest counts of all that share the cell, in its window.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    window: u32,
    count: f32,
    previous: f32,
}

impl Sketch {
    /// Remembers what was counted of a subject.
    pub(super) fn remember(&mut self, subject: Subject, period: Period, tally: Tally) {
        let cells = self.0[period as usize].get_or_insert_with(|| vec![Cell::default(); ROWS * WIDTH].into());
        for index in places(subject) {
            let cell = &mut cells[index];
            if cell.window < tally.window {
                let window = Window { start: tally.window, end: tally.window };
                *cell = Cell::from(Tally::from(*cell).within(period, window));
            }
            if cell.window == tally.window {
                cell.count = cell.count.max(at_least(tally.count));
                cell.previous = cell.previous.max(tally.previous);
            }
        }
    }

    /// At least what was counted of a subject, as far as it was remembered.
    pub(super) fn recall(&self, subject: Subject, period: Period, window: Window) -> Tally {
        let none = Tally { window: window.start, ..Tally::default() };
        let Some(cells) = &self.0[period as usize] else { return none };
        let tallies = places(subject).map(|index| Tally::from(cells[index]).within(period, window));
        let lowest = |one: Tally, other: Tally| Tally {
            count: one.count.min(other.count),
            previous: one.previous.min(other.previous),
            ..one
        };
        tallies.into_iter().reduce(lowest).unwrap_or(none)
    }
}

impl From<Cell> for Tally {
    fn from(cell: Cell) -> Self {
        Self { count: cell.count.into(), window: cell.window, previous: cell.previous }
    }
}

impl From<Tally> for Cell {
    fn from(tally: Tally) -> Self {
        Self { window: tally.window, count: at_least(tally.count), previous: tally.previous }
    }
}

/// The cells of a subject, one in each row.
fn places(subject: Subject) -> [usize; ROWS] {
    let part = |bits: u64| bits as usize % WIDTH;
    [part(subject.low() >> 20), WIDTH + part(subject.low() >> 40)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(number: u64) -> Subject {
        let mixed = |seed: u64| {
            let mut mixed = number.wrapping_add(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            mixed ^= mixed >> 29;
            mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed ^ (mixed >> 32)
        };
        Subject::new(mixed(1), mixed(2))
    }

    #[test]
    fn estimate_is_never_too_low_and_mostly_right() {
        let (period, window) = (Period::Minute, Period::Minute.window(60));
        let mut sketch = Sketch::default();
        let count = |number: u64| f64::from(u8::try_from(number % 50).unwrap());
        for number in 0..300 {
            let tally = Tally { count: count(number), window: window.start, previous: 1.0 };
            sketch.remember(subject(number), period, tally);
        }
        let found = |number| sketch.recall(subject(number), period, window).count;
        assert!((0..300).all(|number| found(number) >= count(number)));
        let exact = (0..300).filter(|number| (found(*number) - count(*number)).abs() < 0.5).count();
        assert!(exact > 270, "{exact}");
        let unknown = (1000..2000).filter(|number| found(*number) > 0.0).count();
        assert!(unknown < 150, "{unknown}");
    }

    #[test]
    fn estimates_end_with_their_windows() {
        let minute = |number: u32| Period::Minute.window(number * 60);
        let mut sketch = Sketch::default();
        sketch.remember(subject(1), Period::Minute, Tally { count: 9.0, window: 60, previous: 2.0 });
        for (number, count, previous) in [(1, 9.0, 2.0), (2, 0.0, 9.0), (3, 0.0, 0.0)] {
            let found = sketch.recall(subject(1), Period::Minute, minute(number));
            assert_eq!(found, Tally { count, window: number * 60, previous });
        }
        assert_eq!(sketch.recall(subject(1), Period::Hour, Period::Hour.window(60)).count, 0.0);
        sketch.remember(subject(1), Period::Minute, Tally { count: 1.0, window: 120, previous: 0.0 });
        assert_eq!(sketch.recall(subject(1), Period::Minute, minute(2)).previous, 9.0);
    }
}
