//! Counters as one process hands them to the next: bytes, within a bound.
//!
//! The first byte is the version of the form, then comes the key of the subjects, then one record for each
//! counter. Numbers are little-endian. The estimates of counters that had left are not handed over.

use std::sync::atomic::Ordering;

use super::period::Period;
use super::slot::{Slot, Tally};
use super::{Counters, MOST, SHARDS, Subject, number};

/// The version of the form, and of what subjects are.
const VERSION: u8 = 2;
const HEADER: usize = 1 + 16;
const SUBJECT: usize = 12;
/// Subject, period, whether its windows slide, window, count, and count of the window before.
const RECORD: usize = SUBJECT + 1 + 1 + 4 + 8 + 4;
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
        // They come in the order of their places, which is bad for a table that is yet to grow.
        let mut counts = [0; SHARDS];
        records.chunks_exact(RECORD).filter_map(read).for_each(|slot| counts[number(slot.subject)] += 1);
        for (part, count) in self.shards.iter().zip(counts) {
            part.0.lock().reserve(count);
        }
        for slot in records.chunks_exact(RECORD).filter_map(read) {
            let mut shard = self.shards[number(slot.subject)].0.lock();
            shard.note(now);
            shard.put(slot, now);
        }
    }
}

fn write(slot: &Slot, state: &mut Vec<u8>) {
    slot.subject.0.iter().for_each(|part| state.extend(part.to_le_bytes()));
    state.extend([slot.period as u8, slot.sliding.into()]);
    state.extend(slot.tally.window.to_le_bytes());
    state.extend(slot.tally.count.to_le_bytes());
    state.extend(slot.tally.previous.to_le_bytes());
}

fn read(record: &[u8]) -> Option<Slot> {
    let (subject, rest) = record.split_at(SUBJECT);
    let part = |at: usize| subject[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
    let subject = Subject([part(0), part(4), part(8)]);
    let period = *Period::ALL.get(usize::from(rest[0]))?;
    let window = u32::from_le_bytes(rest[2..6].try_into().ok()?);
    let count = f64::from_le_bytes(rest[6..14].try_into().ok()?);
    let previous = f32::from_le_bytes(rest[14..18].try_into().ok()?);
    let tally = Tally { count, window, previous };
    (count.is_finite() && previous.is_finite()).then_some(Slot {
        subject,
        tally,
        period,
        sliding: rest[1] != 0,
        used: false,
    })
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}
