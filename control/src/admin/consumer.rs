//! `/consumers?custom_id=x`: the consumer with an id of another system, as a list of at most one.

use axum::Json;
use model::{Described, kind};
use serde_json::{Value, json};

use super::Context;
use super::entities::Entities;
use super::page::Listing;
use crate::error::ApiError;

/// The parameter.
const CUSTOM_ID: &str = "custom_id";

/// Answers a request for the list of a kind, if it asks for one consumer.
pub(super) async fn by_custom_id(
    kind: &'static dyn Described,
    context: &Context,
    listing: &Listing,
) -> Option<Result<Json<Value>, ApiError>> {
    let custom_id = listing.parameter(CUSTOM_ID).filter(|_| kind.kind() == kind::CONSUMER)?;
    Some(find(Entities::new(kind, context), custom_id).await)
}

async fn find(consumers: Entities<'_>, custom_id: &str) -> Result<Json<Value>, ApiError> {
    if custom_id.is_empty() {
        return Err(ApiError::EmptyCustomId);
    }
    let found = consumers.with_unique(CUSTOM_ID, custom_id).await?;
    let data = consumers.views(found.as_slice()).await?;
    Ok(Json(json!({ "data": data, "next": null })))
}
