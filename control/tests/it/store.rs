//! The store on both databases: every write moves the head by one and logs its changes, or leaves nothing.

use std::collections::BTreeMap;

use control::store::{self, Author, Change, Document, Draft, Page, Selector, Store, StoreError, Tags};
use model::{Common, Entity, Route, Service, kind};
use sea_orm::ConnectionTrait;
use serde_json::json;
use testkit::postgres;
use uuid::Uuid;

/// A store on a new database, and its folder.
struct Stage {
    store: Store,
    folder: tempfile::TempDir,
}

async fn sqlite() -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("made/gibbon.sqlite").display());
    stage(&url, folder).await
}

async fn postgresql() -> Stage {
    stage(&postgres::shared().database(), tempfile::tempdir().unwrap()).await
}

async fn stage(url: &str, folder: tempfile::TempDir) -> Stage {
    let store = Store::open(url).await.unwrap();
    store.migrate(url).await.unwrap();
    store.migrate(url).await.unwrap();
    Stage { store, folder }
}

/// Runs a test on both databases.
macro_rules! on_both {
    ($($name:ident => $test:ident),* $(,)?) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$test(super::sqlite().await.store).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgresql() {
                super::$test(super::postgresql().await.store).await;
            }
        })*
    };
}

mod commit;
mod lasting;
mod migrated;
mod silent;

on_both! {
    writes => every_write_is_one_revision,
    refusals => a_refused_write_leaves_nothing,
    pages => lists_are_paged_and_filtered,
    upkeep => what_is_old_is_forgotten,
    edits => an_edit_is_one_revision_or_none,
    exchanges => names_and_references_change_hands,
    replacements => what_was_changed_meanwhile_is_not_replaced,
    successors => a_write_after_a_head_is_the_next_one,
    histories => a_history_is_left_once,
    moves => a_control_plane_that_was_left_does_not_say_who_is_gone,
    writers => writers_at_the_same_time_make_a_gapless_log,
}

pub(crate) fn service(id: u128, name: &str) -> Service {
    Service {
        id: Uuid::from_u128(id),
        name: Some(name.to_owned()),
        host: "127.0.0.1".into(),
        ..Service::default()
    }
}

pub(crate) fn route(id: u128, service: u128) -> Route {
    Route {
        id: Uuid::from_u128(id),
        service: Some(Uuid::from_u128(service)),
        paths: Some(vec!["/".into()]),
        created_at: 1,
        ..Route::default()
    }
}

/// Returns the draft of an entity without tags.
pub(crate) fn draft<E: Entity>(id: Uuid, entity: &E) -> Draft {
    let content = model::described(E::KIND).unwrap().content(&entity.canonical()).unwrap();
    Draft::new(E::KIND, Common { id, created_at: 1, updated_at: 1, tags: None }, content)
}

pub(crate) fn put_service(service: &Service) -> Change {
    Change::Upsert(draft(service.id, service))
}

pub(crate) fn put_route(route: &Route) -> Change {
    Change::Upsert(draft(route.id, route))
}

pub(crate) fn delete_service(id: u128) -> Change {
    Change::Delete(Service::key(Uuid::from_u128(id)))
}

pub(crate) fn delete_route(id: u128) -> Change {
    Change::Delete(Route::key(Uuid::from_u128(id)))
}

/// Makes one change and returns the revision.
pub(crate) async fn write(store: &Store, change: Change) -> Result<u64, StoreError> {
    store.write(&Author::default(), vec![change]).await
}

/// Inserts a service and returns the revision.
pub(crate) async fn insert(store: &Store, service: &Service) -> Result<u64, StoreError> {
    write(store, Change::Insert(draft(service.id, service))).await
}

async fn named(store: &Store, name: &str) -> Option<Document> {
    let which = Selector::Unique { field: "name", value: name.to_owned() };
    store.get(kind::SERVICE, &which).await.unwrap()
}

