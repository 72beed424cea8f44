//! The store on both databases: every write moves the head by one and logs its changes, or leaves nothing.

use std::collections::BTreeMap;

use control::store::{self, Page, Selector, Store, StoreError, Tags};
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
mod silent;

on_both! {
    writes => every_write_is_one_revision,
    refusals => a_refused_write_leaves_nothing,
    pages => lists_are_paged_and_filtered,
    upkeep => what_is_old_is_forgotten,
    edits => an_edit_is_one_revision_or_none,
    replacements => what_was_changed_meanwhile_is_not_replaced,
    histories => a_history_is_left_once,
    moves => a_control_plane_that_was_left_does_not_say_who_is_gone,
    writers => writers_at_the_same_time_make_a_gapless_log,
}

pub(crate) fn service(id: u128, name: &str) -> entity::service::Model {
    entity::service::Model {
        id: Uuid::from_u128(id),
        name: Some(name.to_owned()),
        protocol: "http".into(),
        host: "127.0.0.1".into(),
        port: 80,
        path: None,
        retries: 5,
        connect_timeout: 60_000,
        write_timeout: 60_000,
        read_timeout: 60_000,
        tags: None,
        client_certificate: None,
        tls_verify: None,
        tls_verify_depth: None,
        ca_certificates: None,
        enabled: true,
        created_at: 1,
        updated_at: 1,
    }
}

pub(crate) fn route(id: u128, service: u128) -> entity::route::Model {
    entity::route::Model {
        id: Uuid::from_u128(id),
        name: None,
        service_id: Some(Uuid::from_u128(service)),
        protocols: json!(["http", "https"]),
        methods: None,
        hosts: None,
        paths: Some(json!(["/"])),
        headers: None,
        snis: None,
        sources: None,
        destinations: None,
        https_redirect_status_code: 426,
        regex_priority: 0,
        strip_path: true,
        path_handling: "v0".into(),
        preserve_host: false,
        request_buffering: true,
        response_buffering: true,
        tags: None,
        created_at: 1,
        updated_at: 1,
    }
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
    assert_eq!(store.services().insert(service(1, "a")).await.unwrap().revision, 1);
    assert_eq!(store.routes().insert(route(2, 1)).await.unwrap().revision, 2);
    let renamed = entity::service::Model { port: 81, ..service(1, "b") };
    assert_eq!(store.services().upsert(renamed.clone()).await.unwrap().revision, 3);
    assert_eq!(store.services().get(&Selector::parse("b")).await.unwrap(), Some(renamed));
    assert_eq!(store.services().get(&Selector::parse("a")).await.unwrap(), None);
    assert_eq!(store.routes().delete(Uuid::from_u128(2)).await.unwrap(), Some(4));
    assert_eq!(store.routes().delete(Uuid::from_u128(2)).await.unwrap(), None);
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

async fn an_edit_is_one_revision_or_none(store: Store) {
    use entity::{route, service};
    let many: Vec<_> = (10..2510).map(|id| route(id, 1)).collect();
    let mut edit = store.edit().await.unwrap();
    edit.put::<service::Entity>(&[service(1, "a"), service(2, "b")]).await.unwrap();
    edit.put::<route::Entity>(&many).await.unwrap();
    assert!(edit.delete::<service::Entity>(Uuid::from_u128(2)).await.unwrap());
    assert!(!edit.delete::<service::Entity>(Uuid::from_u128(3)).await.unwrap());
    assert_eq!(edit.commit().await.unwrap(), 1);
    assert_eq!(store.changes(0, 1).await.unwrap().len(), 2 + many.len() + 1);
    log_leads_to_what_is_published(&store).await;

    let mut edit = store.edit().await.unwrap();
    assert!(edit.delete::<route::Entity>(many[0].id).await.unwrap());
    drop(edit);
    let mut edit = store.edit().await.unwrap();
    edit.put::<route::Entity>(&[route(1, 99)]).await.unwrap_err();
    drop(edit);
    assert_eq!(store.edit().await.unwrap().commit().await.unwrap(), 1, "nothing was changed");
    assert_eq!(revision(&store).await, 1);
    log_leads_to_what_is_published(&store).await;
}

async fn what_was_changed_meanwhile_is_not_replaced(store: Store) {
    let read = service(1, "a");
    store.services().insert(read.clone()).await.unwrap();
    let ours = entity::service::Model { port: 81, ..read.clone() };
    store.services().replace(&read, ours.clone()).await.unwrap();
    let late = entity::service::Model { port: 82, ..read.clone() };
    let refused = store.services().replace(&read, late.clone()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Changed), "{refused:?}");
    store.services().delete(ours.id).await.unwrap();
    let refused = store.services().replace(&ours, late).await.unwrap_err();
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
    store.services().insert(service(1, "a")).await.unwrap();
    store.routes().insert(route(2, 1)).await.unwrap();
    let same_name = store.services().insert(service(3, "a")).await.unwrap_err();
    assert!(
        matches!(&same_name, StoreError::Unique { fields } if fields == &[("name", "a".to_owned())]),
        "{same_name:?}"
    );
    let same_id = store.services().insert(service(1, "c")).await.unwrap_err();
    assert!(matches!(&same_id, StoreError::Id { id } if *id == Uuid::from_u128(1)), "{same_id:?}");
    let no_service = store.routes().upsert(route(4, 9)).await.unwrap_err();
    assert!(
        matches!(no_service, StoreError::ForeignKey { field: "service", id, .. } if id == Uuid::from_u128(9))
    );
    let referenced = store.services().delete(Uuid::from_u128(1)).await.unwrap_err();
    assert!(matches!(referenced, StoreError::Referenced { by: "routes", .. }), "{referenced:?}");
    assert_eq!(revision(&store).await, 2);
    log_leads_to_what_is_published(&store).await;
}

async fn lists_are_paged_and_filtered(store: Store) {
    for id in 1..=5_u128 {
        let tags = Some(if id % 2 == 0 { json!(["even", "all"]) } else { json!(["odd", "all"]) });
        store
            .services()
            .insert(entity::service::Model { tags, ..service(id, &id.to_string()) })
            .await
            .unwrap();
    }
    let ids = |tags: Option<Tags>| {
        let store = &store;
        async move {
            let (mut ids, mut after) = (Vec::new(), None);
            loop {
                let page = Page { size: 2, after, tags: tags.clone() };
                let listed = store.services().list(&page).await.unwrap();
                assert!(listed.rows.len() <= 2);
                ids.extend(listed.rows.iter().map(|row| row.id.as_u128()));
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
    store.services().upsert(service(2, "2")).await.unwrap();
    assert_eq!(ids(Some(Tags::All(tags(&["even"])))).await, [4], "tags go with the row");
    store.services().delete(Uuid::from_u128(4)).await.unwrap();
    assert!(store.tags().list(Some("even"), 10, None).await.unwrap().is_empty());
}

async fn what_is_old_is_forgotten(store: Store) {
    for id in 1..=4 {
        store.services().insert(service(id, &id.to_string())).await.unwrap();
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
                revisions.push(store.services().insert(service(id, &id.to_string())).await.unwrap().revision);
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
            let revision = other.services().insert(service(id, &id.to_string())).await.unwrap().revision;
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
    let refused = stage.store.services().insert(service(1, "a")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    other.execute_unprepared("ROLLBACK").await.unwrap();
    assert_eq!(stage.store.services().insert(service(1, "a")).await.unwrap().revision, 1);
}
