//! `/upstreams/{upstream}/policy`: the field `policy` of an upstream as a resource of its own, for clients
//! that do not know the field.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::{Described, Map, kind};
use serde_json::{Value, json};

use super::body::Body;
use super::entities::Entities;
use super::reading::{self, Target};
use super::{Api, Context, PathParam, REVISION};
use crate::error::ApiError;
use crate::store::{Change, Document};

/// The field.
const POLICY: &str = "policy";

type One = PathParam<String>;

pub(super) fn routes(api: &mut Api) {
    api.route("/upstreams/{upstreams}/policy", get(show).put(replace).patch(change).delete(reset));
}

async fn show(context: Context, PathParam(key): One) -> Result<Json<Value>, ApiError> {
    policy_of(&upstreams(&context).found(&key).await?)
}

async fn replace(context: Context, PathParam(key): One, body: Body) -> Result<Response, ApiError> {
    write(&context, &key, &body, true).await
}

async fn change(context: Context, PathParam(key): One, body: Body) -> Result<Response, ApiError> {
    write(&context, &key, &body, false).await
}

async fn reset(context: Context, PathParam(key): One) -> Result<Response, ApiError> {
    let mut response = write(&context, &key, &Body::default(), true).await?;
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.body_mut() = axum::body::Body::empty();
    response.headers_mut().remove(axum::http::header::CONTENT_TYPE);
    response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
    Ok(response)
}

/// Writes the upstream with this policy in place of its own, or with its own and these fields of it.
async fn write(context: &Context, key: &str, body: &Body, whole: bool) -> Result<Response, ApiError> {
    let attempt = || async {
        let upstreams = upstreams(context);
        let before = upstreams.found(key).await?;
        let held = if whole { without_policy(&before)? } else { before.clone() };
        let mut upstream = Body { fields: Map::new(), form: body.form };
        upstream.fields.insert(POLICY.to_owned(), Value::Object(body.fields.clone()));
        let after = upstreams.read(upstream, Target::Changed(held)).await?.draft;
        let shown = policy_of(&after.document)?;
        let changes = vec![Change::Replace { before, after }];
        let revision = context.admin.state.store.write(&context.author, changes).await?;
        Ok((StatusCode::OK, [(REVISION, revision.to_string())], shown).into_response())
    };
    context.admin.edit(attempt).await
}

fn without_policy(upstream: &Document) -> Result<Document, ApiError> {
    let unreadable = |error| reading::unreadable(upstream, &error);
    let mut fields: Map = serde_json::from_slice(&upstream.body).map_err(unreadable)?;
    fields.remove(POLICY);
    let body = serde_json::to_vec(&fields).map_err(unreadable)?;
    Ok(Document { body: body.into(), ..upstream.clone() })
}

/// The policy of an upstream, in full.
fn policy_of(upstream: &Document) -> Result<Json<Value>, ApiError> {
    let view = of_upstreams().show(&upstream.body);
    let mut view = view.map_err(|error| reading::unreadable(upstream, &error))?;
    let default = || {
        let field = of_upstreams().fields().iter().find(|field| field.name == POLICY);
        field.map_or_else(|| json!({}), |field| field.default.clone())
    };
    Ok(Json(view.remove(POLICY).unwrap_or_else(default)))
}

fn upstreams(context: &Context) -> Entities<'_> {
    Entities::new(of_upstreams(), context)
}

fn of_upstreams() -> &'static dyn Described {
    model::described(kind::UPSTREAM).expect("the kind is in the list of kinds")
}
