//! The updates that the publisher sends, and where they bring data planes.

use control::metrics::Metrics;
use control::publish::{Publisher, Settings};
use control::store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::{Mode, Position, Root};

use crate::store::{insert, service};

const WRITES: u128 = 300;

/// A control plane has just started, and memory holds nothing of the log. All data planes reconnect at once,
/// from different revisions, while writes continue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_planes_that_come_back_at_once_are_led_on_by_deltas() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("gibbon.sqlite").display());
    let store = Store::open(&url).await.unwrap();
    store.migrate(&url).await.unwrap();
    for n in 1..=WRITES {
        insert(&store, &service(n, &n.to_string())).await.unwrap();
    }
    store.trim_log(10).await.unwrap();
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let publisher =
        Publisher::start(store.clone(), metrics.cluster.clone(), Settings::default()).await.unwrap();
    let stop = CancellationToken::new();
    let (mut following, mut coming) = (JoinSet::new(), JoinSet::new());
    following.spawn(publisher.clone().follow(stop.clone()));
    let epoch = store.head().await.unwrap().epoch;
    for revision in 1..WRITES as u64 {
        let (publisher, held) = (publisher.clone(), Position { epoch, revision, root: Root::default() });
        coming.spawn(async move {
            let update = publisher.update_from(Some(held)).await.expect("it is behind");
            let expected = if revision < 10 { Mode::Snapshot } else { Mode::Delta };
            assert_eq!(update.header.mode, expected, "from {revision}");
            assert!(update.header.to >= WRITES as u64);
        });
    }
    for n in 1..=50 {
        insert(&store, &service(1000 + n, &(1000 + n).to_string())).await.unwrap();
    }
    while let Some(led) = coming.join_next().await {
        led.unwrap();
    }
    publisher.caught_up().await;
    assert_eq!(publisher.head().borrow().revision, WRITES as u64 + 50);
    stop.cancel();
    following.join_all().await;
}
