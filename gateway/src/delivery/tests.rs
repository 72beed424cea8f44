//! Tests queues under a paused clock, with a scripted collector.

mod sockets;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::collector::Delivering;
use super::sender::Sending;
use super::*;
use crate::metrics::{DeliveryMetrics, DropReason};
use crate::outbound::Outbound;

const PLUGIN: &str = "http-log";
const KEY: QueueKey = QueueKey { plugin: Uuid::from_u128(1), configuration: 1 };
const SECOND: Duration = Duration::from_secs(1);

/// A batch that came, and when, in milliseconds.
type Came = (u128, Vec<String>);

/// A collector that fails a number of times, and takes its time.
#[derive(Debug)]
struct Scripted {
    begun: Instant,
    came: Mutex<Vec<Came>>,
    failures: Mutex<usize>,
    takes: Duration,
}

impl Scripted {
    fn new(failures: usize, takes: Duration) -> Arc<Self> {
        let (came, failures) = (Mutex::default(), Mutex::new(failures));
        Arc::new(Self { begun: Instant::now(), came, failures, takes })
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().clone()
    }

    fn texts(&self) -> Vec<String> {
        self.came().into_iter().flat_map(|(_, batch)| batch).collect()
    }
}

impl Collector for Scripted {
    fn plugin(&self) -> &'static str {
        PLUGIN
    }

    fn deliver<'a>(&'a self, _: Uuid, batch: &'a [Bytes], _: &'a Outbound) -> Delivering<'a> {
        Box::pin(async move {
            let texts = batch.iter().map(|entry| String::from_utf8(entry.to_vec()).unwrap()).collect();
            self.came.lock().push((self.begun.elapsed().as_millis(), texts));
            sleep(self.takes).await;
            let mut failures = self.failures.lock();
            if *failures > 0 {
                *failures -= 1;
                return Err(DeliveryFailure::Status(404));
            }
            Ok(())
        })
    }
}

/// The queues of a test, with the task that sends.
struct Stage {
    queues: Arc<Queues>,
    metrics: DeliveryMetrics,
    stopping: CancellationToken,
    sender: JoinSet<()>,
    _names: JoinSet<()>,
}

impl Stage {
    fn new() -> Self {
        Self::within(256 << 20)
    }

    /// With so many bytes for all entries.
    fn within(most_bytes: usize) -> Self {
        let metrics = DeliveryMetrics::new(&Registry::new()).unwrap();
        let queues = Queues::within(most_bytes, metrics.clone());
        let (outbound, names) = crate::outbound::tests::client(8);
        let stopping = CancellationToken::new();
        let outbound = Arc::new(outbound);
        let sending = Sending { queues: queues.clone(), outbound, stopping: stopping.clone() };
        let mut sender = JoinSet::new();
        sender.spawn(thread::run(sending));
        Self { queues, metrics, stopping, sender, _names: names }
    }

    fn push(&self, terms: &QueueTerms, collector: &Arc<Scripted>, entry: &str) {
        self.push_to(KEY, terms, collector, entry);
    }

    fn push_to(&self, key: QueueKey, terms: &QueueTerms, collector: &Arc<Scripted>, entry: &str) {
        let collector: Arc<dyn Collector> = collector.clone();
        self.queues.push(key, terms, &collector, Bytes::from(entry.to_owned()));
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.metrics.dropped(PLUGIN, reason).get()
    }

    fn sent(&self) -> u64 {
        self.metrics.sent(PLUGIN).get()
    }
}

#[tokio::test(start_paused = true)]
async fn batch_goes_when_it_is_full_or_its_time_is_up() {
    let (stage, collector) = (Stage::new(), Scripted::new(0, Duration::ZERO));
    let terms = QueueTerms { batch: 3, ..QueueTerms::default() };
    for entry in ["a", "b"] {
        stage.push(&terms, &collector, entry);
    }
    sleep(2 * SECOND).await;
    for entry in ["c", "d", "e", "f"] {
        stage.push(&terms, &collector, entry);
    }
    sleep(5 * SECOND).await;
    let came = collector.came();
    let expected: [(u128, &[&str]); 3] = [(1000, &["a", "b"]), (2000, &["c", "d", "e"]), (3000, &["f"])];
    assert_eq!(came.len(), expected.len(), "{came:?}");
    for ((at, batch), (expected_at, expected)) in came.iter().zip(expected) {
        assert!(at.abs_diff(expected_at) <= 3 && batch == expected, "{came:?}");
    }
    assert_eq!(stage.sent(), 6);
}

