//! Paces the publication of a moving head: at once, as long as that is cheap.
//!
//! A push costs a control plane about 30 us for each data plane. The first changes of a burst go out as they
//! come. A burst that continues is coalesced, so that pushes take a bounded share of one processor, however
//! many data planes there are. With few data planes nothing is coalesced, and no change waits for longer than
//! [`MAX_INTERVAL`].

use std::time::Duration;

use tokio::time::Instant;

/// Pushes that go out at once in sequence.
const BURST: u32 = 4;
/// Interval between the pushes of a burst that continues, for each data plane.
const EACH: Duration = Duration::from_micros(100);
/// The maximum interval between pushes.
const MAX_INTERVAL: Duration = Duration::from_millis(200);

/// When the next push is due.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the whole burst is available again.
    rested: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { rested: now }
    }

    /// Returns when a push to this many data planes may begin.
    pub(super) fn due(&self, data_planes: usize) -> Instant {
        let debt = interval(data_planes) * (BURST - 1);
        self.rested.checked_sub(debt).unwrap_or(self.rested)
    }

    /// Notes the beginning of a push.
    pub(super) fn pushed(&mut self, now: Instant, data_planes: usize) {
        self.rested = self.rested.max(now) + interval(data_planes);
    }
}

fn interval(data_planes: usize) -> Duration {
    EACH.saturating_mul(u32::try_from(data_planes).unwrap_or(u32::MAX)).min(MAX_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates a change each millisecond for a second; returns when pushes go out, in milliseconds.
    fn pushes(data_planes: usize) -> Vec<u128> {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        let moments = (0..1000).map(|n| begun + Duration::from_millis(n));
        let pushed = moments.filter(|now| {
            let due = pace.due(data_planes) <= *now;
            if due {
                pace.pushed(*now, data_planes);
            }
            due
        });
        pushed.map(|now| (now - begun).as_millis()).collect()
    }

    #[test]
    fn few_data_planes_get_every_change_at_once() {
        assert_eq!(pushes(10).len(), 1000);
    }

    #[test]
    fn the_first_go_at_once_and_the_rest_of_a_burst_is_gathered() {
        let pushed = pushes(1000);
        assert_eq!(pushed[..4], [0, 1, 2, 3]);
        assert_eq!(pushed[4..7], [100, 200, 300]);
        assert_eq!(pushed.len(), 13);
    }

    #[test]
    fn no_change_waits_for_longer_than_the_longest() {
        let pushed = pushes(1_000_000);
        assert!(
            pushed[4..].windows(2).all(|pair| pair[1] - pair[0] == MAX_INTERVAL.as_millis()),
            "{pushed:?}"
        );
    }

    #[test]
    fn who_rests_has_the_whole_burst_again() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        for _ in 0..BURST {
            pace.pushed(begun, 1000);
        }
        assert!(pace.due(1000) > begun);
        let rested = begun + interval(1000) * BURST;
        for _ in 0..BURST {
            assert!(pace.due(1000) <= rested);
            pace.pushed(rested, 1000);
        }
        assert!(pace.due(1000) > rested);
    }
}
