//! Tags of all collections.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};

use super::page::Listing;
use super::{Api, PathParam, SharedAdmin};
use crate::error::ApiError;
use crate::store::TagRow;

pub(super) fn routes(api: &mut Api) {
    api.route("/tags", get(all));
    api.route("/tags/{tags}", get(one));
}

async fn all(State(admin): State<SharedAdmin>, listing: Listing) -> Result<Json<Value>, ApiError> {
    list(&admin, None, &listing).await
}

async fn one(
    State(admin): State<SharedAdmin>,
    PathParam(tag): PathParam<String>,
    listing: Listing,
) -> Result<Json<Value>, ApiError> {
    match tag.contains('\0') {
        true => Ok(listing.answer(Vec::new(), None)),
        false => list(&admin, Some(&tag), &listing).await,
    }
}

async fn list(admin: &SharedAdmin, tag: Option<&str>, listing: &Listing) -> Result<Json<Value>, ApiError> {
    let after = listing.after_tag()?;
    // One more row than the page holds shows whether there is another page.
    let mut rows = admin.state.store.tags(tag, listing.size + 1, after.as_ref()).await?;
    let more = rows.len() as u64 > listing.size;
    rows.truncate(usize::try_from(listing.size).unwrap_or(usize::MAX));
    let last = rows.last().filter(|_| more);
    let next =
        last.map(|TagRow { key, tag }| [&[key.kind.0][..], &key.id.as_bytes()[..], tag.as_bytes()].concat());
    let data = rows.iter().map(|TagRow { key, tag }| {
        json!({ "entity_name": model::collection(key.kind), "entity_id": key.id, "tag": tag })
    });
    Ok(listing.answer(data.collect(), next.as_deref()))
}
