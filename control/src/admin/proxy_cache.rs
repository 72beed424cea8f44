//! `/proxy-cache`: removes answers that data planes have kept.
//!
//! A control plane keeps no answers, and does not know which ones its data planes have. So it answers 404
//! whenever one is asked for, as Kong's does, and 204 when one is to be removed. An order is stored as an entity
//! of its own, and reaches every data plane of the fleet as any change does.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use model::plugins::ProxyCache;
use model::{CachePurge, Common, Described, Entity, Number, PluginConfig, kind};
use uuid::Uuid;
use wire::Key;

use super::entities::id_of;
use super::{Api, Context, PathParam, REVISION, plugins};
use crate::error::ApiError;
use crate::store::{self, Change, Draft, Selector};

/// Orders that are kept at a time. A further one becomes an order to remove everything.
const MOST_ORDERS: usize = 1000;

type One = PathParam<String>;
type Pair = PathParam<(String, String)>;

/// Adds the paths.
pub(super) fn routes(api: &mut Api) {
    api.route("/proxy-cache", delete(remove_all));
    api.route("/proxy-cache/{keys}", get(absent).delete(remove_one));
    api.route("/proxy-cache/{plugins}/caches/{keys}", get(absent).delete(remove_of_plugin));
}

async fn absent() -> ApiError {
    ApiError::NotCached
}

async fn remove_all(context: Context) -> Result<Response, ApiError> {
    order(&context, None, None).await
}

async fn remove_one(context: Context, PathParam(key): One) -> Result<Response, ApiError> {
    if !CachePurge::is_key(&key) {
        return Err(ApiError::NotCached);
    }
    order(&context, None, Some(key)).await
}

async fn remove_of_plugin(context: Context, PathParam((plugin, key)): Pair) -> Result<Response, ApiError> {
    let Some(plugin) = id_of(&plugin).filter(|_| CachePurge::is_key(&key)) else {
        return Err(ApiError::NotCached);
    };
    let found = context.admin.state.store.get(kind::PLUGIN, &Selector::Id(plugin)).await?;
    // Other plugins keep no answers.
    match found.as_ref().and_then(plugins::name) {
        Some(ProxyCache::NAME) => order(&context, Some(plugin), Some(key)).await,
        _ => Ok(absent().await.into_response()),
    }
}

/// Stores an order, in place of those that it includes.
async fn order(context: &Context, plugin: Option<Uuid>, key: Option<String>) -> Result<Response, ApiError> {
    let attempt = || async {
        let state = &context.admin.state;
        let held = state.publisher.of_kind(kind::CACHE_PURGE);
        let (plugin, key) = if held.len() < MOST_ORDERS { (plugin, key.clone()) } else { (None, None) };
        let is_all = plugin.is_none() && key.is_none();
        let id = CachePurge::id_of(plugin, key.as_deref());
        let included = held.iter().map(|(key, _)| *key).filter(|held| is_all && held.id != id);
        let mut changes: Vec<Change> = included.map(Change::Delete).collect();
        let set_at = Number::of_milliseconds(store::now_in_milliseconds());
        changes.push(Change::Upsert(draft(&CachePurge { id, plugin, key, set_at })?));
        let revision = state.store.write(&context.author, changes).await?;
        Ok((StatusCode::NO_CONTENT, [(REVISION, revision.to_string())]).into_response())
    };
    context.admin.edit(attempt).await
}

fn draft(purge: &CachePurge) -> Result<Draft, ApiError> {
    let now = store::now();
    let Key { kind, id } = CachePurge::key(purge.id);
    purge.validate_write().map_err(ApiError::Invalid)?;
    let content = of_orders().content(&purge.canonical()).map_err(|_| ApiError::Panicked)?;
    Ok(Draft::new(kind, Common { id, created_at: now, updated_at: now, tags: None }, content))
}

fn of_orders() -> &'static dyn Described {
    model::described(kind::CACHE_PURGE).expect("the kind is in the list of kinds")
}