async fn revision(store: &Store) -> u64 {
    store.head().await.unwrap().revision
}

/// Checks that the log yields the published configuration.
async fn log_leads_to_what_is_published(store: &Store) {
    let (head, published) = store.published().await.unwrap();
    let mut replayed = BTreeMap::new();
    for change in store.changes(0, head.revision).await.unwrap() {
        if change.superseded {
            continue;
        }
        match change.value {
            Some(bytes) => replayed.insert(change.key, bytes),
            None => replayed.remove(&change.key),
        };
    }
    assert_eq!(replayed, published.into_iter().collect());
}

async fn every_write_is_one_revision(store: Store) {
    let mut commits = store.commits();
    assert_eq!(revision(&store).await, 0);
    assert_eq!(insert(&store, &service(1, "a")).await.unwrap(), 1);
    assert_eq!(write(&store, put_route(&route(2, 1))).await.unwrap(), 2);
    let renamed = Service { port: 81, ..service(1, "b") };
    assert_eq!(write(&store, put_service(&renamed)).await.unwrap(), 3);
    assert_eq!(named(&store, "b").await, Some(draft(renamed.id, &renamed).document));
    assert_eq!(named(&store, "a").await, None);
    assert_eq!(write(&store, delete_route(2)).await.unwrap(), 4);
    assert_eq!(write(&store, delete_route(2)).await.unwrap(), 4, "there was none any more");
    assert_eq!(revision(&store).await, 4);
    let mut previous = Uuid::nil();
    for revision in 1..=4 {
        let commit = commits.recv().await.unwrap();
        let commit_token = commit.head.commit_token;
        assert_eq!(commit.head, store::Head { revision, commit_token, ..store.head().await.unwrap() });
        assert_eq!(commit.changes.to_vec(), store.changes(revision - 1, revision).await.unwrap());
        assert!(
            commit
                .changes
                .iter()
                .all(|change| change.commit_token == commit_token && change.previous == previous)
        );
        assert_ne!(commit_token, previous);
        previous = commit_token;
    }
    assert_eq!(store.head().await.unwrap().commit_token, previous);
    let keys: Vec<_> = store.changes(1, 4).await.unwrap().into_iter().map(|change| change.key).collect();
    let (service, route) = (model::Service::key(Uuid::from_u128(1)), model::Route::key(Uuid::from_u128(2)));
    assert_eq!(keys, [route, service, route]);
    log_leads_to_what_is_published(&store).await;
}

async fn a_write_after_a_head_is_the_next_one(store: Store) {
    let author = Author::default();
    let before = store.head().await.unwrap();
    assert_eq!(insert(&store, &service(1, "a")).await.unwrap(), 1);
    // Neither what would be written nor what stands in its way counts.
    for change in [put_service(&service(2, "b")), Change::Insert(draft(service(2, "a").id, &service(2, "a")))]
    {
        let refused = store.write_after(before, &author, vec![change]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Changed), "{refused:?}");
    }
    let head = store.head().await.unwrap();
    assert_eq!(store.write_after(head, &author, vec![put_service(&service(2, "b"))]).await.unwrap(), 2);
    assert_eq!(
        store.write_after(head, &author, Vec::new()).await.unwrap_err().to_string(),
        StoreError::Changed.to_string()
    );
    log_leads_to_what_is_published(&store).await;
}

