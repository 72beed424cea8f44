//! The series of requests: by service and route, and below them by status and by consumer.

mod answers;
mod latency;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use uuid::Uuid;

use self::answers::{Answers, Sums};
use self::latency::Latency;
use super::Families;
use super::families::{Label, counter, family};
use crate::section::{KeyOf, Map};

/// Pairs of a service and a route with series of their own.
const MOST_PAIRS: usize = 1000;
/// Ids that lead to them. When there are more, all are looked up again by their names.
const MOST_KEYS: usize = 4 * MOST_PAIRS;
/// Consumers with series of their own, counted once for each pair.
const MOST_CONSUMERS: usize = 10_000;
/// The label of all others.
const OTHER: &str = "other";
const REQUESTS: &str = "kong_http_requests_total";
const BYTES: &str = "kong_bandwidth_bytes";
/// The names of the families.
pub(super) const NAMES: [&str; 5] =
    [REQUESTS, BYTES, latency::NAMES[0], latency::NAMES[1], latency::NAMES[2]];
/// The one workspace that there is.
const WORKSPACE: &str = "default";

/// A request, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The service: its id, and its name or else its host.
    pub service: Option<(Uuid, &'a str)>,
    /// The route: its id, and its name or else its id.
    pub route: (Uuid, &'a str),
    /// The consumer: its id, and its name.
    pub consumer: Option<(Uuid, &'a str)>,
    /// The status of the answer.
    pub status: u16,
    /// The source of the answer.
    pub source: Source,
    /// Bytes of the request.
    pub ingress: u64,
    /// Bytes of the answer.
    pub egress: u64,
    /// From the end of the request's header to the end of the answer.
    pub total: Duration,
    /// The time that the gateway has added.
    pub gateway: Duration,
    /// The time until the upstream has answered; `None` when no upstream was asked.
    pub upstream: Option<Duration>,
}

/// The source of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The service.
    Service,
    /// The gateway.
    Kong,
}

/// The series of all requests.
#[derive(Debug)]
pub(super) struct Series {
    pairs: ArcSwap<HashMap<(Uuid, Uuid), Arc<Pair>, RandomState>>,
    /// All others.
    other: Arc<Pair>,
    /// Whether there is no room for another pair.
    is_full: AtomicBool,
    consumers: AtomicUsize,
    /// Held to add a pair or a consumer.
    adding: Mutex<Vec<Arc<Pair>>>,
}

/// The series of a service and a route.
#[derive(Debug)]
struct Pair {
    service: Box<str>,
    route: Box<str>,
    /// Those without the name of a consumer.
    answers: Answers,
    consumers: ArcSwap<Map<Consumer, ConsumerId>>,
    latency: Latency,
}

/// The series of a consumer at a service and a route.
#[derive(Debug)]
struct Consumer {
    id: Uuid,
    name: Box<str>,
    answers: Answers,
}

/// Keys a map by consumers.
#[derive(Debug)]
struct ConsumerId;

impl KeyOf<Consumer> for ConsumerId {
    type Key = Uuid;

    fn key(value: &Consumer) -> &Uuid {
        &value.id
    }
}

impl Series {
    pub(super) fn count(&self, request: &Counted<'_>, families: Families) {
        let pair = self.pair(request);
        if families.latencies {
            pair.latency.observe(request);
        }
        if !families.statuses && !families.bytes {
            return;
        }
        let consumer = request.consumer.filter(|_| families.consumers);
        let consumer = consumer.map(|(id, name)| self.consumer(&pair, id, name));
        let answers = consumer.as_ref().map_or(&pair.answers, |consumer| &consumer.answers);
        if families.statuses {
            answers.count(request.status, request.source);
        }
        if families.bytes {
            answers.add_bytes(request.ingress, request.egress);
        }
    }

    /// The series of the request's service and route.
    fn pair(&self, request: &Counted<'_>) -> Arc<Pair> {
        let (route, route_name) = request.route;
        let (service, service_name) = request.service.unwrap_or_default();
        let fits = |pair: &Pair| *pair.service == *service_name && *pair.route == *route_name;
        let key = (service, route);
        if let Some(pair) = self.pairs.load().get(&key).filter(|pair| fits(pair)) {
            return pair.clone();
        }
        if self.is_full.load(Ordering::Relaxed) {
            return self.other.clone();
        }
        // The names of a service or a route have changed, or it is new. What was counted under others stays.
        let mut all = self.adding.lock();
        let pairs = self.pairs.load_full();
        if let Some(pair) = pairs.get(&key).filter(|pair| fits(pair)) {
            return pair.clone();
        }
        let known = all.iter().find(|pair| fits(pair)).cloned();
        if known.is_none() && all.len() >= MOST_PAIRS {
            self.is_full.store(true, Ordering::Relaxed);
            return self.other.clone();
        }
        let pair = known.unwrap_or_else(|| {
            let pair = Arc::new(Pair::new(service_name, route_name));
            all.push(pair.clone());
            pair
        });
        // Routes that are made again have new ids.
        let is_long = pairs.len() >= MOST_KEYS;
        let mut next = if is_long { HashMap::default() } else { HashMap::clone(&pairs) };
        next.insert(key, pair.clone());
        self.pairs.store(Arc::new(next));
        pair
    }

    /// The series of a consumer at a service and a route.
    fn consumer(&self, pair: &Pair, id: Uuid, name: &str) -> Arc<Consumer> {
        if let Some(consumer) = pair.consumer(&id, name) {
            return consumer;
        }
        let is_full = || self.consumers.load(Ordering::Relaxed) >= MOST_CONSUMERS;
        // All others have the id of none.
        let (id, name) = if is_full() { (Uuid::nil(), OTHER) } else { (id, name) };
        if let Some(consumer) = pair.consumer(&id, name) {
            return consumer;
        }
        let _adding = self.adding.lock();
        if let Some(consumer) = pair.consumer(&id, name) {
            return consumer;
        }
        self.consumers.fetch_add(1, Ordering::Relaxed);
        let consumer = Arc::new(Consumer { id, name: name.into(), answers: Answers::default() });
        let mut next = Map::clone(&pair.consumers.load());
        next.insert(consumer.clone());
        pair.consumers.store(Arc::new(next));
        consumer
    }

    /// The families, without those that nothing was counted in.
    pub(super) fn collect(&self) -> Vec<MetricFamily> {
        let mut pairs = self.adding.lock().clone();
        pairs.push(self.other.clone());
        let (mut requests, mut bytes) = (Vec::new(), Vec::new());
        for pair in &pairs {
            for (consumer, sums) in pair.sums() {
                for ((code, source), count) in &sums.codes {
                    let own = [("code", code.as_str()), ("source", source)];
                    requests.push(counter(&pair.labels(&own, &consumer), *count));
                }
                for (direction, count) in sums.directions() {
                    bytes.push(counter(&pair.labels(&[("direction", direction)], &consumer), count));
                }
            }
        }
        let counters = |name, help, metrics: Vec<Metric>| family(name, help, MetricType::COUNTER, metrics);
        let mut families = vec![
            counters(REQUESTS, "Requests by service, route, status, source and consumer", requests),
            counters(BYTES, "Bytes of requests (ingress) and answers (egress)", bytes),
        ];
        families.extend(latency::collect(pairs.iter().map(|pair| (pair.base_labels(), &pair.latency))));
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

impl Default for Series {
    fn default() -> Self {
        Self {
            pairs: ArcSwap::default(),
            other: Arc::new(Pair::new(OTHER, OTHER)),
            is_full: AtomicBool::new(false),
            consumers: AtomicUsize::new(0),
            adding: Mutex::default(),
        }
    }
}

impl Pair {
    fn new(service: &str, route: &str) -> Self {
        Self {
            service: service.into(),
            route: route.into(),
            answers: Answers::default(),
            consumers: ArcSwap::default(),
            latency: Latency::default(),
        }
    }

    /// The counts by the names of consumers, which may have belonged to several; "" without one.
    fn sums(&self) -> BTreeMap<Box<str>, Sums> {
        let mut sums: BTreeMap<Box<str>, Sums> = BTreeMap::new();
        self.answers.add_to(sums.entry("".into()).or_default());
        self.consumers.load().each(|consumer| {
            consumer.answers.add_to(sums.entry(consumer.name.clone()).or_default());
        });
        sums
    }

    fn consumer(&self, id: &Uuid, name: &str) -> Option<Arc<Consumer>> {
        self.consumers.load().get(id).filter(|consumer| *consumer.name == *name).cloned()
    }

    fn labels<'a>(&'a self, own: &[Label<'a>], consumer: &'a str) -> Vec<Label<'a>> {
        let mut labels = vec![("service", &*self.service), ("route", &*self.route)];
        labels.extend_from_slice(own);
        labels.extend([("workspace", WORKSPACE), ("consumer", consumer)]);
        labels
    }

    fn base_labels(&self) -> [Label<'_>; 3] {
        [("service", &self.service), ("route", &self.route), ("workspace", WORKSPACE)]
    }
}

#[cfg(test)]
mod tests;
