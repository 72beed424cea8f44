//! One counter: what was counted of a subject in the current window of a period.

use super::period::{Period, Window};
use super::probing::Hashed;
use super::{Ask, Subject};

/// A counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) subject: Subject,
    pub(super) tally: Tally,
    pub(super) period: Period,
    /// Whether the window before counts, too.
    pub(super) sliding: bool,
    /// Whether it was used since the search for a victim last came by.
    pub(super) used: bool,
}

/// What was counted in a window, and in the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) count: f64,
    /// The start of the window.
    pub(super) window: u32,
    pub(super) previous: f32,
}

impl Slot {
    pub(super) fn new(ask: &Ask, tally: Tally) -> Self {
        let Ask { subject, period, sliding, .. } = *ask;
        Self { subject, tally, period, sliding, used: true }
    }

    pub(super) fn is_of(&self, subject: Subject, period: Period) -> bool {
        self.subject == subject && self.period == period
    }

    /// Whether nothing of it counts any more at this second.
    pub(super) fn is_over(&self, second: u32) -> bool {
        let current = self.period.window(second).start;
        let counts_still = self.sliding && self.tally.window == self.period.before(current);
        self.tally.window != current && !counts_still
    }
}

impl Hashed for Slot {
    fn hash(&self) -> u64 {
        hash(self.subject, self.period)
    }
}

impl Tally {
    /// The same in a window of `period`. A window that is later than it, as after a clock was set back, has
    /// nothing of this one.
    pub(super) fn within(self, period: Period, window: Window) -> Self {
        if self.window == window.start {
            return self;
        }
        let follows = self.window < window.start && self.window == period.before(window.start);
        let previous = if follows { at_least(self.count) } else { 0.0 };
        Self { count: 0.0, window: window.start, previous }
    }

    /// What counts against a limit at a time within the window, in milliseconds since 1970. Of the window
    /// before counts, when windows slide, the part that a window of the same length would still hold if its
    /// requests had come evenly. It is rounded up: an estimate lets no more through than the limit.
    pub(super) fn usage(&self, window: Window, sliding: bool, now: u64) -> f64 {
        if sliding && self.previous > 0.0 {
            self.count + (f64::from(self.previous) * window.left(now)).ceil()
        } else {
            self.count
        }
    }
}

impl Tally {
    /// The seconds from a time within the window until a sliding window has something left of a limit, if
    /// nothing is counted meanwhile.
    pub(super) fn wait(&self, limit: f64, window: Window, now: u64) -> u32 {
        let length = f64::from(window.seconds());
        let passed = length * (1.0 - window.left(now));
        // What may count before a request that passes.
        let most = (limit.ceil() - 1.0).max(0.0);
        // The time within a window at which no more than `rest` of the count before it is left.
        let falls = |count: f64, rest: f64| if count > rest { (1.0 - rest / count) * length } else { 0.0 };
        let wait = if self.count <= most {
            falls(self.previous.into(), most - self.count) - passed
        } else {
            length - passed + falls(self.count, most)
        };
        // Of at most two windows, which fit.
        wait.max(0.0).ceil() as u32
    }
}

/// The subject is a hash already.
pub(super) fn hash(subject: Subject, period: Period) -> u64 {
    subject.low().wrapping_add((period as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// The least number of the smaller type that is not below `count`.
pub(super) fn at_least(count: f64) -> f32 {
    let rounded = count as f32;
    if f64::from(rounded) < count { rounded.next_up() } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_takes_few_bytes() {
        assert_eq!(size_of::<Option<Slot>>(), 32);
    }

    #[test]
    fn tally_moves_to_the_next_window_and_no_further() {
        let minute = |number: u32| Period::Minute.window(number * 60);
        let first = Tally { count: 7.0, window: 600, previous: 3.0 };
        for (number, count, previous) in [(10, 7.0, 3.0), (11, 0.0, 7.0), (12, 0.0, 0.0), (9, 0.0, 0.0)] {
            let found = first.within(Period::Minute, minute(number));
            assert_eq!(found, Tally { count, window: number * 60, previous }, "{number}");
        }
        let second = first.within(Period::Minute, minute(11));
        for (now, fixed, sliding) in [(660_000, 0.0, 7.0), (690_000, 0.0, 4.0), (719_999, 0.0, 1.0)] {
            assert!((second.usage(minute(11), false, now) - fixed).abs() < 1e-9);
            assert!((second.usage(minute(11), true, now) - sliding).abs() < 1e-9, "{now}");
        }
    }

    #[test]
    fn wait_ends_when_the_limit_has_something_left() {
        let minute = Period::Minute.window(600);
        for (count, previous, limit, now, wait) in [
            (5.0, 10.0, 10.0, 600_000, 36),
            (5.0, 10.0, 10.0, 630_000, 6),
            (9.0, 1.0, 10.0, 630_000, 30),
            (10.0, 0.0, 10.0, 630_000, 36),
            (10.0, 0.0, 1.0, 630_000, 90),
            (0.0, 0.0, 10.0, 630_000, 0),
        ] {
            let tally = Tally { count, window: 600, previous };
            assert_eq!(tally.wait(limit, minute, now), wait, "{tally:?} {limit} {now}");
            let after = now + u64::from(wait) * 1000;
            let window = Period::Minute.window(u32::try_from(after / 1000).unwrap());
            let usage = tally.within(Period::Minute, window).usage(window, true, after);
            assert!(limit - usage > 0.0, "{tally:?} {usage}");
        }
    }

    #[test]
    fn no_count_is_rounded_down() {
        for count in [0.0, 1.5, 16_777_216.0, 16_777_217.0, 3e12 + 1.0] {
            assert!(f64::from(at_least(count)) >= count, "{count}");
        }
    }
}