async fn an_edit_is_one_revision_or_none(store: Store) {
    let author = Author::default();
    let many = (10..2510).map(|id| put_route(&route(id, 1)));
    let services = [put_service(&service(1, "a")), put_service(&service(2, "b"))];
    let mut edit = store.edit(&author).await.unwrap();
    assert_eq!(edit.make(many.chain(services).collect()).await.unwrap(), 2502);
    assert_eq!(edit.make(vec![delete_service(2), delete_service(3)]).await.unwrap(), 1);
    assert_eq!(edit.commit().await.unwrap(), 1);
    assert_eq!(store.changes(0, 1).await.unwrap().len(), 2503);
    log_leads_to_what_is_published(&store).await;

    let mut edit = store.edit(&author).await.unwrap();
    assert_eq!(edit.make(vec![delete_route(10)]).await.unwrap(), 1);
    drop(edit);
    let mut edit = store.edit(&author).await.unwrap();
    edit.make(vec![delete_route(11), put_route(&route(1, 99))]).await.unwrap_err();
    drop(edit);
    assert_eq!(store.write(&author, Vec::new()).await.unwrap(), 1, "nothing was changed");
    assert_eq!(revision(&store).await, 1);
    log_leads_to_what_is_published(&store).await;
}

/// The order of the changes of one write does not matter.
async fn names_and_references_change_hands(store: Store) {
    let author = Author::default();
    let services = [service(1, "a"), service(2, "b")];
    store.write(&author, services.iter().map(put_service).collect()).await.unwrap();
    write(&store, put_route(&route(3, 1))).await.unwrap();
    let swapped = [put_service(&service(1, "b")), put_service(&service(2, "a"))];
    store.write(&author, swapped.to_vec()).await.unwrap();
    assert_eq!(named(&store, "a").await.unwrap().key.id, Uuid::from_u128(2));
    // A service goes with the last route that names it; its name and the route go to others.
    let moved = vec![delete_service(1), put_service(&service(4, "b")), put_route(&route(3, 4))];
    store.write(&author, moved).await.unwrap();
    assert_eq!(named(&store, "b").await.unwrap().key.id, Uuid::from_u128(4));
    assert_eq!(revision(&store).await, 4);
    log_leads_to_what_is_published(&store).await;
}

async fn what_was_changed_meanwhile_is_not_replaced(store: Store) {
    let read = service(1, "a");
    insert(&store, &read).await.unwrap();
    let replace = |before: &Service, port: u16| Change::Replace {
        before: draft(before.id, before).document,
        after: draft(before.id, &Service { port, ..before.clone() }),
    };
    write(&store, replace(&read, 81)).await.unwrap();
    let refused = write(&store, replace(&read, 82)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Changed), "{refused:?}");
    write(&store, delete_service(1)).await.unwrap();
    let refused = write(&store, replace(&Service { port: 81, ..read }, 82)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Changed), "what was deleted does not come back: {refused:?}");
    assert_eq!(revision(&store).await, 3);
    log_leads_to_what_is_published(&store).await;
}

async fn a_history_is_left_once(store: Store) {
    let first = store.head().await.unwrap().epoch;
    store.leave_epoch(first).await.unwrap();
    let second = store.head().await.unwrap().epoch;
    store.leave_epoch(first).await.unwrap();
    assert_ne!(second, first);
    assert_eq!(store.head().await.unwrap().epoch, second, "another control plane had left it already");
}

async fn a_refused_write_leaves_nothing(store: Store) {
    let author = Author::default();
    insert(&store, &service(1, "a")).await.unwrap();
    write(&store, put_route(&route(2, 1))).await.unwrap();
    let others = || (100..1600).map(|id| put_service(&service(id, &id.to_string())));
    // Alone, and among many.
    for others in [Vec::new(), others().collect::<Vec<_>>()] {
        let refused = async |change: Change| {
            store.write(&author, others.iter().cloned().chain([change]).collect()).await.unwrap_err()
        };
        let same_name = refused(put_service(&service(3, "a"))).await;
        let key = ("name".to_owned(), "a".to_owned());
        assert!(
            matches!(&same_name, StoreError::Unique { kind: kind::SERVICE, fields } if fields[..] == [key]),
            "{same_name:?}"
        );
        let same_id = refused(Change::Insert(draft(Uuid::from_u128(1), &service(1, "c")))).await;
        assert!(
            matches!(&same_id, StoreError::Id { key } if *key == Service::key(Uuid::from_u128(1))),
            "{same_id:?}"
        );
        let no_service = refused(put_route(&route(4, 9))).await;
        let missing = Service::key(Uuid::from_u128(9));
        assert!(
            matches!(no_service, StoreError::ForeignKey { field: "service", to } if to == missing),
            "{no_service:?}"
        );
        let referenced = refused(delete_service(1)).await;
        assert!(matches!(referenced, StoreError::Referenced { by: kind::ROUTE, .. }), "{referenced:?}");
    }
    let twice = vec![put_service(&service(5, "x")), put_service(&service(6, "x"))];
    let twice = store.write(&author, twice).await.unwrap_err();
    assert!(matches!(twice, StoreError::Unique { .. }), "{twice:?}");
    assert_eq!(revision(&store).await, 2);
    log_leads_to_what_is_published(&store).await;
}

