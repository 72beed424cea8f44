//! The answers to a document.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::SampleRequest;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::admin::REVISION;
use crate::declarative::{Difference, NamedDisagreement, NamedDisagreements, Operation, Summary};
use crate::store::Head;

/// The most changes that an answer lists.
const LISTED: usize = 10_000;

/// The numbers of changes.
#[derive(Clone, Debug)]
pub(super) struct Counts(Map<String, Value>);

impl Counts {
    pub(super) fn of(difference: &Difference) -> Self {
        let (mut kinds, mut totals) = (Map::new(), [0; 3]);
        for ((kind, operation), count) in difference.counts() {
            totals[place(operation)] += count;
            let of_kind = kinds
                .entry(model::collection(kind))
                .or_insert_with(|| json!({ "created": 0, "updated": 0, "deleted": 0 }));
            of_kind[WORDS[place(operation)]] = json!(count);
        }
        let totals = WORDS.iter().zip(totals).map(|(word, total)| ((*word).to_owned(), json!(total)));
        let mut counts: Map<String, Value> = totals.collect();
        counts.insert("unchanged".to_owned(), json!(difference.unchanged));
        counts.insert("counts".to_owned(), Value::Object(kinds));
        Self(counts)
    }
}

const WORDS: [&str; 3] = ["created", "updated", "deleted"];

fn place(operation: Operation) -> usize {
    match operation {
        Operation::Create => 0,
        Operation::Update => 1,
        Operation::Delete => 2,
    }
}

/// The answer to a document that was applied.
pub(super) fn applied(counts: &Counts, revision: u64) -> Response {
    answer(StatusCode::CREATED, counts.0.clone(), revision)
}

/// The answer to a document that changes nothing.
pub(super) fn unchanged(difference: &Difference, head: Head, check_hash: bool) -> Response {
    match check_hash {
        true => (StatusCode::NOT_MODIFIED, [(REVISION, super::revision(head))]).into_response(),
        false => answer(StatusCode::OK, Counts::of(difference).0, head.revision),
    }
}

/// The answer that shows what a document would change.
pub(super) fn dry_run(difference: &Difference, disagreements: &NamedDisagreements, head: Head) -> Response {
    let mut body = Counts::of(difference).0;
    let changes: Vec<Value> = difference.summaries().take(LISTED).map(|change| show(&change)).collect();
    let total = difference.puts.len() + difference.deletes.len();
    body.insert("dry_run".to_owned(), json!(true));
    body.insert("changes_left_out".to_owned(), json!(total - changes.len()));
    body.insert("changes".to_owned(), changes.into());
    body.insert(
        "order_disagreements".to_owned(),
        disagreements.found.iter().map(show_disagreement).collect(),
    );
    body.insert("order_search_bounded".to_owned(), json!(disagreements.bounded));
    body.insert("revision".to_owned(), json!(head.revision));
    (StatusCode::OK, Json(Value::Object(body))).into_response()
}

fn answer(status: StatusCode, mut body: Map<String, Value>, revision: u64) -> Response {
    body.insert("revision".to_owned(), json!(revision));
    (status, [(REVISION, revision.to_string())], Json(Value::Object(body))).into_response()
}

/// A request that the two orders of routes lead to different routes.
fn show_disagreement(found: &NamedDisagreement) -> Value {
    let route = |(id, name): &(Uuid, Option<String>)| json!({ "id": id, "name": name });
    let SampleRequest { method, host, port, path, headers } = &found.request;
    let headers: Map<String, Value> =
        headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "strict": route(&found.strict),
        "kong3": route(&found.kong3),
        "request": { "method": method, "host": host, "port": port, "path": path, "headers": headers },
    })
}

fn show(change: &Summary) -> Value {
    let collection = model::collection(change.key.kind);
    let mut shown = json!({
        "operation": change.operation.as_str(),
        "entity_type": collection.strip_suffix('s').unwrap_or(&collection),
        "entity_id": change.key.id,
    });
    if let Some(name) = &change.name {
        shown["entity_name"] = json!(name);
    }
    if change.operation == Operation::Update {
        shown["fields"] = json!(change.fields);
    }
    shown
}
