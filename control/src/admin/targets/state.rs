//! `…/targets/{target}/state`: what an operator lets a target do. It is no part of the target, so that no
//! synchronisation of a declarative configuration undoes it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::{AdminState, TargetState, Violations, Word, kind};
use serde_json::{Value, json};

use super::{Found, Pair, find, of};
use crate::admin::body::Body;
use crate::admin::entities::Entities;
use crate::admin::reading::{self, Target};
use crate::admin::{Api, Context, PathParam, REVISION};
use crate::error::ApiError;
use crate::store::{self, Change, Document};

pub(super) fn routes(api: &mut Api, target: &str) {
    api.route(&format!("{target}/state"), get(show).put(set).delete(remove));
}

async fn show(context: Context, PathParam((upstream, target)): Pair) -> Result<Json<Value>, ApiError> {
    let found = find(&context, &upstream, &target).await?;
    view(stored(&context, &found).await?.as_ref())
}

/// Sets the state. The state `ready` is that of a target for which none is set.
async fn set(
    context: Context,
    PathParam((upstream, target)): Pair,
    body: Body,
) -> Result<Response, ApiError> {
    let attempt = || async {
        let found = find(&context, &upstream, &target).await?;
        let id = found.target.key.id;
        let mut body = body.clone();
        required(&body)?;
        body.fields.insert("target".to_owned(), json!({ "id": id }));
        let states = Entities::new(of(kind::TARGET_STATE), &context);
        let draft = states.read(body, Target::NewWithId(id)).await?.draft;
        let wanted = parsed(&draft.document)?;
        check_until(&wanted)?;
        let change = match wanted.state {
            AdminState::Ready => Change::Delete(draft.document.key),
            AdminState::Drain | AdminState::Maint => Change::Upsert(draft.clone()),
        };
        let store = &context.admin.state.store;
        let revision = store.write(&context.author, vec![change]).await?;
        let written = (wanted.state != AdminState::Ready).then_some(&draft.document);
        Ok((StatusCode::OK, [(REVISION, revision.to_string())], view(written)?).into_response())
    };
    context.admin.edit(attempt).await
}

async fn remove(context: Context, PathParam((upstream, target)): Pair) -> Result<Response, ApiError> {
    let found = find(&context, &upstream, &target).await?;
    let changes = vec![Change::Delete(TargetState::key(found.target.key.id))];
    let revision = context.admin.state.store.write(&context.author, changes).await?;
    Ok((StatusCode::NO_CONTENT, [(REVISION, revision.to_string())]).into_response())
}

async fn stored(context: &Context, found: &Found) -> Result<Option<Document>, ApiError> {
    Entities::new(of(kind::TARGET_STATE), context).with_id(found.target.key.id).await
}

/// Checks that a state is given: the declaration has a default for data planes.
fn required(body: &Body) -> Result<(), ApiError> {
    if body.fields.get("state").is_none_or(Value::is_null) {
        return Err(invalid("state", "required field missing"));
    }
    Ok(())
}

fn check_until(state: &TargetState) -> Result<(), ApiError> {
    match state.holds_at(store::now()) {
        true => Ok(()),
        false => Err(invalid("until", "value should be in the future, in seconds since 1970")),
    }
}

fn invalid(field: &str, message: &str) -> ApiError {
    let mut violations = Violations::default();
    violations.field(field, message);
    ApiError::Invalid(violations)
}

fn view(stored: Option<&Document>) -> Result<Json<Value>, ApiError> {
    // The control plane deletes a state that has ended, soon after.
    let held = stored.map(|document| Ok::<_, ApiError>((parsed(document)?, document.updated_at)));
    let held = held.transpose()?.filter(|(state, _)| state.holds_at(store::now()));
    Ok(Json(match held {
        Some((state, since)) => {
            json!({ "state": state.state.as_str(), "until": state.until, "since": since })
        }
        None => json!({ "state": AdminState::Ready.as_str(), "until": null, "since": null }),
    }))
}

fn parsed(document: &Document) -> Result<TargetState, ApiError> {
    serde_json::from_slice(&document.body).map_err(|error| reading::unreadable(document, &error))
}
