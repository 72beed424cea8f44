//! How long an outlier is ejected: longer each time, and shorter again after good behaviour.

use std::time::Duration;

use tokio::time::Instant;

use super::random;
use super::settings::Outlier;

/// The ejections of an address.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ejections {
    /// The end of the running one.
    until: Option<Instant>,
    /// How many there were in a row.
    times: u32,
    /// The end of the last one.
    ended: Option<Instant>,
}

impl Ejections {
    /// Creates the state of an address that is ejected for `left`, for the `times`-th time in a row.
    pub(super) fn restored(left: Option<Duration>, times: u32, now: Instant) -> Self {
        Self { until: left.map(|left| now + left), times, ended: Some(now) }
    }

    /// Begins an ejection. Returns how long it lasts.
    pub(super) fn begin(&mut self, outlier: &Outlier, now: Instant) -> Duration {
        self.times = self.times_at(outlier, now).saturating_add(1);
        let longest = outlier.base.max(outlier.max);
        let length = outlier.base.saturating_mul(self.times).min(longest);
        let jitter = length.mul_f64(f64::from(outlier.jitter) / 100.0 * random_share());
        self.until = Some(now + length + jitter);
        length + jitter
    }

    /// Ends the running ejection at its time. Returns whether it ended.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let ended = self.until.is_some_and(|until| until <= now);
        if ended {
            self.end(now);
        }
        ended
    }

    /// Ends the running ejection.
    pub(super) fn end(&mut self, now: Instant) {
        if self.until.take().is_some() {
            self.ended = Some(now);
        }
    }

    /// The end of the running ejection.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// How many there were in a row.
    pub(super) fn times(&self) -> u32 {
        self.times
    }

    /// Each window of good behaviour takes one off.
    fn times_at(&self, outlier: &Outlier, now: Instant) -> u32 {
        let Some(ended) = self.ended else { return self.times };
        let good = now.saturating_duration_since(ended).as_secs_f64();
        let windows = good / outlier.window.as_secs_f64().max(0.001);
        self.times.saturating_sub(windows as u32)
    }
}

fn random_share() -> f64 {
    random::below(1 << 20) as f64 / f64::from(1_u32 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlier() -> Outlier {
        Outlier { jitter: 0, ..Outlier::default() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_ejection_in_a_row_is_longer_up_to_the_most() {
        let (mut ejections, mut now) = (Ejections::default(), Instant::now());
        let mut lengths = Vec::new();
        for _ in 0..12 {
            let length = ejections.begin(&outlier(), now);
            lengths.push(length.as_secs());
            now += length;
            assert!(ejections.expire(now));
        }
        assert_eq!(lengths, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
    }

    #[test]
    fn good_behaviour_shortens_the_next_one() {
        let (mut ejections, mut now) = (Ejections::default(), Instant::now());
        for _ in 0..3 {
            now += ejections.begin(&outlier(), now);
            ejections.expire(now);
        }
        assert_eq!(ejections.begin(&outlier(), now + seconds(20)), seconds(60));
        ejections.end(now + seconds(30));
        assert_eq!(ejections.begin(&outlier(), now + seconds(86_400)), seconds(30));
    }

    #[test]
    fn jitter_only_prolongs() {
        let jittery = Outlier { jitter: 10, ..outlier() };
        for _ in 0..100 {
            let length = Ejections::default().begin(&jittery, Instant::now());
            assert!((seconds(30)..=seconds(33)).contains(&length), "{length:?}");
        }
    }

    #[test]
    fn an_ejection_does_not_end_early() {
        let (mut ejections, now) = (Ejections::default(), Instant::now());
        ejections.begin(&outlier(), now);
        assert!(!ejections.expire(now + seconds(29)));
        assert!(ejections.expire(now + seconds(30)));
        assert!(!ejections.expire(now + seconds(31)));
    }
}
