//! The task that begins look-ups when they are due, and ends the use of old addresses.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::LOOK_UPS;
use super::look_up::{Found, LookUp, LookUpError};
use super::registry::Registry;
use super::watched::{Flight, Watched};
use crate::metrics::DnsMetrics;

/// Interval of the gauges.
const SURVEY: Duration = Duration::from_secs(5);
/// The time of no event.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// The task of all look-ups. It must run on a runtime that lives as long as the names are used.
#[derive(Debug)]
pub struct Driver {
    registry: Arc<Registry>,
    flights: mpsc::UnboundedReceiver<Flight>,
    events: BinaryHeap<Reverse<Event>>,
    /// The number of events so far.
    numbered: u64,
    tasks: JoinSet<Weak<Watched>>,
    terms: FlightTerms,
    stop: CancellationToken,
}

/// What each look-up needs.
#[derive(Clone, Debug)]
struct FlightTerms {
    looks_up: Arc<dyn LookUp>,
    timeout: Duration,
    metrics: DnsMetrics,
    /// Places for look-ups of requests.
    requests: Arc<Semaphore>,
    /// Places for look-ups of watched names.
    watched: Arc<Semaphore>,
}

/// Something that may be due for a name.
#[derive(Debug)]
struct Event {
    at: Instant,
    /// Orders events of the same time.
    number: u64,
    watched: Weak<Watched>,
}

impl Driver {
    pub(super) fn new(
        registry: Arc<Registry>,
        looks_up: Arc<dyn LookUp>,
        flights: mpsc::UnboundedReceiver<Flight>,
        timeout: Duration,
        metrics: DnsMetrics,
        stop: CancellationToken,
    ) -> Self {
        let places = || Arc::new(Semaphore::new(LOOK_UPS));
        let terms = FlightTerms { looks_up, timeout, metrics, requests: places(), watched: places() };
        let (events, tasks) = (BinaryHeap::new(), JoinSet::new());
        Self { registry, flights, events, numbered: 0, tasks, terms, stop }
    }

    /// Looks names up until [`Names`](super::Names) is dropped.
    pub async fn run(mut self) {
        let mut survey = interval(SURVEY);
        survey.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = self.events.peek().map_or_else(|| Instant::now() + NEVER, |Reverse(event)| event.at);
            tokio::select! {
                () = self.stop.cancelled() => return,
                Some(flight) = self.flights.recv() => self.look_up(flight),
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                () = sleep_until(next) => self.turn(Instant::now()),
                now = survey.tick() => self.survey(now),
            }
        }
    }

    fn look_up(&mut self, flight: Flight) {
        let terms = self.terms.clone();
        // Its addresses may expire before it ends.
        self.schedule(&flight.watched, Instant::now());
        self.tasks.spawn(async move {
            let watched = flight.watched.clone();
            let changed = terms.look_up(flight).await;
            if changed {
                watched.notify();
            }
            Arc::downgrade(&watched)
        });
    }

    fn ended(&mut self, ended: Result<Weak<Watched>, JoinError>) {
        match ended {
            Ok(watched) => {
                if let Some(watched) = watched.upgrade() {
                    self.schedule(&watched, Instant::now());
                }
            }
            // Look-ups and followers that panic are caught within the task.
            Err(error) => error!("a look-up has ended early: {error}"),
        }
    }

    fn schedule(&mut self, watched: &Arc<Watched>, now: Instant) {
        if let Some(at) = watched.next_event(now) {
            self.numbered += 1;
            self.events.push(Reverse(Event { at, number: self.numbered, watched: Arc::downgrade(watched) }));
        }
    }

    /// Handles all events that are due.
    fn turn(&mut self, now: Instant) {
        while let Some(Reverse(event)) = self.events.peek() {
            if event.at > now {
                break;
            }
            let Some(Reverse(event)) = self.events.pop() else { break };
            let Some(watched) = event.watched.upgrade().filter(|watched| watched.is_event(event.at)) else {
                continue;
            };
            self.event(&watched, now);
        }
    }

    fn event(&mut self, watched: &Arc<Watched>, now: Instant) {
        if watched.expire(now) {
            warn!(name = &*watched.query().host, "the last good addresses of this name are too old");
            let watched = watched.clone();
            self.tasks.spawn(async move {
                watched.notify();
                Weak::new()
            });
        }
        if watched.is_due(now)
            && let Ok(flight) = watched.begin()
        {
            return self.look_up(flight);
        }
        if watched.is_forgettable(now) {
            return self.registry.forget(watched, now);
        }
        self.schedule(watched, now);
    }

    fn survey(&self, now: Instant) {
        let conditions = self.registry.survey(now);
        let failing = conditions.iter().filter(|condition| condition.is_failing).count();
        let oldest = conditions.iter().filter_map(|condition| condition.age).max().unwrap_or_default();
        let metrics = &self.terms.metrics;
        metrics.names.set(conditions.len().try_into().unwrap_or(i64::MAX));
        metrics.failing.set(failing.try_into().unwrap_or(i64::MAX));
        metrics.oldest.set(oldest.as_secs().try_into().unwrap_or(i64::MAX));
    }
}

impl FlightTerms {
    /// Looks a name up, records the result, and returns whether it has changed.
    async fn look_up(&self, flight: Flight) -> bool {
        let (watched, query) = (&flight.watched, flight.watched.query());
        let found = self.find(watched).await;
        let result = found.as_ref().map_or_else(LookUpError::label, |_| "found");
        self.metrics.look_ups.with_label_values(&[result]).inc();
        let failure = found.as_ref().err().map(ToString::to_string);
        let was_failing = watched.current().error.is_some();
        let changed = watched.note(found, Instant::now());
        match failure {
            Some(error) if changed => {
                warn!(name = &*query.host, "cannot resolve an upstream's name: {error}")
            }
            None if was_failing => info!(name = &*query.host, "an upstream's name is resolved again"),
            _ => {}
        }
        changed
    }

    /// A request's look-up has its deadline from the start, so that names without an answer do not delay the
    /// requests for others. One of a watched name has it once it has a place: nothing waits, and thousands may
    /// begin at the same time.
    async fn find(&self, watched: &Watched) -> Result<Found, LookUpError> {
        let look_up = AssertUnwindSafe(self.looks_up.look_up(watched.query())).catch_unwind();
        let found = if watched.usage().is_some() {
            timeout(self.timeout, async {
                let _place = self.requests.acquire().await;
                look_up.await
            })
            .await
        } else {
            let _place = self.watched.acquire().await;
            timeout(self.timeout, look_up).await
        };
        match found {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(LookUpError::Failed("the look-up has panicked".to_owned())),
            Err(_) => Err(LookUpError::Timeout(self.timeout)),
        }
    }
}

impl Event {
    fn order(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}
