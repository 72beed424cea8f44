//! The publisher on a database that is emptied or restored, step by step: nothing follows it here, each look
//! at the database is a call.

mod hours;
mod rest;

use std::pin::pin;

use model::{Common, Entity, Service};
use sea_orm::EntityTrait;
use sea_orm::sea_query::Expr;
use tempfile::TempDir;
use wire::Digest;

use super::*;
use crate::metrics::Metrics;
use crate::store::{Author, Change, Draft, Head};

const SERVICES: u128 = 3;

struct Stage {
    _folder: TempDir,
    url: String,
    store: Store,
    publisher: Publisher,
}

impl Stage {
    /// Publishes a few services.
    async fn new() -> Self {
        Self::after(|_| None).await
    }

    /// Publishes a few services after `last` was published.
    async fn after(last: impl FnOnce(Head) -> Option<LastHead>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/control.db?mode=rwc", folder.path().display());
        let store = Store::open(&url).await.unwrap();
        store.migrate(&url).await.unwrap();
        insert(&store).await;
        let data_dir = Some(folder.path().to_owned());
        if let Some(last) = last(store.head().await.unwrap()) {
            LastHeadFile::new(data_dir.clone()).write(last);
        }
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap().cluster;
        let settings = Settings { data_dir, guard: true };
        let publisher = Publisher::start(store.clone(), metrics, settings).await.unwrap();
        Self { _folder: folder, url, store, publisher }
    }

    fn head(&self) -> Position {
        *self.publisher.shared.head.borrow()
    }

    fn is_held_back(&self) -> bool {
        self.publisher.held_back().is_some()
    }

    /// Replaces the database by an empty one, of another epoch.
    async fn empty(&self) {
        let all = (1..=SERVICES).map(|id| Change::Delete(Service::key(Uuid::from_u128(id))));
        self.store.write(&Author::default(), all.collect()).await.unwrap();
        self.store.leave_epoch(self.head().epoch).await.unwrap();
        self.publisher.shared.look().await.unwrap();
    }

    /// Replaces the database by a dump with all services.
    async fn restore(&self, epoch: Uuid, revision: u64) {
        use entity::config_head::{Column, Entity};
        insert(&self.store).await;
        let database = sea_orm::Database::connect(&self.url).await.unwrap();
        let revision = i64::try_from(revision).unwrap();
        let head = Entity::update_many().col_expr(Column::Epoch, Expr::value(epoch));
        head.col_expr(Column::Revision, Expr::value(revision)).exec(&database).await.unwrap();
        self.publisher.shared.look().await.unwrap();
    }
}

#[tokio::test]
async fn update_that_waits_while_the_database_is_emptied_is_not_empty() {
    let stage = Stage::new().await;
    let fleet = stage.head();
    let behind = Position { revision: 1, ..fleet };
    let log = stage.publisher.shared.remembering.lock().await;
    let mut update = pin!(stage.publisher.update_from(Some(behind)));
    tokio::select! {
        biased;
        _ = &mut update => panic!("it waits for the log"),
        () = stage.empty() => {}
    }
    assert!(stage.is_held_back());
    drop(log);
    tokio::select! {
        update = &mut update => panic!("it is held back: {:?}", update.map(|update| update.header.position())),
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
    }
    let (update, ()) = tokio::join!(update, stage.restore(fleet.epoch, fleet.revision));
    let sent = update.unwrap().header.position();
    assert_eq!((sent.epoch, sent.root), (fleet.epoch, fleet.root));
}

#[tokio::test]
async fn dump_that_ends_the_holding_back_goes_out_under_another_epoch() {
    let stage = Stage::new().await;
    let fleet = stage.head();
    stage.empty().await;
    assert!(stage.is_held_back());
    let emptied = stage.head().epoch;
    let waiting = stage.publisher.update_from(Some(fleet));
    let (update, ()) = tokio::join!(waiting, stage.restore(fleet.epoch, fleet.revision - 1));
    let sent = update.unwrap().header.position();
    assert!(sent.epoch != fleet.epoch && sent.epoch != emptied, "{sent:?}");
    assert_eq!((sent.revision, sent.root), (fleet.revision - 1, fleet.root));
    assert!(!stage.is_held_back());
}

