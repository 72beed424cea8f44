//! Collections that Kong has and this version does not. They are empty, so that tools that read all of them,
//! such as decK, work. Writes to them are rejected.

use axum::Json;
use axum::routing::get;
use serde_json::{Value, json};

use super::Api;
use super::page::Listing;
use crate::error::ApiError;

const COLLECTIONS: &[&str] = &["plugins", "consumers"];

pub(super) fn routes(api: &mut Api) {
    for collection in COLLECTIONS.iter().filter(|collection| model::of_collection(collection).is_none()) {
        api.route(&format!("/{collection}"), get(empty));
    }
}

async fn empty(listing: Listing) -> Result<Json<Value>, ApiError> {
    listing.page()?;
    Ok(Json(json!({ "data": [], "next": null })))
}
