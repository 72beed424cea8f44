//! The table of consistent hashing: for each part of the key space the member that owns it.
//!
//! Each member visits all parts in an order of its own, at times of its own, and a part belongs to its first
//! visitor. The times of a member are spread as those of a random process whose rate is its weight, so that shares
//! follow the weights. No member's visits depend on another member: one that leaves, or loses weight, moves no key
//! but its own, and one that returns gets exactly its own keys back. Maglev, which fills the same kind of table in
//! turns, moves some keys of others, too.

use super::random::{mix, rehash};

/// Parts of a table, as a power of two. A part costs two bytes.
const BITS: u32 = 16;
/// Parts of the table of many members. When an upstream passes [`MANY`], all its keys move once.
const BITS_OF_MANY: u32 = 18;
/// Members above which shares would differ too much in a small table.
const MANY: usize = 256;

/// A member of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claimant {
    pub(super) index: u16,
    /// The number of the member's identity.
    pub(super) number: u64,
    /// Above zero.
    pub(super) weight: u32,
}

/// A table, and what it was made of.
#[derive(Debug)]
pub(super) struct Table {
    owners: Box<[u16]>,
    shift: u32,
    claimants: Box<[Claimant]>,
}

/// A member on its way through the parts.
struct Visitor {
    index: u16,
    place: u64,
    step: u64,
    visited: usize,
    /// A part of a visit by which its times differ from those of other members.
    phase: f64,
    weight: f64,
}

impl Table {
    /// Creates the table of `claimants`, of which there is at least one. It takes 0.5 to 3 ms, four times that for many.
    pub(super) fn new(claimants: Vec<Claimant>) -> Self {
        let bits = if claimants.len() > MANY { BITS_OF_MANY } else { BITS };
        Self { owners: owners(&claimants, bits), shift: u64::BITS - bits, claimants: claimants.into() }
    }

    /// Whether a table of `claimants` would be equal to this one.
    pub(super) fn is_of(&self, claimants: &[Claimant]) -> bool {
        *self.claimants == *claimants
    }

    /// Returns the index of the member that owns `key`. All bits of the key are equally random.
    pub(super) fn owner(&self, key: u64) -> usize {
        usize::from(self.owners[(key >> self.shift) as usize])
    }

    #[cfg(test)]
    pub(super) fn owners(&self) -> &[u16] {
        &self.owners
    }
}

fn owners(claimants: &[Claimant], bits: u32) -> Box<[u16]> {
    let size = 1_usize << bits;
    let mut visitors: Vec<Visitor> = claimants.iter().map(|claimant| Visitor::new(claimant, bits)).collect();
    let mut owners = vec![0_u16; size];
    let mut first = vec![f64::INFINITY; size];
    let (times, mut left, mut end) = (times(size), size, expected_end(claimants, size));
    // Once each part was visited by `end`, no later visit can be its first.
    while left > 0 {
        for visitor in &mut visitors {
            left -= visitor.visit(end, &times, &mut owners, &mut first);
        }
        end *= 2.0;
    }
    owners.into()
}

/// The time of each visit of a member with weight 1: evenly spread quantiles of the exponential distribution.
fn times(size: usize) -> Vec<f64> {
    (0..size).map(|visit| -((size - visit) as f64 / size as f64).ln()).collect()
}

/// The time until which each part was probably visited once.
fn expected_end(claimants: &[Claimant], size: usize) -> f64 {
    let weight: f64 = claimants.iter().map(|claimant| f64::from(claimant.weight)).sum();
    ((size as f64).ln() + 2.0) / weight
}

impl Visitor {
    fn new(claimant: &Claimant, bits: u32) -> Self {
        let mask = (1 << bits) - 1;
        let (place, step) = (mix(claimant.number), rehash(claimant.number));
        let phase = (rehash(step) >> 11) as f64 / (1_u64 << 53) as f64;
        Self {
            index: claimant.index,
            place: place & mask,
            // An odd step meets each part of a power of two once.
            step: (step & mask) | 1,
            visited: 0,
            phase: phase / (1_u64 << bits) as f64,
            weight: f64::from(claimant.weight),
        }
    }

    /// Goes on until `end`. Returns how many parts it was the first of all to visit.
    fn visit(&mut self, end: f64, times: &[f64], owners: &mut [u16], first: &mut [f64]) -> usize {
        let (mask, mut new) = (owners.len() as u64 - 1, 0);
        while let Some(time) = times.get(self.visited) {
            let time = (time + self.phase) / self.weight;
            if time > end {
                break;
            }
            let part = self.place as usize;
            if time < first[part] {
                new += usize::from(first[part] == f64::INFINITY);
                first[part] = time;
                owners[part] = self.index;
            }
            self.place = (self.place + self.step) & mask;
            self.visited += 1;
        }
        new
    }
}
