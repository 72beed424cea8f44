//! Concurrent writers: revisions have no gap, and no acknowledged write is lost.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;

use super::{Admin, on_both_databases, revision};

on_both_databases!(
    revisions_have_no_gap,
    edits_of_one_row_do_not_undo_each_other,
    one_name_has_one_row,
    more_conflicts_than_connections_are_answered,
);

const WRITERS: u64 = 8;
const EACH: u64 = 12;

async fn revisions_have_no_gap(admin: &Admin) {
    let writers = (0..WRITERS).map(|writer| async move {
        let mut made = Vec::new();
        for n in 0..EACH {
            let name = format!("w{writer}-{n}");
            let answer = admin.post("/services", &json!({ "name": name, "host": "x" })).await.expect(201);
            made.push((name, revision(&answer), answer.json()));
        }
        made
    });
    let made: Vec<_> = join_all(writers).await.into_iter().flatten().collect();
    let revisions: BTreeSet<u64> = made.iter().map(|(_, revision, _)| *revision).collect();
    assert_eq!(revisions, (1..=WRITERS * EACH).collect());
    for (name, _, row) in &made {
        assert_eq!(&admin.get(&format!("/services/{name}")).await.expect(200).json(), row);
    }
    assert_eq!(admin.published(WRITERS * EACH).await, WRITERS * EACH);
}

async fn edits_of_one_row_do_not_undo_each_other(admin: &Admin) {
    admin.post("/services", &json!({ "name": "a", "host": "x" })).await.expect(201);
    let fields = ["retries", "connect_timeout", "read_timeout", "write_timeout", "port"];
    for round in 1..=5 {
        let edits = fields.iter().map(|field| async move {
            admin.patch("/services/a", &json!({ *field: round })).await.expect(200);
        });
        join_all(edits).await;
        let row = admin.get("/services/a").await.expect(200).json();
        for field in fields {
            assert_eq!(row[field], round, "{field} in {row}");
        }
    }
}

async fn one_name_has_one_row(admin: &Admin) {
    let writers = (0..WRITERS).map(|n| async move {
        admin.put("/services/a", &json!({ "host": format!("h{n}") })).await.expect(200).json()["id"].clone()
    });
    let ids = join_all(writers).await;
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    let created = (0..WRITERS)
        .map(|_| async move { admin.post("/services", &json!({ "name": "b", "host": "x" })).await.status });
    let statuses = join_all(created).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 409)), "{statuses:?}");
}

/// What explains a conflict does not wait for the connections of the others.
async fn more_conflicts_than_connections_are_answered(admin: &Admin) {
    let body = json!({ "username": "taken" });
    let taken = admin.post("/consumers", &body).await.expect(201).json();
    let conflicts = (0..64).map(|number| {
        let mut body = body.clone();
        if number % 2 == 0 {
            body["id"] = taken["id"].clone();
        }
        async move { admin.post("/consumers", &body).await.expect(if number % 2 == 0 { 400 } else { 409 }) }
    });
    join_all(conflicts).await;
    assert_eq!(admin.get("/consumers").await.expect(200).json()["data"], json!([taken]));
}
