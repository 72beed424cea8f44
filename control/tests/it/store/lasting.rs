//! Data that the store keeps and data that it does not: writes whose future is dropped, secrets that were
//! replaced.

use std::time::Duration;

use control::store::{Author, Change, Store, StoreError};
use model::Certificate;
use testkit::plane::DEADLINE;
use testkit::wait;
use uuid::Uuid;

use super::{
    draft, insert, log_leads_to_what_is_published, postgresql, put_service, revision, service, sqlite, write,
};

on_both! {
    dropped => dropped_writes_leave_all_or_nothing,
    secrets => superseded_secrets_are_blanked_in_the_log,
    trimmed => partly_trimmed_revision_is_not_in_the_log,
    confirmed => confirmation_counts_for_its_epoch_alone,
}

/// A client that disconnects, and a timeout, drop a write at any point.
async fn dropped_writes_leave_all_or_nothing(store: Store) {
    let rounds = std::env::var("GIBBON_TEST_ROUNDS").map_or(60, |text| text.parse::<u32>().unwrap());
    let mut acknowledged = 0;
    for round in 0..rounds {
        let cut = Duration::from_micros(rand::random_range(0..3000));
        let id = u128::from(round) + 1;
        let service = service(id, &id.to_string());
        let answered = matches!(tokio::time::timeout(cut, insert(&store, &service)).await, Ok(Ok(_)));
        acknowledged += u32::from(answered);
        let (head, published) = store.published().await.unwrap();
        if answered {
            assert!(
                published.iter().any(|(key, _)| *key == model::Service::key(Uuid::from_u128(id))),
                "{id}"
            );
        }
        assert!(head.revision >= u64::from(acknowledged));
    }
    log_leads_to_what_is_published(&store).await;
    let next = insert(&store, &service(u128::MAX, "last")).await.unwrap();
    assert_eq!(revision(&store).await, next);
    log_leads_to_what_is_published(&store).await;
}

async fn superseded_secrets_are_blanked_in_the_log(store: Store) {
    let id = Uuid::from_u128(1);
    let put = |secret: &str| {
        let certificate = Certificate { cert: "cert".into(), key: secret.into(), ..Certificate::default() };
        Change::Upsert(draft(id, &certificate))
    };
    write(&store, put("first secret")).await.unwrap();
    insert(&store, &service(1, "a")).await.unwrap();
    write(&store, put("second secret")).await.unwrap();
    let log = async || {
        let changes = store.changes(0, revision(&store).await).await.unwrap();
        let text = |value: &bytes::Bytes| String::from_utf8_lossy(value).into_owned();
        let shown = changes.iter().map(|change| change.value.as_ref().map(text).unwrap_or_default());
        (changes.iter().map(|change| change.superseded).collect::<Vec<_>>(), shown.collect::<String>())
    };
    let (superseded, text) = log().await;
    assert_eq!(superseded, [true, false, false]);
    assert!(!text.contains("first secret") && text.contains("second secret"));
    log_leads_to_what_is_published(&store).await;
    write(&store, Change::Delete(Certificate::key(id))).await.unwrap();
    let (superseded, text) = log().await;
    assert_eq!(superseded, [true, false, true, false]);
    assert!(!text.contains("secret"));
    log_leads_to_what_is_published(&store).await;
}

async fn partly_trimmed_revision_is_not_in_the_log(store: Store) {
    let many = (1..=1500).map(|id| put_service(&service(id, &id.to_string())));
    store.write(&Author::default(), many.collect()).await.unwrap();
    insert(&store, &service(9999, "last")).await.unwrap();
    store.trim_log(1).await.unwrap();
    assert_eq!(store.log_begins().await.unwrap(), Some(2));
    assert_eq!(store.changes(0, 2).await.unwrap().len(), 1);
}

async fn confirmation_counts_for_its_epoch_alone(store: Store) {
    let epoch = store.head().await.unwrap().epoch;
    store.confirm_epoch(Uuid::nil()).await.unwrap();
    assert_eq!(store.confirmed_epoch().await.unwrap(), None);
    store.confirm_epoch(epoch).await.unwrap();
    assert_eq!(store.confirmed_epoch().await.unwrap(), Some(epoch));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urls_that_cannot_be_read_show_no_password() {
    for url in [
        "postgres://gibbon:se/cret@db/gibbon",
        "postgres://gibbon:se#cret@db/gibbon",
        "postgres://gibbon:se?cret@db/gibbon",
        "postgres://gibbon:1234/secret@db/gibbon",
        "postgres://gibbon:secret@db:port/gibbon",
        "postgres://gibbon:secret@[::1/gibbon",
        "mysql://gibbon:secret@db/gibbon",
        "postgres://gibbon:secret@db/gibbon?sslmode=none",
    ] {
        let error = Store::open(url).await.unwrap_err();
        let texts = [error.to_string(), format!("{error:?}"), Store::check_url(url).unwrap_err()];
        for text in texts {
            assert!(!text.contains("cret") && !text.contains("1234"), "{url}: {text}");
        }
    }
    assert_eq!(Store::check_url("postgres://gibbon:se%2Fcret@db/gibbon"), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_that_takes_too_long_is_ended_by_the_server() {
    let url = testkit::postgres::shared().database();
    let (store, other) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
    store.migrate(&url).await.unwrap();
    // The next writer that needs the head waits for this.
    let mut first = store.edit(&Author::default()).await.unwrap();
    first.make(vec![put_service(&service(1, "a"))]).await.unwrap();
    let refused = insert(&other, &service(1, "a")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'INSERT%'";
    let (_, name) = url.rsplit_once('/').unwrap();
    wait::until(DEADLINE, "the server ends the statement, for which nobody waits any more", || {
        testkit::postgres::shared().execute(name, running) == "0"
    })
    .await;
    drop(first);
    assert_eq!(insert(&other, &service(1, "a")).await.unwrap(), 1);
}
