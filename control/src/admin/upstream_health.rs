//! `/upstreams/{upstream}/health`: the health of the targets of an upstream, as the data planes report it that
//! are connected to this control plane.
//!
//! The answer has Kong's shape. A target is as healthy as on the data plane where it is best. Beyond Kong, an
//! answer without any report says `UNKNOWN`: each of Kong's words would claim something that nobody knows.

mod answer;
mod merged;

use std::collections::HashMap;

use axum::Json;
use axum::extract::RawQuery;
use axum::routing::get;
use model::{AdminState, Number, Target, TargetState, Upstream, kind};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use self::answer::Shown;
use self::merged::{Merged, Seen};
use super::entities::Entities;
use super::page::Listing;
use super::{Api, Context, PathParam, clustering, reading, targets};
use crate::cluster::Wanted;
use crate::error::ApiError;
use crate::store::{self, Document};

/// Adds the path.
pub(super) fn routes(api: &mut Api) {
    api.route("/upstreams/{upstreams}/health", get(show));
}

/// The parameters of the query, beside those of a list.
#[derive(Debug, Default)]
struct Options {
    /// Shows the upstream as a whole.
    balancer: bool,
    /// Shows every data plane of its own.
    detail: bool,
    /// Limits the answer to one data plane.
    data_plane: Option<Uuid>,
}

/// A target, with what an operator lets it do.
#[derive(Debug)]
pub(super) struct Stored {
    document: Document,
    target: Target,
    state: AdminState,
}

async fn show(
    context: Context,
    PathParam(upstream): PathParam<String>,
    listing: Listing,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let options = Options::parse(query.as_deref().unwrap_or_default())?;
    let found = Entities::new(targets::of(kind::UPSTREAM), &context).found(&upstream).await?;
    let upstream: Upstream = parsed(&found)?;
    let all = targets::newest_first(&context.admin.state.store, found.key.id, listing.tags()).await?;
    let mut answer = match options.balancer {
        true => balancer(&context, &found, &upstream, all, &options).await?,
        false => page(&context, &upstream, all, &listing, &options).await?,
    };
    answer["node_id"] = json!(context.admin.state.node.id);
    answer["data_planes"] = json!({
        "reporting": reporting(&context, &options).len(),
        "elsewhere": clustering::elsewhere(&context.admin).await?.len(),
    });
    Ok(Json(answer))
}

/// Shows a page of the targets.
async fn page(
    context: &Context,
    upstream: &Upstream,
    all: Vec<Document>,
    listing: &Listing,
    options: &Options,
) -> Result<Value, ApiError> {
    let (from, total) = (listing.index()?, all.len());
    let size = usize::try_from(listing.size).unwrap_or(usize::MAX);
    let page: Vec<Document> = all.into_iter().skip(from).take(size).collect();
    let views = Entities::new(targets::of(kind::TARGET), context).views(&page).await?;
    let stored = with_states(context, page).await?;
    let shown = views.into_iter().zip(judged(context, upstream, stored, options));
    let data = shown.map(|(view, shown)| Value::Object(shown.into_view(view, options.detail))).collect();
    let next = from.saturating_add(size);
    Ok(listing.shown(data, (next < total).then(|| next.to_string())))
}

/// Shows the upstream as a whole.
async fn balancer(
    context: &Context,
    found: &Document,
    upstream: &Upstream,
    all: Vec<Document>,
    options: &Options,
) -> Result<Value, ApiError> {
    let stored = with_states(context, all).await?;
    let shown: Vec<Shown> = judged(context, upstream, stored, options).collect();
    let reporting = reporting(context, options);
    let data = answer::balancer(found.key.id, upstream, &shown, &reporting);
    Ok(json!({ "data": data, "next": null }))
}

/// Returns the targets with what the data planes say of them.
fn judged(
    context: &Context,
    upstream: &Upstream,
    stored: Vec<Stored>,
    options: &Options,
) -> impl Iterator<Item = Shown> {
    let wanted =
        |stored: &Stored| Wanted { target: stored.document.key.id, created_at: stored.document.created_at };
    let wanted: Vec<Wanted> = stored.iter().map(wanted).collect();
    let state = &context.admin.state;
    let head = state.head.borrow().revision;
    let sightings = state.registry.health().sightings(&wanted, head, options.data_plane);
    let checks_on = upstream.checks_on();
    stored.into_iter().zip(sightings).map(move |(stored, sightings)| {
        let seen: Vec<Seen> =
            sightings.into_iter().map(|sighting| Seen::of(&stored.target, checks_on, sighting)).collect();
        Shown { merged: Merged::of(&stored.target, checks_on, &seen), seen, stored }
    })
}

async fn with_states(context: &Context, documents: Vec<Document>) -> Result<Vec<Stored>, ApiError> {
    let ids: Vec<Uuid> = documents.iter().map(|document| document.key.id).collect();
    let set = context.admin.state.store.naming(kind::TARGET_STATE, "target", (kind::TARGET, &ids)).await?;
    let now = store::now();
    let mut states = HashMap::new();
    for document in &set {
        let set: TargetState = parsed(document)?;
        if set.holds_at(now) {
            states.insert(set.target, set.state);
        }
    }
    let stored = |document: Document| {
        let state = states.get(&document.key.id).copied().unwrap_or_default();
        Ok(Stored { target: parsed(&document)?, state, document })
    };
    documents.into_iter().map(stored).collect()
}

fn reporting(context: &Context, options: &Options) -> Vec<Uuid> {
    let mut reporting = context.admin.state.registry.health().reporting();
    reporting.retain(|id| options.data_plane.is_none_or(|only| only == *id));
    reporting
}

fn parsed<E: DeserializeOwned>(document: &Document) -> Result<E, ApiError> {
    serde_json::from_slice(&document.body).map_err(|error| reading::unreadable(document, &error))
}

impl Options {
    fn parse(query: &str) -> Result<Self, ApiError> {
        let mut options = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                // As in Kong, no other value counts.
                "balancer_health" => options.balancer = value == "1",
                "detail" => options.detail = value == "1",
                "data_plane" => {
                    let invalid = || ApiError::InvalidOption {
                        name: "data_plane",
                        message: "must be the id of one".into(),
                    };
                    options.data_plane = Some(Uuid::try_parse(&value).map_err(|_| invalid())?);
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

/// Whether an upstream is available: the share of its available weight is above its threshold. All of the
/// weight is enough for every threshold.
fn is_available(threshold: Number, available: u64, total: u64) -> bool {
    let share = |weight: u64| f64::from(u32::try_from(weight).unwrap_or(u32::MAX));
    available > 0 && (available == total || share(available) * 100.0 > threshold.get() * share(total))
}
