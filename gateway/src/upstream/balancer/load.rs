//! The expected latency of an address: a peak EWMA. A slower answer counts at once, faster ones little by
//! little, and without answers the value decays, so that a slow address is tried again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time in which a value decays to 1/e, in milliseconds.
const DECAY: u32 = 10_000;
/// Steps of the table for each [`DECAY`].
const STEPS: usize = 16;
/// The time between two entries of the table, in milliseconds.
const STEP: u32 = DECAY / STEPS as u32;
/// Entries of the table; all decays after them are taken as complete.
const ENTRIES: usize = 10 * STEPS;
/// What is expected of an address before its first answer, if nothing is known of others: in microseconds.
const UNKNOWN: f32 = 30_000.0;
/// The most that failures raise an expectation to, in microseconds.
const MOST_AFTER_FAILURE: f32 = 60_000_000.0;

/// exp(-n / STEPS) for each n.
static DECAYS: [f32; ENTRIES + 2] = decays();

/// An expected latency in microseconds, as the bits of an `f32`, and the milliseconds of its time.
#[derive(Debug)]
pub(super) struct Load(AtomicU64);

impl Load {
    /// Creates the expectation of an address without answers.
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(pack(UNKNOWN, 0)))
    }

    /// Expects `micros` from now on.
    pub(super) fn seed(&self, micros: f32, now: u32) {
        self.0.store(pack(micros, now), Ordering::Relaxed);
    }

    /// Returns the expected latency in microseconds at `now`, in milliseconds.
    pub(super) fn expected(&self, now: u32) -> f32 {
        let (micros, at) = unpack(self.0.load(Ordering::Relaxed));
        micros * decay(now.wrapping_sub(at))
    }

    /// Counts an answer that took `took`.
    pub(super) fn answered(&self, took: Duration, now: u32) {
        let took = micros(took);
        self.update(now, |expected, decay| took.max(expected * decay + took * (1.0 - decay)));
    }

    /// Counts an answer that says nothing good: it may raise the expectation, and never lowers it.
    pub(super) fn answered_badly(&self, took: Duration, now: u32) {
        let took = micros(took);
        self.update(now, |expected, _| took.max(expected));
    }

    /// Counts an attempt without an answer: it doubles the expectation.
    pub(super) fn failed(&self, now: u32) {
        self.update(now, |expected, _| (expected.max(UNKNOWN) * 2.0).min(MOST_AFTER_FAILURE));
    }

    /// Two updates at a time may lose one: the next makes up for it.
    fn update(&self, now: u32, next: impl FnOnce(f32, f32) -> f32) {
        let (micros, at) = unpack(self.0.load(Ordering::Relaxed));
        self.0.store(pack(next(micros, decay(now.wrapping_sub(at))), now), Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> f32 {
    time.as_secs_f32() * 1_000_000.0
}

/// Returns exp(-passed / DECAY), with an error below 0.1 %.
fn decay(passed: u32) -> f32 {
    let passed = passed.min(STEP * ENTRIES as u32);
    let (index, rest) = ((passed / STEP) as usize, passed % STEP);
    DECAYS[index] + (DECAYS[index + 1] - DECAYS[index]) * (rest as f32 / STEP as f32)
}

const fn decays() -> [f32; ENTRIES + 2] {
    // exp(-1/16).
    let step = 0.939_413_062_813_475_8_f64;
    let (mut table, mut value, mut index) = ([0.0; ENTRIES + 2], 1.0, 0);
    while index < ENTRIES {
        table[index] = value as f32;
        value *= step;
        index += 1;
    }
    table
}

fn pack(micros: f32, at: u32) -> u64 {
    (u64::from(micros.to_bits()) << 32) | u64::from(at)
}

fn unpack(packed: u64) -> (f32, u32) {
    (f32::from_bits((packed >> 32) as u32), packed as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn decay_is_exponential() {
        for passed in (0..90_000).step_by(77) {
            let exact = (-f64::from(passed) / f64::from(DECAY)).exp();
            assert!((f64::from(decay(passed)) - exact).abs() < 0.001, "{passed}");
        }
        assert_eq!(decay(u32::MAX), 0.0);
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_decays() {
        let load = Load::new();
        load.answered(ms(1), 100_000);
        load.answered(ms(500), 100_000);
        assert!((load.expected(100_000) - 500_000.0).abs() < 1.0);
        load.answered(ms(1), 110_000);
        assert!((load.expected(110_000) - 184_571.0).abs() < 500.0);
        assert!(load.expected(140_000) < 10_000.0);
    }

    #[test]
    fn failures_never_lower_the_expectation() {
        let load = Load::new();
        load.answered(ms(100), 200_000);
        load.answered_badly(ms(1), 201_000);
        assert!(load.expected(201_000) > 90_000.0);
        let before = load.expected(201_000);
        load.failed(201_000);
        assert!(load.expected(201_000) >= 2.0 * before);
        (0..100).for_each(|_| load.failed(201_000));
        assert!(load.expected(201_000) <= MOST_AFTER_FAILURE);
    }
}
