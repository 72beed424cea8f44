//! Counters as one process hands them to the next: bytes, within a bound.
//!
//! The first byte is the version of the form, then comes the key of the subjects, then one record for each
//! counter. Numbers are little-endian. The estimates of counters that had left are not handed over.

use std::sync::atomic::Ordering;

use super::period::Period;
use super::slot::{Slot, Tally};
use super::{Counters, MOST, Subject, number};

/// The version of the form.
const VERSION: u8 = 1;
const HEADER: usize = 1 + 16;
/// Subject, period, whether its windows slide, window, count, and count of the window before.
const RECORD: usize = 16 + 1 + 1 + 4 + 8 + 4;
/// The longest state: that of as many counters as there may be.
pub const MOST_BYTES: usize = HEADER + MOST * RECORD;

impl Counters {
    /// Writes the counters that count still at a time in milliseconds since 1970.
    pub fn export(&self, now: u64) -> Vec<u8> {
        let mut state = vec![VERSION];
        self.key.iter().for_each(|part| state.extend(part.load(Ordering::Relaxed).to_le_bytes()));
        for part in &self.shards {
            // One shard at a time: requests go on meanwhile.
            let shard = part.0.lock();
            shard.live(now).for_each(|slot| write(slot, &mut state));
        }
        state.truncate(MOST_BYTES);
        state
    }

    /// Takes over the counters that another process has written, before a request is counted. State of another
    /// form is none.
    pub fn import(&self, state: &[u8], now: u64) {
        let Some((header, records)) =
            state.split_at_checked(HEADER).filter(|(header, _)| header[0] == VERSION)
        else {
            return;
        };
        self.key[0].store(number_at(header, 1), Ordering::Relaxed);
        self.key[1].store(number_at(header, 9), Ordering::Relaxed);
        for slot in records.chunks_exact(RECORD).filter_map(read) {
            let mut shard = self.shards[number(slot.subject)].0.lock();
            shard.note(now);
            shard.put(slot, now);
        }
    }
}

fn write(slot: &Slot, state: &mut Vec<u8>) {
    state.extend(slot.subject.high.to_le_bytes());
    state.extend(slot.subject.low.to_le_bytes());
    state.extend([slot.period as u8, slot.sliding.into()]);
    state.extend(slot.tally.window.to_le_bytes());
    state.extend(slot.tally.count.to_le_bytes());
    state.extend(slot.tally.previous.to_le_bytes());
}

fn read(record: &[u8]) -> Option<Slot> {
    let subject = Subject { high: number_at(record, 0), low: number_at(record, 8) };
    let period = *Period::ALL.get(usize::from(record[16]))?;
    let window = u32::from_le_bytes(record[18..22].try_into().ok()?);
    let count = f64::from_le_bytes(record[22..30].try_into().ok()?);
    let previous = f32::from_le_bytes(record[30..34].try_into().ok()?);
    let tally = Tally { count, window, previous };
    (count.is_finite() && previous.is_finite()).then_some(Slot {
        subject,
        tally,
        period,
        sliding: record[17] != 0,
        used: false,
    })
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}
