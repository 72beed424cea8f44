//! Looks at the database, each at a time that the test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::{AdminState, Common, Entity, ForcedHealth, Target, Upstream};
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;
use crate::metrics::Metrics;
use crate::publish::Settings;
use crate::store::Draft;

/// When the tests begin, in seconds since 1970.
const BEGIN: i64 = 1_700_000_000;
const TARGET: Uuid = Uuid::from_u128(2);

struct Stage {
    _folder: TempDir,
    store: Store,
    publisher: Publisher,
    /// Seconds since the beginning.
    now: Arc<AtomicI64>,
    stop: CancellationToken,
    following: JoinSet<()>,
}

impl Stage {
    /// A database with a target, and a publisher that follows it.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/control.db?mode=rwc", folder.path().display());
        let store = Store::open(&url).await.unwrap();
        store.migrate(&url).await.unwrap();
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap().cluster;
        let publisher = Publisher::start(store.clone(), metrics, Settings::default()).await.unwrap();
        let stop = CancellationToken::new();
        let mut following = JoinSet::new();
        following.spawn(publisher.clone().follow(stop.clone()));
        let stage = Self { _folder: folder, store, publisher, now: Arc::default(), stop, following };
        let upstream = Upstream { name: "a".into(), ..Upstream::default() };
        stage.put(Uuid::from_u128(1), &upstream).await;
        let target = Target { upstream: Uuid::from_u128(1), target: "b:1".into(), ..Target::default() };
        stage.put(TARGET, &target).await;
        stage
    }

    fn expiry(&self) -> Expiry<impl Fn() -> i64 + use<>> {
        let now = Arc::clone(&self.now);
        let clock = move || (BEGIN + now.load(Ordering::SeqCst)) * 1000;
        Expiry::new(self.store.clone(), self.publisher.clone(), clock)
    }

    async fn put<E: Entity>(&self, id: Uuid, entity: &E) {
        let content = model::described(E::KIND).unwrap().content(&entity.canonical()).unwrap();
        let common = Common { id, created_at: 1, updated_at: 1, tags: None };
        let change = Change::Upsert(Draft::new(E::KIND, common, content));
        self.store.write(&Author::default(), vec![change]).await.unwrap();
        self.publisher.caught_up().await;
    }

    /// Looks at a time, and returns the seconds until the next look.
    async fn look_at(&self, seconds: i64) -> u64 {
        self.now.store(seconds, Ordering::SeqCst);
        let wait = self.expiry().look().await.unwrap();
        self.publisher.caught_up().await;
        wait.as_secs()
    }

    async fn has(&self, key: Key) -> bool {
        self.store.get(key.kind, &Selector::Id(key.id)).await.unwrap().is_some()
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.following.join_next().await.unwrap().unwrap();
    }
}

fn state(until: Option<i64>) -> TargetState {
    let until = until.map(|seconds| BEGIN + seconds);
    TargetState { target: TARGET, state: AdminState::Drain, until, ..TargetState::default() }
}

fn health(until: Option<i64>) -> TargetHealth {
    let until = until.map(|seconds| BEGIN + seconds);
    let set_at = Number::of_milliseconds(BEGIN * 1000);
    let health = ForcedHealth::Unhealthy;
    TargetHealth { target: TARGET, health, set_at, until, ..TargetHealth::default() }
}

#[tokio::test]
async fn state_ends_at_its_time_and_not_before() {
    let stage = Stage::new().await;
    let key = TargetState::key(TARGET);
    stage.put(TARGET, &state(Some(7200))).await;
    assert_eq!(stage.look_at(0).await, 60);
    assert_eq!(stage.look_at(7190).await, 10);
    assert!(stage.has(key).await);
    stage.look_at(7200).await;
    assert!(!stage.has(key).await && stage.has(Target::key(TARGET)).await);
    stage.put(TARGET, &state(None)).await;
    stage.look_at(100_000_000).await;
    assert!(stage.has(key).await);
    stage.end().await;
}

#[tokio::test]
async fn state_that_is_set_again_meanwhile_stays() {
    let stage = Stage::new().await;
    let key = TargetState::key(TARGET);
    stage.put(TARGET, &state(Some(200))).await;
    // The publisher is behind: it holds the state that ended at 100.
    stage.expiry().delete(&[key], (BEGIN + 100) * 1000).await.unwrap();
    assert!(stage.has(key).await);
    stage.expiry().delete(&[key], (BEGIN + 200) * 1000).await.unwrap();
    assert!(!stage.has(key).await);
    // Another control plane has deleted it.
    stage.expiry().delete(&[key], (BEGIN + 200) * 1000).await.unwrap();
    stage.end().await;
}

#[tokio::test]
async fn operations_on_health_end_by_their_pin_or_once_data_planes_have_them() {
    let stage = Stage::new().await;
    let (pinned, unpinned) = (Uuid::from_u128(3), Uuid::from_u128(4));
    stage.put(pinned, &health(Some(3600))).await;
    stage.put(unpinned, &health(None)).await;
    stage.look_at(KEPT - 1).await;
    assert!(stage.has(TargetHealth::key(unpinned)).await);
    stage.look_at(KEPT).await;
    assert!(!stage.has(TargetHealth::key(unpinned)).await);
    stage.look_at(3599).await;
    assert!(stage.has(TargetHealth::key(pinned)).await);
    stage.look_at(3600).await;
    assert!(!stage.has(TargetHealth::key(pinned)).await);
    stage.end().await;
}

#[tokio::test]
async fn expired_keys_are_deleted_and_others_stay() {
    let stage = Stage::new().await;
    let (consumer, short, for_ever) = (Uuid::from_u128(5), Uuid::from_u128(6), Uuid::from_u128(7));
    let alice = model::Consumer { username: Some("alice".into()), ..model::Consumer::default() };
    stage.put(consumer, &alice).await;
    let key = |end: Option<i64>| KeyAuthCredential {
        consumer,
        expires_at: end.map(|seconds| BEGIN + seconds),
        ..KeyAuthCredential::default()
    };
    stage.put(short, &key(Some(100))).await;
    stage.put(for_ever, &key(None)).await;
    let look_at = async |seconds| {
        stage.now.store(seconds, Ordering::SeqCst);
        assert!(stage.expiry().look_at_keys().await.unwrap());
        stage.publisher.caught_up().await;
        (stage.has(KeyAuthCredential::key(short)).await, stage.has(KeyAuthCredential::key(for_ever)).await)
    };
    assert_eq!(look_at(99).await, (true, true));
    assert_eq!(look_at(100).await, (false, true));
    stage.end().await;
}

#[tokio::test]
async fn orders_to_caches_end_after_a_day() {
    let stage = Stage::new().await;
    let (id, set_at) = (Uuid::from_u128(5), Number::of_milliseconds(BEGIN * 1000));
    stage.put(id, &CachePurge { set_at, ..CachePurge::default() }).await;
    stage.look_at(PURGE_KEPT - 1).await;
    assert!(stage.has(CachePurge::key(id)).await);
    stage.look_at(PURGE_KEPT).await;
    assert!(!stage.has(CachePurge::key(id)).await);
    stage.end().await;
}

#[tokio::test]
async fn task_ends_states_and_itself() {
    let stage = Stage::new().await;
    let stop = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(stage.expiry().follow(stop.clone()));
    stage.put(TARGET, &state(Some(0))).await;
    testkit::wait::eventually(Duration::from_secs(30), || async {
        if stage.has(TargetState::key(TARGET)).await { Err("it is there") } else { Ok(()) }
    })
    .await;
    stop.cancel();
    task.join_next().await.unwrap().unwrap();
    stage.end().await;
}
