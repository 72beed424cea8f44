//! What is known about one name: its endpoints, how long they may be used, and when the next look-up is due.
//! No sockets and no clock: every time is an argument.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Answer, Endpoint, RecordKind, Times};
use super::look_up::{Found, LookUpError, Missing};
use super::query::DnsTerms;
use super::{ERROR_TTL, MAX_RETRY_DELAY};

/// The shortest time between two look-ups, whatever the terms.
const FLOOR: Duration = Duration::from_millis(100);
/// The next look-up after one that left names of `SRV` records without addresses.
const MISSING_TTL: Duration = Duration::from_secs(5);
/// The longest random delay of a look-up: they must not all come at the same time.
const MAX_SPREAD: Duration = Duration::from_secs(5);

/// The state of a name.
#[derive(Debug)]
pub(super) struct Memory {
    terms: DnsTerms,
    endpoints: Arc<[Endpoint]>,
    kind: RecordKind,
    error: Option<Box<str>>,
    since: Instant,
    /// The end of the TTL of the last good answer.
    expires: Instant,
    /// The end of the endpoints' use; `None`: there are none.
    usable_until: Option<Instant>,
    /// When the next look-up is due.
    due: Instant,
    /// When a request may begin one.
    retry: Option<Instant>,
    /// Failed look-ups in a row.
    failures: u32,
    /// Since when endpoints of earlier answers are used for names of `SRV` records that fail.
    carried_since: Option<Instant>,
}

impl Memory {
    pub(super) fn new(terms: DnsTerms, now: Instant) -> Self {
        Self {
            terms,
            endpoints: Arc::new([]),
            kind: RecordKind::None,
            error: None,
            since: now,
            expires: now,
            usable_until: None,
            due: now,
            retry: None,
            failures: 0,
            carried_since: None,
        }
    }

    /// Records the result of a look-up that ends now, and returns whether endpoints or error have changed.
    /// `spread` (0 to 1) is a random number that delays the next look-up.
    pub(super) fn note(&mut self, found: Result<Found, LookUpError>, now: Instant, spread: f64) -> bool {
        match found.and_then(|found| self.with_carried(found, now)) {
            Ok(found) => self.succeed(found, now, spread),
            Err(error) => self.fail(&error, now, spread),
        }
    }

    /// Ends the use of endpoints that may no longer be used, and returns whether there were any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let has_expired = self.usable_until.is_some_and(|end| end <= now);
        if has_expired {
            self.endpoints = Arc::new([]);
            (self.kind, self.usable_until, self.since) = (RecordKind::None, None, now);
        }
        has_expired
    }

    /// When the next look-up is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The end of the endpoints' use; `None`: there are none.
    pub(super) fn usable_until(&self) -> Option<Instant> {
        self.usable_until
    }

    /// Whether the last look-up failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// How long ago the TTL of the endpoints has passed; `None`: it has not, or there are none.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.usable_until?;
        now.checked_duration_since(self.expires)
    }

    /// What readers see.
    pub(super) fn answer(&self) -> Answer {
        let due = self.retry.is_some().then_some(self.due);
        let times = Times { due, retry: self.retry, usable_until: self.usable_until };
        Answer::new(self.endpoints.clone(), self.kind, self.error.clone(), self.since, times)
    }

    fn succeed(&mut self, found: Found, now: Instant, spread: f64) -> bool {
        let mut endpoints = found.endpoints;
        // Name servers rotate them: an order of our own shows whether they have changed.
        endpoints.sort_unstable();
        endpoints.dedup_by(|one, other| one.address == other.address && one.port == other.port);
        let changed = *endpoints != *self.endpoints || found.kind != self.kind || self.error.is_some();
        if changed {
            (self.endpoints, self.kind, self.error) = (endpoints.into(), found.kind, None);
            self.since = now;
        }
        let ttl = found.ttl.min(self.terms.max_ttl).max(self.terms.min_ttl).max(FLOOR);
        self.expires = now + ttl;
        self.usable_until = Some(self.expires + self.terms.stale);
        self.failures = 0;
        self.schedule(ttl, now, spread);
        changed
    }

    fn fail(&mut self, error: &LookUpError, now: Instant, spread: f64) -> bool {
        if error.is_negative() {
            let end = now + self.terms.nx_grace;
            self.usable_until = self.usable_until.map(|before| before.min(end));
        }
        let text = error.to_string();
        let changed = self.expire(now) || self.error.as_deref() != Some(&text);
        if changed {
            (self.error, self.since) = (Some(text.into()), now);
        }
        let delay = ERROR_TTL * (1 << self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        self.schedule(delay.min(MAX_RETRY_DELAY), now, spread);
        changed
    }

    fn schedule(&mut self, delay: Duration, now: Instant, spread: f64) {
        self.due = now + delay + (delay / 20).min(MAX_SPREAD).mul_f64(spread.clamp(0.0, 1.0));
        self.retry = Some(now + ERROR_TTL);
    }

    /// Adds earlier endpoints for the names that failed, for at most the time that stale answers are used.
    fn with_carried(&mut self, mut found: Found, now: Instant) -> Result<Found, LookUpError> {
        let missing = std::mem::take(&mut found.missing);
        let Some(error) = missing.first().map(|missing| missing.error.clone()) else {
            self.carried_since = None;
            return if found.endpoints.is_empty() { Err(LookUpError::Empty) } else { Ok(found) };
        };
        let since = *self.carried_since.get_or_insert(now);
        if now.duration_since(since) < self.terms.stale {
            let known = &self.endpoints;
            found.endpoints.extend(missing.iter().flat_map(|missing| carried(known, missing)));
        }
        found.ttl = found.ttl.min(MISSING_TTL);
        if found.endpoints.is_empty() { Err(error) } else { Ok(found) }
    }
}

fn carried<'a>(known: &'a [Endpoint], missing: &'a Missing) -> impl Iterator<Item = Endpoint> + 'a {
    let of_name = |endpoint: &&Endpoint| {
        endpoint.name.as_deref() == Some(&missing.name) && endpoint.port == missing.port
    };
    known.iter().filter(of_name).map(|endpoint| Endpoint { weight: missing.weight, ..endpoint.clone() })
}

#[cfg(test)]
mod tests;
