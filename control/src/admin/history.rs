//! The history of the configuration: who changed what, and when.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};

use super::page::Listing;
use super::{Api, SharedAdmin};
use crate::error::ApiError;
use crate::store::{Operation, RevisedEntity, Revision};

pub(super) fn routes(api: &mut Api) {
    api.route("/audit", get(list));
}

/// Lists the revisions, the newest first.
async fn list(State(admin): State<SharedAdmin>, listing: Listing) -> Result<Json<Value>, ApiError> {
    let before = listing.before_revision()?;
    // One more revision than the page holds shows whether there is another page.
    let mut revisions = admin.state.store.revisions(listing.size + 1, before).await?;
    let more = revisions.len() as u64 > listing.size;
    revisions.truncate(usize::try_from(listing.size).unwrap_or(usize::MAX));
    let next = revisions.last().filter(|_| more).map(|last| last.revision.to_be_bytes());
    let data = revisions.iter().map(show).collect();
    Ok(listing.answer(data, next.as_ref().map(|next| &next[..])))
}

fn show(revision: &Revision) -> Value {
    let Revision { revision, written_at, author, source, changes, count } = revision;
    json!({
        "revision": revision,
        "written_at": written_at,
        "author": author,
        "source": source,
        "count": count,
        "changes": changes.iter().map(show_change).collect::<Vec<_>>(),
    })
}

fn show_change(change: &RevisedEntity) -> Value {
    let operation = match change.operation {
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Delete => "delete",
    };
    json!({
        "entity": model::collection(change.key.kind),
        "id": change.key.id,
        "operation": operation,
    })
}
