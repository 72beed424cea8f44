//! Nested collections: the rows that belong to an entity, and the entity under one of its rows.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::Body;
use super::page::Listing;
use super::resource::{self, Resource, Row, Target};
use super::{Api, PathParam, SharedAdmin};
use crate::error::ApiError;
use crate::store::{self, Selector};

/// A resource whose rows belong to a row of another one.
pub(super) trait Child: Resource<Table: store::Child> {
    /// The resource that the rows belong to.
    type Parent: Resource;

    /// The field that names the parent.
    const FIELD: &'static str;

    /// Whether there is a path from a row to its parent. Kong has none from a server name.
    const SHOWS_PARENT: bool = true;

    /// The id of the row's parent.
    fn parent(row: &Row<Self>) -> Option<Uuid>;

    /// Returns the row with this parent.
    fn link(row: Row<Self>, parent: Uuid) -> Row<Self>;
}

/// Adds the paths of the nested collection.
pub(super) fn routes<C: Child>(api: &mut Api) {
    let (parents, children, field) = (C::Parent::COLLECTION, C::COLLECTION, C::FIELD);
    let collection = format!("/{parents}/{{{parents}}}/{children}");
    api.route(&collection, get(list::<C>).post(create::<C>));
    let one = get(show::<C>).put(replace::<C>).patch(change::<C>).delete(remove::<C>);
    api.route(&format!("{collection}/{{{children}}}"), one);
    if !C::SHOWS_PARENT {
        return;
    }
    let parent = get(show_parent::<C>).put(replace_parent::<C>).patch(change_parent::<C>);
    api.route(&format!("/{children}/{{{children}}}/{field}"), parent);
}

async fn list<C: Child>(
    State(admin): State<SharedAdmin>,
    PathParam(parent): PathParam<String>,
    listing: Listing,
) -> Result<Json<Value>, ApiError> {
    let parent = parent_id::<C>(&admin, &parent).await?;
    let listed = C::rows(&admin.state.store).list_of(parent, &listing.page()?).await?;
    resource::page::<C>(&admin, &listing, &listed).await
}

async fn create<C: Child>(
    State(admin): State<SharedAdmin>,
    PathParam(parent): PathParam<String>,
    mut body: Body,
) -> Result<Response, ApiError> {
    belong::<C>(&mut body, parent_id::<C>(&admin, &parent).await?);
    resource::create_in::<C>(&admin, body).await
}

async fn show<C: Child>(
    State(admin): State<SharedAdmin>,
    PathParam((parent, child)): PathParam<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let parent = parent_id::<C>(&admin, &parent).await?;
    let row = child_of::<C>(&admin, parent, &child).await?;
    resource::shown::<C>(&admin, &row.ok_or(ApiError::NotFound)?).await
}

async fn replace<C: Child>(
    State(admin): State<SharedAdmin>,
    PathParam((parent, child)): PathParam<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let attempt = || async {
        let parent = parent_id::<C>(&admin, &parent).await?;
        let existing = resource::find::<C>(&admin, &child).await?;
        // A path must not take over a row of another parent, which it does not show.
        if existing.as_ref().is_some_and(|row| C::parent(row) != Some(parent)) {
            return Err(ApiError::NotFound);
        }
        let mut body = body.clone();
        belong::<C>(&mut body, parent);
        resource::put_over::<C>(&admin, &child, existing.as_ref(), body).await
    };
    admin.edit(attempt).await
}

async fn change<C: Child>(
    State(admin): State<SharedAdmin>,
    PathParam((parent, child)): PathParam<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let attempt = || async {
        let parent = parent_id::<C>(&admin, &parent).await?;
        let existing = child_of::<C>(&admin, parent, &child).await?.ok_or(ApiError::NotFound)?;
        resource::patch::<C>(&admin, &existing, body.clone()).await
    };
    admin.edit(attempt).await
}

async fn remove<C: Child>(
    State(admin): State<SharedAdmin>,
    PathParam((parent, child)): PathParam<(String, String)>,
) -> Result<Response, ApiError> {
    let parent = parent_id::<C>(&admin, &parent).await?;
    let existing = resource::find::<C>(&admin, &child).await?;
    // A path must not delete a row of another parent, which it does not show.
    if existing.as_ref().is_some_and(|row| C::parent(row) != Some(parent)) {
        return Err(ApiError::NotFound);
    }
    resource::delete::<C>(&admin, existing.as_ref()).await
}

async fn show_parent<C: Child>(
    State(admin): State<SharedAdmin>,
    PathParam(child): PathParam<String>,
) -> Result<Json<Value>, ApiError> {
    let row = resource::found::<C>(&admin, &child).await?;
    let parent = parent_of::<C>(&admin, &row).await?.ok_or(ApiError::NotFound)?;
    resource::shown::<C::Parent>(&admin, &parent).await
}

/// Replaces the parent of a row, or creates it.
async fn replace_parent<C: Child>(
    State(admin): State<SharedAdmin>,
    PathParam(child): PathParam<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let attempt = || async {
        let row = resource::found::<C>(&admin, &child).await?;
        if let Some(parent) = parent_of::<C>(&admin, &row).await? {
            let key = C::Parent::identity(&parent).id.to_string();
            return resource::put_over::<C::Parent>(&admin, &key, Some(&parent), body.clone()).await;
        }
        make_parent::<C>(&admin, &row, body.clone()).await
    };
    admin.edit(attempt).await
}

async fn change_parent<C: Child>(
    State(admin): State<SharedAdmin>,
    PathParam(child): PathParam<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let attempt = || async {
        let row = resource::found::<C>(&admin, &child).await?;
        let parent = parent_of::<C>(&admin, &row).await?.ok_or(ApiError::NotFound)?;
        resource::patch::<C::Parent>(&admin, &parent, body.clone()).await
    };
    admin.edit(attempt).await
}

/// Creates the parent and links the row to it in one write: neither exists without the other.
async fn make_parent<C: Child>(admin: &SharedAdmin, row: &Row<C>, body: Body) -> Result<Response, ApiError> {
    let store = &admin.state.store;
    let parent = resource::draft::<C::Parent>(store, body, Target::New).await?;
    let linked = C::link(row.clone(), C::Parent::identity(&parent).id);
    let written = C::rows(store).replace_under::<<C::Parent as Resource>::Table>(parent, row, linked).await?;
    Ok(resource::answer::<C::Parent>(admin, StatusCode::OK, &written).await)
}

async fn parent_id<C: Child>(admin: &SharedAdmin, key: &str) -> Result<Uuid, ApiError> {
    let parent = resource::found::<C::Parent>(admin, key).await?;
    Ok(C::Parent::identity(&parent).id)
}

async fn parent_of<C: Child>(admin: &SharedAdmin, row: &Row<C>) -> Result<Option<Row<C::Parent>>, ApiError> {
    match C::parent(row) {
        Some(id) => Ok(C::Parent::rows(&admin.state.store).get(&Selector::Id(id)).await?),
        None => Ok(None),
    }
}

async fn child_of<C: Child>(
    admin: &SharedAdmin,
    parent: Uuid,
    key: &str,
) -> Result<Option<Row<C>>, ApiError> {
    let row = resource::find::<C>(admin, key).await?;
    Ok(row.filter(|row| C::parent(row) == Some(parent)))
}

fn belong<C: Child>(body: &mut Body, parent: Uuid) {
    body.fields.insert(C::FIELD.into(), json!({ "id": parent }));
}
