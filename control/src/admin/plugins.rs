//! What plugins there are: their names, their schemas, and the ones that the configuration has. Their entities
//! are those of a kind like any other.

use std::collections::BTreeSet;

use axum::Json;
use axum::http::Uri;
use axum::routing::{get, post};
use model::{AnyEntity, kind};
use model::{PLUGINS, PluginKind};
use serde_json::{Map, Value, json};

use super::{Api, KONG, PathParam, schemas};
use crate::error::ApiError;
use crate::store::{Document, Page, Store, StoreError};

/// Plugins that are read at once.
const PAGE: u64 = 500;

pub(super) fn routes(api: &mut Api) {
    api.route("/plugins/enabled", get(enabled));
    api.route("/plugins/schema/{name}", get(config_schema));
    api.route("/schemas/plugins/{name}", get(schema));
    api.route("/schemas/plugins/validate", post(schemas::validate_plugin));
}

type Name = PathParam<String>;

async fn enabled() -> Json<Value> {
    let names: BTreeSet<&str> = PLUGINS.iter().map(|plugin| plugin.name).collect();
    Json(json!({ "enabled_plugins": names }))
}

async fn schema(PathParam(name): Name, uri: Uri) -> Result<Json<Value>, ApiError> {
    named(&name).map(|plugin| schemas::answer(plugin.schema(), uri.query().unwrap_or_default()))
}

async fn config_schema(PathParam(name): Name, uri: Uri) -> Result<Json<Value>, ApiError> {
    named(&name).map(|plugin| schemas::answer(plugin.config_schema(), uri.query().unwrap_or_default()))
}

fn named(name: &str) -> Result<&'static PluginKind, ApiError> {
    PluginKind::named(name).ok_or_else(|| schemas::no_schema("plugin", name))
}

/// The plugins that this version has, with the version of Kong whose behaviour they have.
pub(super) fn available() -> Value {
    let describe = |plugin: &PluginKind| {
        (plugin.name.to_owned(), json!({ "version": KONG, "priority": plugin.priority }))
    };
    Value::Object(PLUGINS.iter().map(describe).collect::<Map<_, _>>())
}

/// The names of the plugins of which the configuration has at least one.
pub(super) async fn in_cluster(store: &Store) -> Result<BTreeSet<&'static str>, StoreError> {
    let (mut names, mut after) = (BTreeSet::new(), None);
    while names.len() < PLUGINS.len() {
        let listed = store.list(kind::PLUGIN, &Page { size: PAGE, after, tags: None, of: None }).await?;
        names.extend(listed.documents.iter().filter_map(name));
        after = listed.next;
        if after.is_none() {
            break;
        }
    }
    Ok(names)
}

/// The name of a plugin; `None` for one that this version cannot read.
pub(super) fn name(document: &Document) -> Option<&'static str> {
    match model::described(kind::PLUGIN)?.parse(document.key.id, &document.body).ok()? {
        AnyEntity::Plugin(plugin) => Some(plugin.config.name()),
        _ => None,
    }
}