async fn lists_are_paged_and_filtered(store: Store) {
    for id in 1..=5_u128 {
        let mut tagged = draft(Uuid::from_u128(id), &service(id, &id.to_string()));
        let parity = if id % 2 == 0 { "even" } else { "odd" };
        tagged.document.tags = Some(vec![parity.to_owned(), "all".to_owned()]);
        write(&store, Change::Insert(tagged)).await.unwrap();
    }
    let ids = |tags: Option<Tags>| {
        let store = &store;
        async move {
            let (mut ids, mut after) = (Vec::new(), None);
            loop {
                let page = Page { size: 2, after, tags: tags.clone(), of: None };
                let listed = store.list(kind::SERVICE, &page).await.unwrap();
                assert!(listed.documents.len() <= 2);
                ids.extend(listed.documents.iter().map(|document| document.key.id.as_u128()));
                after = listed.next;
                if after.is_none() {
                    return ids;
                }
            }
        }
    };
    let many = std::iter::repeat_n("even", 49).chain(["all"]).map(str::to_owned).collect();
    assert_eq!(ids(Some(Tags::All(many))).await, [2, 4], "the same tag twice is one");
    let tags = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(None).await, [1, 2, 3, 4, 5]);
    assert_eq!(ids(Some(Tags::All(tags(&["even", "all"])))).await, [2, 4]);
    assert_eq!(ids(Some(Tags::Any(tags(&["even", "odd"])))).await, [1, 2, 3, 4, 5]);
    assert_eq!(ids(Some(Tags::All(tags(&["even", "odd"])))).await, [0_u128; 0]);
    write(&store, put_service(&service(2, "2"))).await.unwrap();
    assert_eq!(ids(Some(Tags::All(tags(&["even"])))).await, [4], "tags go with the entity");
    write(&store, delete_service(4)).await.unwrap();
    assert!(store.tags(Some("even"), 10, None).await.unwrap().is_empty());
}

async fn what_is_old_is_forgotten(store: Store) {
    for id in 1..=4 {
        insert(&store, &service(id, &id.to_string())).await.unwrap();
    }
    store.trim_log(2).await.unwrap();
    let left: Vec<_> = store.changes(0, 4).await.unwrap().iter().map(|change| change.revision).collect();
    assert_eq!(left, [3, 4]);
    assert_eq!(store.log_begins().await.unwrap(), Some(3));
    for (id, connected, last_seen) in [(1, true, 5), (2, false, 5), (3, false, 15)] {
        store.data_planes().upsert(&[data_plane(id, connected, last_seen)]).await.unwrap();
    }
    store.data_planes().purge(10).await.unwrap();
    let left: Vec<_> = store.data_planes().list().await.unwrap().iter().map(|row| row.id.as_u128()).collect();
    assert_eq!(left, [1, 3]);
}

