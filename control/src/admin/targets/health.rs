//! `…/targets/{target}/healthy` and `…/unhealthy`, for a target or one of its addresses: an operator sets the
//! health on all data planes, or on one. It is stored as an operation, not in the target.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, put};
use model::{Common, Entity, ForcedHealth, Number, TargetHealth, Upstream, kind};
use serde::de::DeserializeOwned;
use uuid::Uuid;
use wire::Key;

use super::{Found, find, of};
use crate::admin::{Api, Context, PathParam, REVISION, SharedAdmin, reading};
use crate::error::ApiError;
use crate::store::{self, Change, Document, Draft, Page, Store};

/// The longest time for which an operator pins a health, in seconds: a year.
const LONGEST_PIN: i64 = 31_536_000;
/// Operations on the addresses of one target that one read of the database returns.
const OPERATIONS: u64 = 1000;

type Pair = PathParam<(String, String)>;
type Triple = PathParam<(String, String, String)>;

/// Adds the paths. Kong's verb was POST up to 2.8, and tools still send it.
pub(super) fn routes(api: &mut Api, target: &str) {
    for (word, health) in [("healthy", ForcedHealth::Healthy), ("unhealthy", ForcedHealth::Unhealthy)] {
        api.route(&format!("{target}/{word}"), of_target(health));
        api.route(&format!("{target}/{{addresses}}/{word}"), of_address(health));
    }
}

fn of_target(health: ForcedHealth) -> MethodRouter<SharedAdmin> {
    let set = move |context: Context, PathParam((upstream, target)): Pair, request: Request| async move {
        set(&context, (&upstream, &target), None, health, request.uri().query()).await
    };
    put(set).post(set)
}

fn of_address(health: ForcedHealth) -> MethodRouter<SharedAdmin> {
    let set = move |context: Context, PathParam(path): Triple, request: Request| async move {
        let (upstream, target, address) = &path;
        set(&context, (upstream, target), Some(address), health, request.uri().query()).await
    };
    put(set).post(set)
}

async fn set(
    context: &Context,
    (upstream, target): (&str, &str),
    address: Option<&str>,
    health: ForcedHealth,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let options = Options::parse(query.unwrap_or_default())?;
    let found = find(context, upstream, target).await?;
    check_is_checked(&found)?;
    // An address that no data plane knows is no failure, as in Kong; a text that is none never could be one.
    let Some(address) = canonical(address) else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let store = &context.admin.state.store;
    let earlier = operations(store, found.target.key.id).await?;
    let operation = options.operation(found.target.key.id, address, health, time_after(&earlier));
    let mut changes = superseded(earlier, &operation);
    changes.push(Change::Upsert(draft(operation)?));
    let revision = store.write(&context.author, changes).await?;
    Ok((StatusCode::NO_CONTENT, [(REVISION, revision.to_string())]).into_response())
}

/// The address in the form of a target; `None` for a text that is neither an address nor a name.
fn canonical(address: Option<&str>) -> Option<Option<String>> {
    match address {
        None => Some(None),
        Some(text) => model::TargetAddress::parse(text).map(|address| Some(address.to_string())),
    }
}

fn check_is_checked(found: &Found) -> Result<(), ApiError> {
    let upstream: Upstream = parsed(&found.upstream)?;
    match upstream.checks_on() || upstream.policy.outlier.is_some() {
        true => Ok(()),
        false => Err(ApiError::NoHealthChecks { upstream: upstream.name }),
    }
}

/// The parameters of the query.
struct Options {
    data_plane: Option<Uuid>,
    /// How long no check changes the health, in seconds.
    ttl: Option<i64>,
}

impl Options {
    fn parse(query: &str) -> Result<Self, ApiError> {
        let mut options = Self { data_plane: None, ttl: None };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let invalid = |name, message: String| ApiError::InvalidOption { name, message: message.into() };
            match &*name {
                "data_plane" => {
                    let id = Uuid::try_parse(&value).ok();
                    let id = id.ok_or_else(|| invalid("data_plane", "must be the id of one".to_owned()))?;
                    options.data_plane = Some(id);
                }
                "ttl" => {
                    let ttl = value.parse().ok().filter(|ttl| (1..=LONGEST_PIN).contains(ttl));
                    let bound = || format!("must be a number of seconds between 1 and {LONGEST_PIN}");
                    options.ttl = Some(ttl.ok_or_else(|| invalid("ttl", bound()))?);
                }
                _ => {}
            }
        }
        Ok(options)
    }

    fn operation(
        &self,
        target: Uuid,
        address: Option<String>,
        health: ForcedHealth,
        set_at: i64,
    ) -> TargetHealth {
        TargetHealth {
            id: TargetHealth::id_of(target, address.as_deref(), self.data_plane),
            target,
            address,
            data_plane: self.data_plane,
            health,
            set_at: Number::of_milliseconds(set_at),
            until: self.ttl.map(|ttl| store::now() + ttl),
        }
    }
}

async fn operations(store: &Store, target: Uuid) -> Result<Vec<TargetHealth>, ApiError> {
    let page = Page { size: OPERATIONS, after: None, tags: None, of: Some(("target", target)) };
    store.list(kind::TARGET_HEALTH, &page).await?.documents.iter().map(parsed).collect()
}

/// The present time, or one after the earlier operations if the clock went back or stood: data planes take the
/// latest, and would ignore this one.
fn time_after(earlier: &[TargetHealth]) -> i64 {
    let latest = earlier.iter().map(|other| other.set_at.milliseconds()).max();
    store::now_in_milliseconds().max(latest.map_or(0, |latest| latest + 1))
}

/// The deletion of the operations that a later one leaves without effect: those on single addresses, and on
/// single data planes, of what it sets as a whole.
fn superseded(earlier: Vec<TargetHealth>, by: &TargetHealth) -> Vec<Change> {
    let covers = |other: &TargetHealth| {
        other.id != by.id
            && (by.address.is_none() || by.address == other.address)
            && (by.data_plane.is_none() || by.data_plane == other.data_plane)
    };
    earlier
        .iter()
        .filter(|other| covers(other))
        .map(|other| Change::Delete(TargetHealth::key(other.id)))
        .collect()
}

fn draft(operation: TargetHealth) -> Result<Draft, ApiError> {
    let now = store::now();
    let Key { kind, id } = TargetHealth::key(operation.id);
    operation.validate_write().map_err(ApiError::Invalid)?;
    let content = of(kind).content(&operation.canonical()).map_err(|_| ApiError::Panicked)?;
    Ok(Draft::new(kind, Common { id, created_at: now, updated_at: now, tags: None }, content))
}

fn parsed<E: DeserializeOwned>(document: &Document) -> Result<E, ApiError> {
    serde_json::from_slice(&document.body).map_err(|error| reading::unreadable(document, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_operation_is_later_whatever_the_clock_says() {
        let at = |set_at| TargetHealth { set_at: Number::of_milliseconds(set_at), ..TargetHealth::default() };
        let now = store::now_in_milliseconds();
        assert!(time_after(&[]) >= now);
        assert!(time_after(&[at(now - 5000)]) >= now);
        assert_eq!(time_after(&[at(now + 3_600_000), at(now)]), now + 3_600_001);
    }
}