#[tokio::test(start_paused = true)]
async fn batch_of_one_goes_at_once() {
    let (stage, collector) = (Stage::new(), Scripted::new(0, Duration::ZERO));
    for entry in ["a", "b"] {
        stage.push(&QueueTerms::default(), &collector, entry);
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(collector.came().into_iter().map(|(_, batch)| batch).collect::<Vec<_>>(), [["a"], ["b"]]);
}

#[tokio::test(start_paused = true)]
async fn failed_batch_is_tried_again_with_growing_delays_until_its_time_is_up() {
    let (stage, collector) = (Stage::new(), Scripted::new(usize::MAX, Duration::ZERO));
    let terms = QueueTerms { first_delay: SECOND, longest_delay: 4 * SECOND, ..QueueTerms::default() };
    stage.push(&terms, &collector, "a");
    sleep(3600 * SECOND).await;
    let seconds: Vec<_> = collector.came().iter().map(|(at, _)| (at + 20) / 1000).collect();
    assert_eq!(seconds[..6], [0, 1, 3, 7, 11, 15]);
    assert!((59..=63).contains(seconds.last().unwrap()), "{seconds:?}");
    assert_eq!((stage.dropped(DropReason::Failed), stage.sent()), (1, 0));

    let once = QueueTerms { retry_time: None, ..terms };
    let collector = Scripted::new(usize::MAX, Duration::ZERO);
    stage.push(&once, &collector, "b");
    sleep(SECOND).await;
    assert_eq!((collector.came().len(), stage.dropped(DropReason::Failed)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn collector_that_recovers_gets_the_batch() {
    let (stage, collector) = (Stage::new(), Scripted::new(5, Duration::ZERO));
    stage.push(&QueueTerms::default(), &collector, "a");
    sleep(10 * SECOND).await;
    assert_eq!((collector.came().len(), stage.sent(), stage.dropped(DropReason::Failed)), (6, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn oldest_entries_of_a_full_queue_are_dropped() {
    let stage = Stage::new();
    for terms in
        [QueueTerms { entries: 3, ..QueueTerms::default() }, QueueTerms { bytes: 3, ..QueueTerms::default() }]
    {
        let collector = Scripted::new(0, SECOND);
        let before = stage.dropped(DropReason::Full);
        stage.push(&terms, &collector, "0");
        // The first one is on its way, and takes no place.
        sleep(Duration::from_millis(10)).await;
        for entry in ["1", "2", "3", "4", "5"] {
            stage.push(&terms, &collector, entry);
        }
        sleep(3600 * SECOND).await;
        assert_eq!(collector.texts(), ["0", "3", "4", "5"]);
        assert_eq!(stage.dropped(DropReason::Full) - before, 2);
    }
    let (terms, collector) = (QueueTerms { entry: 3, ..QueueTerms::default() }, Scripted::new(0, SECOND));
    stage.push(&terms, &collector, "long");
    assert_eq!(stage.dropped(DropReason::TooLarge), 1);
}

/// Collectors that take nothing leave memory for the others, and lose their own oldest entries.
#[tokio::test(start_paused = true)]
async fn memory_is_shared_among_queues() {
    let stage = Stage::within(100_000);
    let dead = Scripted::new(0, 3600 * SECOND);
    let entry = |number: usize| format!("{number:0>400}");
    for number in 0..500 {
        for plugin in 1..=4 {
            let key = QueueKey { plugin: Uuid::from_u128(plugin), configuration: 1 };
            stage.push_to(key, &QueueTerms::default(), &dead, &entry(number));
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(stage.dropped(DropReason::Memory) > 1500);
    let (key, alive) = (QueueKey { plugin: Uuid::from_u128(5), configuration: 1 }, Scripted::new(0, SECOND));
    for number in 0..20 {
        stage.push_to(key, &QueueTerms::default(), &alive, &entry(number));
    }
    sleep(60 * SECOND).await;
    assert_eq!(alive.texts(), (0..20).map(entry).collect::<Vec<_>>());
    // Of those that wait, the newest are kept.
    sleep(4 * 3600 * SECOND).await;
    assert_eq!(dead.texts().iter().filter(|text| **text == entry(0)).count(), 4);
    sleep(1000 * 3600 * SECOND).await;
    assert_eq!(dead.texts().iter().filter(|text| **text == entry(499)).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn batches_are_sent_at_a_time_as_the_concurrency_says() {
    for (concurrency, ends) in [(1, vec![0, 1000, 2000, 3000]), (4, vec![0, 0, 0, 0])] {
        let (stage, collector) = (Stage::new(), Scripted::new(0, SECOND));
        let terms = QueueTerms { concurrency, ..QueueTerms::default() };
        for entry in ["a", "b", "c", "d"] {
            stage.push(&terms, &collector, entry);
        }
        sleep(10 * SECOND).await;
        let began: Vec<_> = collector.came().iter().map(|(at, _)| at / 100 * 100).collect();
        assert_eq!(began, ends, "{concurrency}");
    }
}

#[tokio::test(start_paused = true)]
async fn queue_without_entries_ends_and_takes_entries_again() {
    let (stage, collector) = (Stage::new(), Scripted::new(0, Duration::ZERO));
    for round in 1..=3 {
        stage.push(&QueueTerms::default(), &collector, "a");
        assert_eq!(stage.queues.len(), 1);
        sleep(3600 * SECOND).await;
        assert_eq!((stage.queues.len(), stage.queues.bytes()), (0, 0));
        assert_eq!(collector.came().len(), round);
    }
}

#[tokio::test(start_paused = true)]
async fn same_configuration_finds_its_queue_and_its_first_collector() {
    let stage = Stage::new();
    let [first, second] = [(); 2].map(|()| Scripted::new(0, Duration::ZERO));
    stage.push(&QueueTerms::default(), &first, "a");
    stage.push(&QueueTerms::default(), &second, "b");
    sleep(SECOND).await;
    assert_eq!((first.came().len(), second.came().len()), (2, 0));
    let [one, same, other] = [(1, "a"), (1, "a"), (1, "b")]
        .map(|(plugin, text)| QueueKey::new(Uuid::from_u128(plugin), text.as_bytes()));
    assert!(one == same && one != other);
}

#[tokio::test(start_paused = true)]
async fn collector_that_is_away_for_days_costs_bounded_memory() {
    let (stage, collector) = (Stage::new(), Scripted::new(usize::MAX, Duration::from_secs(10)));
    let terms = QueueTerms { entries: 100, ..QueueTerms::default() };
    let entry = "x".repeat(1000);
    for _ in 0..3 * 24 * 60 {
        stage.push(&terms, &collector, &entry);
        sleep(60 * SECOND).await;
        assert!(stage.queues.bytes() < 102 * 1200);
    }
    let (full, failed) = (stage.dropped(DropReason::Full), stage.dropped(DropReason::Failed));
    assert!(failed > 3000 && full + failed <= 3 * 24 * 60, "{full} {failed}");
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_left_are_sent_at_the_end() {
    let (mut stage, collector) = (Stage::new(), Scripted::new(0, SECOND));
    let terms = QueueTerms { batch: 2, delay: 3600 * SECOND, ..QueueTerms::default() };
    for entry in ["a", "b", "c"] {
        stage.push(&terms, &collector, entry);
    }
    sleep(SECOND / 2).await;
    stage.stopping.cancel();
    while stage.sender.join_next().await.is_some() {}
    assert_eq!((collector.texts(), stage.sent()), (vec!["a".into(), "b".into(), "c".into()], 3));
    stage.push(&terms, &collector, "d");
    assert_eq!(stage.dropped(DropReason::Stopped), 1);
}

#[tokio::test(start_paused = true)]
async fn collector_that_fails_at_the_end_is_tried_once_more() {
    let (mut stage, collector) = (Stage::new(), Scripted::new(usize::MAX, Duration::ZERO));
    let terms =
        QueueTerms { first_delay: 3600 * SECOND, longest_delay: 3600 * SECOND, ..QueueTerms::default() };
    stage.push(&terms, &collector, "a");
    sleep(SECOND).await;
    stage.stopping.cancel();
    while stage.sender.join_next().await.is_some() {}
    assert_eq!((collector.came().len(), stage.dropped(DropReason::Failed)), (2, 1));
}