async fn a_control_plane_that_was_left_does_not_say_who_is_gone(store: Store) {
    let at = |control_plane: u128, connected| entity::data_plane::Model {
        control_plane: Some(Uuid::from_u128(control_plane)),
        ..data_plane(1, connected, control_plane as i64)
    };
    let stored = async || {
        let row = store.data_planes().list().await.unwrap().remove(0);
        (row.control_plane.unwrap().as_u128(), row.connected)
    };
    store.data_planes().upsert(&[at(1, true)]).await.unwrap();
    store.data_planes().upsert(&[at(2, true)]).await.unwrap();
    // The first control plane notices late that the data plane has left.
    store.data_planes().upsert(&[at(1, false)]).await.unwrap();
    assert_eq!(stored().await, (2, true));
    store.data_planes().upsert(&[at(2, false)]).await.unwrap();
    assert_eq!(stored().await, (2, false));
    store.data_planes().upsert(&[at(1, true)]).await.unwrap();
    assert_eq!(stored().await, (1, true));
}

fn data_plane(id: u128, connected: bool, last_seen: i64) -> entity::data_plane::Model {
    entity::data_plane::Model {
        id: Uuid::from_u128(id),
        hostname: "edge".into(),
        ip: "127.0.0.1".into(),
        version: "0.1.0".into(),
        config_hash: "0".repeat(32),
        applied_revision: None,
        applied_epoch: None,
        state: "synced".into(),
        sync_status: "normal".into(),
        labels: json!({}),
        cert_expiry: None,
        last_error: None,
        connected,
        control_plane: None,
        instance: None,
        last_seen,
        created_at: 1,
        updated_at: 1,
    }
}

async fn writers_at_the_same_time_make_a_gapless_log(store: Store) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8_u128 {
        let store = store.clone();
        writers.spawn(async move {
            let mut revisions = Vec::new();
            for n in 0..10_u128 {
                let id = 100 * (writer + 1) + n;
                revisions.push(insert(&store, &service(id, &id.to_string())).await.unwrap());
            }
            revisions
        });
    }
    let mut revisions: Vec<u64> = writers.join_all().await.concat();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=80).collect::<Vec<_>>());
    let logged: Vec<_> = store.changes(0, 80).await.unwrap().iter().map(|change| change.revision).collect();
    assert_eq!(logged, revisions);
    log_leads_to_what_is_published(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_through_another_store_is_heard() {
    let url = postgres::shared().database();
    let (ours, other) =
        (stage(&url, tempfile::tempdir().unwrap()).await.store, Store::open(&url).await.unwrap());
    let mut notified = ours.notified();
    let listening = ours.listen();
    let committed = async {
        // Until listening has begun, a notification may be missed.
        for id in 1.. {
            let revision = insert(&other, &service(id, &id.to_string())).await.unwrap();
            let within = std::time::Duration::from_secs(1);
            let newest = notified.wait_for(|newest| *newest == revision);
            if tokio::time::timeout(within, newest).await.is_ok() {
                return;
            }
            assert!(id < 10, "none of {id} commits was heard");
        }
    };
    tokio::select! {
        () = listening => unreachable!("it listens for as long as it is awaited"),
        () = committed => {}
    }
}

#[tokio::test]
async fn an_unreachable_database_is_told_with_its_address_and_without_its_password() {
    let port = testkit::ports::reserve();
    let error =
        Store::open(&format!("postgres://gibbon:secret@{port}/gibbon")).await.unwrap_err().to_string();
    assert!(error.contains(&port.to_string()) && !error.contains("secret"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_program_holds_is_unavailable_and_not_broken() {
    let stage = sqlite().await;
    let file = format!("sqlite://{}", stage.folder.path().join("made/gibbon.sqlite").display());
    let mut options = sea_orm::ConnectOptions::new(file);
    options.max_connections(1);
    let other = sea_orm::Database::connect(options).await.unwrap();
    other.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let refused = insert(&stage.store, &service(1, "a")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    other.execute_unprepared("ROLLBACK").await.unwrap();
    assert_eq!(insert(&stage.store, &service(1, "a")).await.unwrap(), 1);
}
