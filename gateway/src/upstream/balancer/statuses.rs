//! A set of HTTP status codes.

/// The lowest status of a set.
const FIRST: u16 = 100;
/// The highest status of a set.
const LAST: u16 = 999;
const WORDS: usize = ((LAST - FIRST) as usize / 64) + 1;

/// A set of status codes from 100 to 999, in which a look-up costs a few instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statuses([u64; WORDS]);

impl Statuses {
    /// The empty set.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Whether the set contains `status`.
    pub fn contains(&self, status: u16) -> bool {
        place(status).is_some_and(|(word, bit)| self.0[word] & bit != 0)
    }

    fn insert(&mut self, status: u16) {
        if let Some((word, bit)) = place(status) {
            self.0[word] |= bit;
        }
    }
}

impl FromIterator<u16> for Statuses {
    /// Makes a set. Numbers that are no status are left out.
    fn from_iter<I: IntoIterator<Item = u16>>(statuses: I) -> Self {
        let mut set = Self::default();
        statuses.into_iter().for_each(|status| set.insert(status));
        set
    }
}

fn place(status: u16) -> Option<(usize, u64)> {
    if !(FIRST..=LAST).contains(&status) {
        return None;
    }
    let index = usize::from(status - FIRST);
    Some((index / 64, 1 << (index % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_what_was_put_in() {
        let set: Statuses = [100, 163, 164, 500, 999].into_iter().collect();
        let found: Vec<u16> = (0..=u16::MAX).filter(|status| set.contains(*status)).collect();
        assert_eq!(found, [100, 163, 164, 500, 999]);
    }

    #[test]
    fn numbers_that_are_no_status_are_left_out() {
        let set: Statuses = [0, 99, 1000, u16::MAX].into_iter().collect();
        assert_eq!(set, Statuses::default());
    }
}
