//! `/upstreams/{upstream}/targets`: the targets of an upstream, newest first, each by its id or by its text.
//!
//! Kong's clients depend on two differences to other collections: a replacement of an absent target answers
//! 404, and one of an existing target keeps the fields that it does not give.

mod health;
mod state;

use axum::Json;
use axum::response::Response;
use axum::routing::get;
use model::{Described, FieldErrors, Target, kind};
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::Body;
use super::entities::{Entities, id_of};
use super::page::{Listing, OfTargets};
use super::{Api, Context, PathParam};
use crate::error::ApiError;
use crate::store::{Document, Page, Selector, Store, StoreError, Tags};

/// Targets of one read of the database.
const READ: u64 = 1000;

type One = PathParam<String>;
type Pair = PathParam<(String, String)>;

/// Adds the paths.
pub(super) fn routes(api: &mut Api) {
    let collection = "/upstreams/{upstreams}/targets";
    api.route(collection, get(list).post(create));
    api.route(&format!("{collection}/all"), get(list_all));
    let one = format!("{collection}/{{targets}}");
    api.route(&one, get(show).put(change).patch(change).delete(remove));
    state::routes(api, &one);
    health::routes(api, &one);
}

/// A target and its upstream.
struct Found {
    upstream: Document,
    target: Document,
}

async fn list(
    context: Context,
    PathParam(upstream): One,
    OfTargets(listing): OfTargets,
) -> Result<Json<Value>, ApiError> {
    let upstream = upstreams(&context).found(&upstream).await?.key.id;
    let all = newest_first(&context.admin.state.store, upstream, listing.tags()).await?;
    let from = listing.index()?;
    let size = usize::try_from(listing.size).unwrap_or(usize::MAX);
    let page: Vec<Document> = all.iter().skip(from).take(size).cloned().collect();
    let next = from.saturating_add(size);
    let next = (size > 0 && next < all.len()).then(|| next.to_string());
    let data = targets(&context).views(&page).await?.into_iter().map(Value::Object).collect();
    Ok(Json(listing.shown(data, next)))
}

/// Lists the targets in the order of their ids.
async fn list_all(
    context: Context,
    PathParam(upstream): One,
    listing: Listing,
) -> Result<Json<Value>, ApiError> {
    let upstream = upstreams(&context).found(&upstream).await?.key.id;
    targets(&context).page(&listing, Some(("upstream", upstream))).await
}

async fn create(context: Context, PathParam(upstream): One, mut body: Body) -> Result<Response, ApiError> {
    let upstream = upstreams(&context).found(&upstream).await?.key.id;
    link(&mut body, upstream);
    targets(&context).create(body).await.map_err(in_words_of_the_path)
}

async fn show(context: Context, PathParam((upstream, target)): Pair) -> Result<Json<Value>, ApiError> {
    let found = find(&context, &upstream, &target).await?;
    targets(&context).shown(&found.target).await
}

async fn change(
    context: Context,
    PathParam((upstream, target)): Pair,
    body: Body,
) -> Result<Response, ApiError> {
    let attempt = || async {
        let found = find(&context, &upstream, &target).await?;
        let mut body = body.clone();
        link(&mut body, found.upstream.key.id);
        targets(&context).patch(found.target, body).await.map_err(in_words_of_the_path)
    };
    context.admin.edit(attempt).await
}

async fn remove(context: Context, PathParam((upstream, target)): Pair) -> Result<Response, ApiError> {
    let found = find(&context, &upstream, &target).await?;
    targets(&context).delete(Some(found.target)).await
}

/// Returns the targets of an upstream that have these tags, the newest first.
pub(super) async fn newest_first(
    store: &Store,
    upstream: Uuid,
    tags: Option<Tags>,
) -> Result<Vec<Document>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = Page { size: READ, after, tags: tags.clone(), of: Some(("upstream", upstream)) };
        let listed = store.list(kind::TARGET, &page).await?;
        all.extend(listed.documents);
        after = listed.next;
        if after.is_none() {
            break;
        }
    }
    all.sort_unstable_by_key(|target| std::cmp::Reverse((target.created_at, target.key.id)));
    Ok(all)
}

/// Finds the target of a path.
async fn find(context: &Context, upstream: &str, target: &str) -> Result<Found, ApiError> {
    let upstream = upstreams(context).found(upstream).await?;
    let found = match id_of(target) {
        Some(id) => targets(context).with_id(id).await?,
        None => with_text(context, upstream.key.id, target).await?,
    };
    let target = found.filter(|target| named_by(target) == Some(upstream.key.id));
    Ok(Found { upstream, target: target.ok_or(ApiError::NotFound)? })
}

async fn with_text(context: &Context, upstream: Uuid, text: &str) -> Result<Option<Document>, ApiError> {
    let field = of(kind::TARGET).fields().iter().find(|field| field.name == "target");
    // PostgreSQL would reject the comparison with a NUL.
    let Some(field) = field.filter(|_| !text.contains('\0')) else { return Ok(None) };
    let which = Selector::Unique { field: field.name, value: field.key(text, Some(upstream)) };
    Ok(context.admin.state.store.get(kind::TARGET, &which).await?)
}

/// The upstream that a target names.
fn named_by(target: &Document) -> Option<Uuid> {
    serde_json::from_slice::<Target>(&target.body).ok().map(|target| target.upstream)
}

/// Sets the upstream of the path.
fn link(body: &mut Body, upstream: Uuid) {
    body.fields.insert("upstream".to_owned(), json!({ "id": upstream }));
}

/// Words the error of a target as Kong does at these paths, where it does not repeat the text.
fn in_words_of_the_path(error: ApiError) -> ApiError {
    let ApiError::Invalid(mut violations) = error else { return error };
    if let Some(FieldErrors::Whole(message)) = violations.fields.get_mut("target")
        && message.starts_with("Invalid target ('")
    {
        *message = "Invalid target; not a valid hostname or ip address".to_owned();
    }
    ApiError::Invalid(violations)
}

fn upstreams(context: &Context) -> Entities<'_> {
    Entities::new(of(kind::UPSTREAM), context)
}

fn targets(context: &Context) -> Entities<'_> {
    Entities::new(of(kind::TARGET), context)
}

/// The declaration of a kind of this version.
pub(super) fn of(kind: wire::Kind) -> &'static dyn Described {
    model::described(kind).expect("the kind is in the list of kinds")
}
