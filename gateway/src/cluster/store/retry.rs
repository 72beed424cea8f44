//! Decides when a failed operation is tried again.

use std::time::Duration;

use tokio::time::Instant;

/// The delay after a failure; doubled after each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// The failures of one operation since it last succeeded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry(Option<Failed>);

#[derive(Clone, Copy, Debug)]
struct Failed {
    again: Instant,
    delay: Duration,
}

impl Retry {
    /// Notes a failure.
    pub(super) fn fail(&mut self, now: Instant) {
        let delay = self.0.map_or(FIRST_RETRY, |failed| (failed.delay * 2).min(LONGEST_RETRY));
        self.0 = Some(Failed { again: now + delay, delay });
    }

    /// Notes a success.
    pub(super) const fn clear(&mut self) {
        self.0 = None;
    }

    /// Whether it has failed since its last success.
    pub(super) const fn has_failed(self) -> bool {
        self.0.is_some()
    }

    /// When it may be tried; `None`: at once.
    pub(super) fn waits_until(self, now: Instant) -> Option<Instant> {
        self.0.map(|failed| failed.again).filter(|again| now < *again)
    }

    /// Whether it may be tried.
    pub(super) fn is_due(self, now: Instant) -> bool {
        self.waits_until(now).is_none()
    }
}
