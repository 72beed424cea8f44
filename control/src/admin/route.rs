//! Routes.

use entity::route::{Entity, Model};
use model::Entity as _;
use model::{Protocol, Violations, validate_tags};
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::Body;
use super::fields::Fields;
use super::nested::Child;
use super::resource::{Identity, Resource};
use super::service::Services;
use crate::error::ApiError;
use crate::published;
use crate::store::{Selector, Store};

/// The collection of routes.
#[derive(Debug)]
pub(super) struct Routes;

impl Resource for Routes {
    type Table = Entity;

    fn identity(row: &Model) -> Identity {
        Identity { id: row.id, created_at: row.created_at, updated_at: row.updated_at }
    }

    /// Resolves a service that is given by its name.
    async fn resolve(store: &Store, body: &mut Body) -> Result<(), ApiError> {
        let Some(service) = body.fields.get_mut("service").and_then(Value::as_object_mut) else {
            return Ok(());
        };
        let named = service.len() == 1 && !service.contains_key("id");
        let Some(name) = service.get("name").and_then(Value::as_str).filter(|_| named) else {
            return Ok(());
        };
        let found = match name.contains('\0') || name.len() > model::bounds::NAME {
            true => None,
            false => store.services().get(&Selector::Name(name.to_owned())).await?,
        };
        let unresolved =
            || ApiError::Unresolved { field: "service", collection: "services", name: beginning(name) };
        let id = found.ok_or_else(unresolved)?.id;
        *service = [("id".to_owned(), json!(id))].into_iter().collect();
        Ok(())
    }

    fn read(fields: &mut Fields, identity: Identity) -> Model {
        let tags = fields.set("tags");
        validate_tags(tags.as_deref().unwrap_or_default(), fields.violations());
        let protocols = protocols(fields).unwrap_or_else(|| vec!["http".into(), "https".into()]);
        let grpc = protocols.iter().any(|protocol| protocol.starts_with("grpc"));
        Model {
            id: identity.id,
            name: fields.string("name"),
            service_id: fields.reference("service"),
            methods: column(fields.set("methods")),
            hosts: column(fields.set("hosts")),
            paths: column(fields.set("paths")),
            headers: fields.map_of_lists("headers").map(Value::Object),
            snis: column(fields.set("snis")),
            sources: column(fields.endpoints("sources")),
            destinations: column(fields.endpoints("destinations")),
            https_redirect_status_code: fields
                .integer("https_redirect_status_code", 0..=65_535)
                .unwrap_or(426),
            regex_priority: fields
                .integer("regex_priority", i64::from(i32::MIN)..=i64::from(i32::MAX))
                .unwrap_or(0),
            // The path of a gRPC request is a method's name: there is nothing to strip.
            strip_path: fields.boolean("strip_path").unwrap_or(!grpc),
            path_handling: fields.one_of("path_handling", &["v0", "v1"]).unwrap_or_else(|| "v0".into()),
            preserve_host: fields.boolean("preserve_host").unwrap_or(false),
            request_buffering: fields.boolean("request_buffering").unwrap_or(true),
            response_buffering: fields.boolean("response_buffering").unwrap_or(true),
            tags: column(tags),
            protocols: json!(protocols),
            created_at: identity.created_at,
            updated_at: identity.updated_at,
        }
    }

    fn check(row: &Model) -> Result<(), Violations> {
        published::route(row).validate_write()
    }

    fn view(row: &Model) -> Value {
        json!({
            "id": row.id,
            "name": row.name,
            "service": row.service_id.map(|id| json!({ "id": id })),
            "protocols": row.protocols,
            "methods": row.methods,
            "hosts": row.hosts,
            "paths": row.paths,
            "headers": row.headers,
            "snis": row.snis,
            "sources": row.sources,
            "destinations": row.destinations,
            "https_redirect_status_code": row.https_redirect_status_code,
            "regex_priority": row.regex_priority,
            "strip_path": row.strip_path,
            "path_handling": row.path_handling,
            "preserve_host": row.preserve_host,
            "request_buffering": row.request_buffering,
            "response_buffering": row.response_buffering,
            "tags": row.tags,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        })
    }
}

impl Child for Routes {
    type Parent = Services;

    const FIELD: &'static str = "service";

    fn parent(row: &Model) -> Option<Uuid> {
        row.service_id
    }

    fn link(row: Model, parent: Uuid) -> Model {
        Model { service_id: Some(parent), ..row }
    }
}

/// Shortens a name for an error message.
fn beginning(name: &str) -> String {
    name[..name.floor_char_boundary(model::bounds::NAME)].to_owned()
}

/// Reads the protocols. If one of them is unknown, returns none, so that rules by protocol do not apply.
fn protocols(fields: &mut Fields) -> Option<Vec<String>> {
    let protocols = fields.set("protocols")?;
    let is_unknown = |name: &&String| name.parse::<Protocol>().is_err();
    let Some(unknown) = protocols.iter().find(is_unknown) else { return Some(protocols) };
    let shown: String = unknown.chars().take(64).collect();
    fields.violations().field("protocols", format!("unknown type: {shown}"));
    Some(Vec::new())
}

fn column<T: serde::Serialize>(list: Option<Vec<T>>) -> Option<Value> {
    list.map(|list| json!(list))
}
