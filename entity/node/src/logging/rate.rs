//! Limits the warnings and errors from one place in the code, so that a fault of every request does not bury
//! everything else.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;
use tokio::time::Instant;
use tracing::{Event, Level, Metadata, Subscriber, callsite, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The most lines from one place within one [`WINDOW`].
const LINES: u32 = 100;
/// The time in which the lines of one place are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// Counts the warnings and errors of each place. The code has a bounded number of places.
#[derive(Debug)]
pub(super) struct RateLimiter {
    places: Mutex<HashMap<callsite::Identifier, Place>>,
    suppressed: IntCounter,
}

/// Drops lines beyond the limit, and calls the function when it begins to.
pub(super) struct RateLimit {
    pub(super) limiter: &'static RateLimiter,
    pub(super) on_first: fn(),
}

#[derive(Debug)]
struct Place {
    metadata: &'static Metadata<'static>,
    since: Instant,
    lines: u32,
    suppressed: u64,
}

impl RateLimiter {
    /// `suppressed` counts the lines beyond the limit.
    pub(super) fn new(suppressed: IntCounter) -> Self {
        Self { places: Mutex::default(), suppressed }
    }

    /// Returns whether one more line may come from this place.
    fn admit(&self, metadata: &'static Metadata<'static>, now: Instant) -> Admission {
        let mut places = self.places.lock();
        let place = places.entry(metadata.callsite()).or_insert_with(|| Place::new(metadata, now));
        // Suppressed lines are reported first; until then the window stays.
        if now.duration_since(place.since) >= WINDOW && place.suppressed == 0 {
            *place = Place::new(metadata, now);
        }
        if place.lines < LINES {
            place.lines += 1;
            return Admission::Admitted;
        }
        place.suppressed += 1;
        self.suppressed.inc();
        if place.suppressed == 1 { Admission::FirstSuppressed } else { Admission::Suppressed }
    }

    pub(super) fn has_suppressed(&self) -> bool {
        self.places.lock().values().any(|place| place.suppressed > 0)
    }

    /// Reports the lines suppressed in windows that have ended.
    pub(super) fn report(&self) {
        for (metadata, lines) in self.take_ended(Instant::now()) {
            let (file, line) = (metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default());
            warn!(lines, "{lines} more lines of the kind of {file}:{line} were left out");
        }
    }

    fn take_ended(&self, now: Instant) -> Vec<(&'static Metadata<'static>, u64)> {
        let mut places = self.places.lock();
        let ended = places
            .values_mut()
            .filter(|place| place.suppressed > 0 && now.duration_since(place.since) >= WINDOW);
        ended
            .map(|place| {
                let suppressed = place.suppressed;
                *place = Place::new(place.metadata, now);
                (place.metadata, suppressed)
            })
            .collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Admission {
    Admitted,
    FirstSuppressed,
    Suppressed,
}

impl<S: Subscriber> Layer<S> for RateLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // Lines of level info, such as an audit of writes, are never dropped.
        if *metadata.level() > Level::WARN {
            return true;
        }
        match self.limiter.admit(metadata, Instant::now()) {
            Admission::Admitted => true,
            Admission::Suppressed => false,
            Admission::FirstSuppressed => {
                (self.on_first)();
                false
            }
        }
    }
}

impl Place {
    fn new(metadata: &'static Metadata<'static>, now: Instant) -> Self {
        Self { metadata, since: now, lines: 0, suppressed: 0 }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn limiter() -> RateLimiter {
        RateLimiter::new(IntCounter::new("c", "c").unwrap())
    }

    /// The place of the last event that a subscriber saw.
    fn place() -> &'static Metadata<'static> {
        use std::sync::{Arc, OnceLock};
        struct Seen(Arc<OnceLock<&'static Metadata<'static>>>);
        impl<S: Subscriber> Layer<S> for Seen {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                self.0.set(event.metadata()).ok();
            }
        }
        let seen = Arc::new(OnceLock::new());
        let subscriber = tracing_subscriber::registry().with(Seen(seen.clone()));
        tracing::subscriber::with_default(subscriber, || warn!("here"));
        seen.get().unwrap()
    }

    #[test]
    fn a_flood_is_cut_and_counted_and_the_next_second_is_free() {
        let (limiter, place, start) = (limiter(), place(), Instant::now());
        for _ in 0..LINES {
            assert_eq!(limiter.admit(place, start), Admission::Admitted);
        }
        assert_eq!(limiter.admit(place, start), Admission::FirstSuppressed);
        assert_eq!(limiter.admit(place, start), Admission::Suppressed);
        assert!(limiter.has_suppressed());
        assert!(limiter.take_ended(start).is_empty(), "the second has not ended");
        let ended = limiter.take_ended(start + WINDOW);
        assert_eq!(ended.iter().map(|(_, lines)| *lines).collect::<Vec<_>>(), [2]);
        assert_eq!(limiter.suppressed.get(), 2);
        assert!(!limiter.has_suppressed());
        assert_eq!(limiter.admit(place, start + WINDOW), Admission::Admitted);
    }

    #[test]
    fn slow_lines_all_pass() {
        let (limiter, place, start) = (limiter(), place(), Instant::now());
        for number in 0..10 * LINES {
            let now = start + number * 2 * WINDOW / LINES;
            assert_eq!(limiter.admit(place, now), Admission::Admitted);
        }
    }
}
