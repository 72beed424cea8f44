//! Random numbers for choices, made per thread without a lock. They spread load, and protect nothing.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The odd number next to 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STATE: Cell<u64> = Cell::new(rand::random());
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// Returns 64 random bits.
pub(super) fn bits() -> u64 {
    STATE.with(|state| {
        let next = state.get().wrapping_add(GOLDEN);
        state.set(next);
        mix(next)
    })
}

/// Returns a number below `end`; 0 when `end` is 0.
pub(super) fn below(end: u64) -> u64 {
    ((u128::from(bits()) * u128::from(end)) >> 64) as u64
}

/// Returns `true` with a probability of `share`, from 0 to 1.
pub(super) fn chance(share: f32) -> bool {
    ((bits() >> 40) as f32) < share * (1 << 24) as f32
}

/// Returns the number of this thread, from 0.
pub(super) fn thread() -> usize {
    THREAD.with(|thread| *thread)
}

/// Scrambles a number, so that each bit depends on all bits (the last step of SplitMix64).
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// Makes another number of a key, for the next look into a table.
pub(super) fn rehash(key: u64) -> u64 {
    mix(key.wrapping_add(GOLDEN))
}
