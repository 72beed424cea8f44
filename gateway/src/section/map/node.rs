//! The tree of a map. A branch has up to 64 children, each for a range of digits of the hash. A full bucket is
//! split, and its range with it; one whose range is a single digit becomes a branch of the next digit. Every
//! child has one place, so that one which is not shared can be edited in place.

use std::sync::Arc;

use super::KeyOf;
use super::bucket::{Bucket, SIZE};

/// Bits of the hash in a digit.
const BITS: u32 = 6;
/// The number of digits.
const DIGITS: u32 = 1 << BITS;
/// Levels of branches that one hash can address. Keys that agree so far share a bucket of any size.
const LEVELS: u32 = u64::BITS / BITS;

/// A part of a map.
#[derive(Debug)]
pub(super) enum Node<T> {
    Branch(Arc<Branch<T>>),
    Bucket(Arc<Bucket<T>>),
}

/// A part of a map that has others.
#[derive(Debug)]
pub(super) struct Branch<T> {
    /// A bit for each digit with which the range of a child begins. The lengths of ranges are powers of two, and
    /// each begins with a multiple of its length.
    starts: u64,
    /// In the order of their ranges.
    children: Vec<Node<T>>,
}

impl<T> Node<T> {
    pub(super) fn get<K: KeyOf<T>>(&self, key: &K::Key, hash: u64) -> Option<&Arc<T>> {
        let (mut node, mut level) = (self, 0);
        loop {
            match node {
                Self::Branch(branch) => node = &branch.children[branch.position(digit(hash, level))],
                Self::Bucket(bucket) => return bucket.get::<K>(key, hash),
            }
            level += 1;
        }
    }

    /// Puts `value` in place of the one with its key, which is returned.
    pub(super) fn insert<K: KeyOf<T>>(&mut self, value: Arc<T>, hash: u64, level: u32) -> Option<Arc<T>> {
        if level < LEVELS && self.is_full_for::<K>(K::key(&value), hash) {
            *self = Self::Branch(Arc::new(Branch { starts: 1, children: vec![self.clone()] }));
        }
        match self {
            Self::Branch(branch) => Arc::make_mut(branch).insert::<K>(value, hash, level),
            Self::Bucket(bucket) => Arc::make_mut(bucket).insert::<K>(value, hash),
        }
    }

    /// Removes `key`, if it is here. A branch left with one bucket becomes that bucket.
    pub(super) fn remove<K: KeyOf<T>>(&mut self, key: &K::Key, hash: u64, level: u32) {
        match self {
            Self::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                branch.remove::<K>(key, hash, level);
                if let [Self::Bucket(last)] = &branch.children[..] {
                    *self = Self::Bucket(last.clone());
                }
            }
            Self::Bucket(bucket) => Arc::make_mut(bucket).remove::<K>(key, hash),
        }
    }

    pub(super) fn each(&self, visit: &mut impl FnMut(&Arc<T>)) {
        match self {
            Self::Branch(branch) => branch.children.iter().for_each(|child| child.each(visit)),
            Self::Bucket(bucket) => bucket.entries().iter().for_each(visit),
        }
    }

    fn is_full_for<K: KeyOf<T>>(&self, key: &K::Key, hash: u64) -> bool {
        matches!(self, Self::Bucket(bucket) if bucket.is_full_for::<K>(key, hash))
    }
}

impl<T: Clone> Node<T> {
    /// The value of `key`, to be edited in place.
    pub(super) fn edit<K: KeyOf<T>>(&mut self, key: &K::Key, hash: u64, level: u32) -> Option<&mut T> {
        match self {
            Self::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                let at = branch.position(digit(hash, level));
                branch.children[at].edit::<K>(key, hash, level + 1)
            }
            Self::Bucket(bucket) => Arc::make_mut(bucket).edit::<K>(key, hash),
        }
    }
}

impl<T> Branch<T> {
    /// The index of the child of `digit`.
    fn position(&self, digit: u32) -> usize {
        (self.starts & up_to(digit)).count_ones() as usize - 1
    }

    /// The first digit of the child of `digit`, and how many it has.
    fn range(&self, digit: u32) -> (u32, u32) {
        let start = (self.starts & up_to(digit)).ilog2();
        let end = (self.starts & !up_to(digit)).trailing_zeros();
        (start, end - start)
    }

