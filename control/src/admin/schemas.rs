//! `/schemas`: what entities of each kind may hold, from their declarations, and the check of a body that
//! writes nothing.

use axum::Json;
use axum::http::Uri;
use axum::routing::{get, post};
use model::Described;
use serde_json::{Value, json};

use super::body::Body;
use super::{Api, PathParam, reading};
use crate::error::ApiError;

pub(super) fn routes(api: &mut Api) {
    api.route("/schemas/{entity}", get(show));
    api.route("/schemas/{entity}/validate", post(validate));
    // This version has none.
    api.route("/schemas/vaults/{name}", get(async |PathParam(name): Name| no_schema("vault", &name)));
}

type Name = PathParam<String>;

async fn show(PathParam(name): Name, uri: Uri) -> Result<Json<Value>, ApiError> {
    let query = uri.query().unwrap_or_default();
    Ok(answer(entity(&name)?.schema(), query))
}

/// Answers with a schema. The fields that Kong does not have are shown to those who ask for them.
pub(super) fn answer(mut schema: Value, query: &str) -> Json<Value> {
    let asked = form_urlencoded::parse(query.as_bytes());
    if !asked.into_iter().any(|(name, value)| (&*name, &*value) == ("additions", "true")) {
        model::without_additions(&mut schema);
    }
    Json(schema)
}

/// Checks a body as a write does, with defaults for what is not given. It neither looks for other entities
/// with its unique values nor for those that it names.
async fn validate(PathParam(name): Name, body: Body) -> Result<Json<Value>, ApiError> {
    reading::check(entity(&name)?, body).await?;
    Ok(Json(json!({ "message": "schema validation successful" })))
}

/// Checks the body of a plugin. The paths of the schemas of plugins hide the one of [`validate`].
pub(super) async fn validate_plugin(body: Body) -> Result<Json<Value>, ApiError> {
    validate(PathParam("plugins".to_owned()), body).await
}

fn entity(name: &str) -> Result<&'static dyn Described, ApiError> {
    let found = model::of_collection(name).filter(|kind| !kind.is_operational());
    found.ok_or_else(|| no_schema("entity", name))
}

pub(super) fn no_schema(of: &'static str, name: &str) -> ApiError {
    ApiError::NoSchema { of, name: reading::beginning(name) }
}
