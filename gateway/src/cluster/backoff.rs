//! The delay before the next attempt to connect: exponential, with full jitter.

use std::time::Duration;

/// Upper bound of the first delay.
const FIRST: Duration = Duration::from_millis(250);
/// Upper bound of every delay. A fleet of 1,000 reconnects within it, at 400 attempts a second meanwhile.
const MAX_DELAY: Duration = Duration::from_secs(5);
/// Upper bound for a node that every control plane rejects. Only an operator can change that, and a new
/// certificate is tried at once.
const FORBIDDEN: Duration = Duration::from_secs(30);
/// A connection that lasted this long makes the next delay a first one again.
const STABLE: Duration = Duration::from_secs(10);

/// Counts failures.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes that a connection ended after `lasted`, and returns how long to wait; `random` is in `0.0..1.0`.
    pub(super) fn after(&mut self, lasted: Duration, forbidden: bool, random: f64) -> Duration {
        if lasted >= STABLE {
            self.failures = 0;
        }
        let longest = if forbidden { FORBIDDEN } else { MAX_DELAY };
        let bound = FIRST.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_bound_and_starts_anew_after_a_stable_connection() {
        let mut backoff = Backoff::default();
        let bounds: Vec<_> = (0..40).map(|_| backoff.after(Duration::ZERO, false, 1.0)).collect();
        assert_eq!(bounds[0], FIRST);
        assert_eq!(bounds[1], FIRST * 2);
        assert_eq!(*bounds.last().unwrap(), MAX_DELAY);
        assert_eq!(backoff.after(Duration::ZERO, true, 1.0), FORBIDDEN);
        assert_eq!(backoff.after(Duration::ZERO, false, 0.0), Duration::ZERO);
        assert_eq!(backoff.after(STABLE, false, 1.0), FIRST);
    }
}