    fn insert<K: KeyOf<T>>(&mut self, value: Arc<T>, hash: u64, level: u32) -> Option<Arc<T>> {
        let digit = digit(hash, level);
        let mut at = self.position(digit);
        while self.range(digit).1 > 1 && self.children[at].is_full_for::<K>(K::key(&value), hash) {
            self.split::<K>(digit, level);
            at = self.position(digit);
        }
        self.children[at].insert::<K>(value, hash, level + 1)
    }

    fn remove<K: KeyOf<T>>(&mut self, key: &K::Key, hash: u64, level: u32) {
        let digit = digit(hash, level);
        let at = self.position(digit);
        self.children[at].remove::<K>(key, hash, level + 1);
        while self.merge(digit) {}
    }

    /// Splits the bucket of `digit`, which has several digits.
    fn split<K: KeyOf<T>>(&mut self, digit: u32, level: u32) {
        let ((start, digits), at) = (self.range(digit), self.position(digit));
        let Node::Bucket(bucket) = &mut self.children[at] else { return };
        let half = digits / 2;
        let upper = Arc::make_mut(bucket).split::<K>(u64::from(half) << shift(level));
        // Not a byte more: there are many branches, and each is edited seldom.
        self.children.reserve_exact(1);
        self.children.insert(at + 1, Node::Bucket(Arc::new(upper)));
        self.starts |= 1 << (start + half);
    }

    /// Joins the bucket of `digit` with the other half of what was one bucket, if both together are half full.
    fn merge(&mut self, digit: u32) -> bool {
        let (start, digits) = self.range(digit);
        let other = start ^ digits;
        if digits == DIGITS || self.range(other) != (other, digits) {
            return false;
        }
        let at = self.position(start.min(other));
        let [Node::Bucket(lower), Node::Bucket(upper)] = &mut self.children[at..at + 2] else {
            return false;
        };
        if lower.len() + upper.len() > SIZE / 2 {
            return false;
        }
        Arc::make_mut(lower).append(upper);
        self.children.remove(at + 1);
        self.starts &= !(1 << start.max(other));
        true
    }
}

// Derived implementations would require `T: Clone`, which sharing does not need.
impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Branch(branch) => Self::Branch(branch.clone()),
            Self::Bucket(bucket) => Self::Bucket(bucket.clone()),
        }
    }
}

impl<T> Clone for Branch<T> {
    fn clone(&self) -> Self {
        Self { starts: self.starts, children: self.children.clone() }
    }
}

/// The digit that chooses a child of a branch of `level`.
fn digit(hash: u64, level: u32) -> u32 {
    (hash >> shift(level)) as u32 % DIGITS
}

/// The place of a digit in the hash: those of the first levels come first.
fn shift(level: u32) -> u32 {
    u64::BITS - BITS * (level + 1)
}

/// The bits of the digits up to `digit`.
fn up_to(digit: u32) -> u64 {
    u64::MAX >> (DIGITS - 1 - digit)
}

#[cfg(test)]
mod tests {
    use super::super::Map;
    use super::*;

    struct Itself;

    impl KeyOf<u32> for Itself {
        type Key = u32;

        fn key(value: &u32) -> &u32 {
            value
        }
    }

    /// The branches and the buckets of a part.
    fn shape(node: &Node<u32>) -> (usize, usize) {
        let Node::Branch(branch) = node else { return (0, 1) };
        assert!(branch.children.len() > 1 && branch.children.len() == branch.starts.count_ones() as usize);
        branch.children.iter().map(shape).fold((1, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
    }

    #[test]
    fn buckets_are_split_and_joined_again() {
        const ALL: u32 = 50_000;
        const LEFT: u32 = 100;
        let mut map = Map::<u32, Itself>::default();
        (0..ALL).for_each(|n| assert_eq!(map.insert(Arc::new(n)), None));
        let full = map.clone();
        (LEFT..ALL).for_each(|n| assert_eq!(map.remove(&n).as_deref(), Some(&n)));
        for n in 0..ALL {
            assert_eq!((map.get(&n).is_some(), full.get(&n).is_some()), (n < LEFT, true), "{n}");
        }
        let [full, map] = [full, map].map(|map| shape(map.root.as_ref().unwrap()));
        let half_full = ALL as usize / (SIZE / 2);
        assert!(full.0 < half_full / 32 && full.1 < half_full, "{full:?}");
        assert!(map.0 == 1 && map.1 < 2 * LEFT as usize / (SIZE / 2), "{map:?}");
    }
}