#[tokio::test]
async fn dump_of_an_unknown_epoch_ends_the_holding_back() {
    let stage = Stage::new().await;
    let fleet = stage.head();
    stage.empty().await;
    assert!(stage.is_held_back());
    stage.restore(Uuid::from_u128(9), 2).await;
    assert!(!stage.is_held_back());
    assert_eq!(stage.head().root, fleet.root);
}

#[tokio::test]
async fn held_back_is_released_by_size_only_in_another_epoch() {
    let stage = Stage::new().await;
    let guard = &stage.publisher.shared.guard;
    let size = |epoch, entities| Size { epoch: Uuid::from_u128(epoch), entities };
    let held_back = || guard.held_back().map(|held_back| held_back.epoch.as_u128());
    guard.compare(&stage.store, size(1, 100), size(2, 0)).await;
    for (now, expected) in [
        (size(2, 0), Some(2)),
        (size(2, 99), Some(2)),
        (size(3, 5), Some(3)),
        (size(1, 5), Some(1)),
        (size(4, 90), None),
    ] {
        guard.review(&stage.store, now).await;
        assert_eq!(held_back(), expected, "{now:?}");
    }
}

#[tokio::test]
async fn epoch_that_a_data_plane_has_already_is_not_held_back() {
    let left = |head| LastHead { epoch: Uuid::from_u128(9), ..LastHead::new(head, 1000) };
    let stage = Stage::after(|head| Some(left(head))).await;
    let head = stage.head();
    for other in
        [Position { epoch: Uuid::from_u128(9), ..head }, Position { root: Digest::new().root(), ..head }]
    {
        stage.publisher.data_plane_holds(other);
        assert!(stage.is_held_back(), "{other:?}");
    }
    stage.publisher.data_plane_holds(head);
    assert!(!stage.is_held_back());
}

#[tokio::test]
async fn data_plane_that_is_ahead_gets_nothing_until_another_epoch_may_begin() {
    let stage = Stage::new().await;
    let head = stage.head();
    let ahead = Position { revision: head.revision + 1, ..head };
    *stage.publisher.shared.ahead.lock() = Some(Instant::now());
    assert!(stage.publisher.update_from(Some(ahead)).await.is_none());
    assert_eq!(stage.head(), head);
    *stage.publisher.shared.ahead.lock() = None;
    let update = stage.publisher.update_from(Some(ahead)).await.unwrap();
    assert_ne!(update.header.epoch, head.epoch);
}

/// Their number is beyond what a worker does at once, at each of the places that have such a bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_changes_lead_to_what_a_start_would_read() {
    let stage = Stage::new().await;
    let before = stage.head();
    let many = (100..10_200).map(|id| put(id, &service(id))).collect();
    stage.store.write(&Author::default(), many).await.unwrap();
    stage.publisher.shared.look().await.unwrap();
    let read = load_after(&stage.store, None).await.unwrap();
    assert_eq!((stage.head(), stage.head().revision), (read.position(), before.revision + 1));
    let update = stage.publisher.shared.encoder.update(&stage.publisher.shared.state, Some(before)).await;
    assert_eq!((update.header.mode, update.header.to), (wire::Mode::Delta, stage.head().revision));
}

async fn insert(store: &Store) {
    for id in 1..=SERVICES {
        store.write(&Author::default(), vec![put(id, &service(id))]).await.unwrap();
    }
}

fn service(id: u128) -> Service {
    Service { name: Some(id.to_string()), host: "127.0.0.1".into(), ..Service::default() }
}

fn put(id: u128, service: &Service) -> Change {
    let content = model::described(Service::KIND).unwrap().content(&service.canonical()).unwrap();
    let common = Common { id: Uuid::from_u128(id), created_at: 1, updated_at: 1, tags: None };
    Change::Upsert(Draft::new(Service::KIND, common, content))
}
