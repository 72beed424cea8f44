//! Certificates. The Admin API accepts a private key and never returns it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use entity::PrivateKey;
use entity::certificate::{Entity, Model};
use model::Entity as _;
use model::{Violations, bounds, validate_tags};
use node::certified_key::{self, CertifiedKeyError};
use rustls::SignatureAlgorithm;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body::Body;
use super::fields::Fields;
use super::resource::{self, Identity, Resource};
use super::sni::{Snis, canonical};
use super::{Api, PathParam, SharedAdmin, pem};
use crate::error::ApiError;
use crate::published;
use crate::store::{Selector, Store, StoreError};

/// The text shown in place of a private key. Not null: decK treats a certificate without a key as broken.
const HIDDEN: &str = "***";

/// The collection of certificates.
#[derive(Debug)]
pub(super) struct Certificates;

/// Adds the paths of the collection. It has its own, since a certificate is written together with its server
/// names.
pub(super) fn routes(api: &mut Api) {
    api.route("/certificates", get(resource::list::<Certificates>).post(create));
    let one = get(resource::show::<Certificates>).put(replace).patch(change);
    api.route("/certificates/{certificates}", one.delete(resource::remove::<Certificates>));
}

async fn create(State(admin): State<SharedAdmin>, body: Body) -> Result<Response, ApiError> {
    let (store, names) = (&admin.state.store, names(&body));
    let row = resource::new_row::<Certificates>(store, body).await?;
    let written = Certificates::rows(store).insert_named(row, names).await?;
    Ok(resource::answer::<Certificates>(&admin, StatusCode::CREATED, &written).await)
}

/// Replaces a certificate. A path may name it by a server name; if there is no such name, the certificate is
/// created with it.
async fn replace(
    State(admin): State<SharedAdmin>,
    PathParam(key): PathParam<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let attempt = || async {
        let existing = resource::find::<Certificates>(&admin, &key).await?;
        let (store, mut names) = (&admin.state.store, names(&body));
        let target = resource::target::<Certificates>(existing.as_ref(), &key);
        let mut body = body.clone();
        if let Some(row) = &existing {
            Certificates::reveal(row, &mut body.fields);
        }
        let row = resource::draft::<Certificates>(store, body, target).await?;
        if let (None, Selector::Name(name)) = (&existing, Selector::parse(&key)) {
            let made = names.get_or_insert_default();
            if !made.contains(&canonical(&name)) {
                made.push(canonical(&name));
            }
            check_name(&name)?;
        }
        let written = Certificates::rows(store).put_named(existing.as_ref(), row, names).await;
        let written = written.map_err(|error| match existing {
            None => resource::made_meanwhile(error, &canonical(&key)),
            Some(_) => error,
        })?;
        Ok(resource::answer::<Certificates>(&admin, StatusCode::OK, &written).await)
    };
    admin.edit(attempt).await
}

async fn change(
    State(admin): State<SharedAdmin>,
    PathParam(key): PathParam<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let attempt = || async {
        let existing = resource::to_change::<Certificates>(&admin, &key).await?;
        let (store, names) = (&admin.state.store, names(&body));
        let row = resource::changed::<Certificates>(store, &existing, body.clone()).await?;
        let written = Certificates::rows(store).put_named(Some(&existing), row, names).await?;
        Ok(resource::answer::<Certificates>(&admin, StatusCode::OK, &written).await)
    };
    admin.edit(attempt).await
}

impl Resource for Certificates {
    type Table = Entity;

    const HAS_NAMES: bool = true;

    /// Finds a certificate by its id, or by one of its server names.
    async fn find(store: &Store, which: Selector) -> Result<Option<Model>, StoreError> {
        let id = match which {
            Selector::Id(id) => id,
            name @ Selector::Name(_) => match Snis::find(store, name).await? {
                Some(sni) => sni.certificate_id,
                None => return Ok(None),
            },
        };
        Self::rows(store).get(&Selector::Id(id)).await
    }

    fn identity(row: &Model) -> Identity {
        Identity { id: row.id, created_at: row.created_at, updated_at: row.updated_at }
    }

    fn read(fields: &mut Fields, identity: Identity) -> Model {
        let tags = fields.set("tags");
        validate_tags(tags.as_deref().unwrap_or_default(), fields.violations());
        // Server names are rows of their own; here they are only checked.
        if let Some(names) = fields.set("snis") {
            check_names(&names, fields.violations());
        }
        Model {
            id: identity.id,
            cert: fields.required_pem("cert", pem::chain).unwrap_or_default(),
            key: fields.required_pem("key", pem::private_key).unwrap_or_default().into(),
            cert_alt: fields.pem("cert_alt", pem::chain),
            key_alt: fields.pem("key_alt", pem::private_key).map(PrivateKey::from),
            tags: tags.map(|tags| json!(tags)),
            created_at: identity.created_at,
            updated_at: identity.updated_at,
        }
    }

    fn check(row: &Model) -> Result<(), Violations> {
        let certificate = published::certificate(row);
        certificate.validate()?;
        let mut violations = Violations::default();
        let first = check_pair(&mut violations, ["cert", "key"], &row.cert, row.key.expose());
        if let (Some(cert), Some(key)) = (&row.cert_alt, &row.key_alt) {
            let second = check_pair(&mut violations, ["cert_alt", "key_alt"], cert, key.expose());
            if first.is_some() && first == second {
                violations.entity("'key' and 'key_alt' must be of different types, such as RSA and ECDSA");
            }
        }
        violations.into_result()
    }

    fn view(row: &Model) -> Value {
        json!({
            "id": row.id,
            "cert": row.cert,
            "key": HIDDEN,
            "cert_alt": row.cert_alt,
            "key_alt": row.key_alt.as_ref().map(|_| HIDDEN),
            "tags": row.tags,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        })
    }

    async fn complete(store: &Store, views: &mut [Value]) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = views.iter().filter_map(|view| view["id"].as_str()?.parse().ok()).collect();
        let names = Self::rows(store).names(&ids).await?;
        for (view, id) in views.iter_mut().zip(ids) {
            view["snis"] = json!(names.get(&id).map(Vec::as_slice).unwrap_or_default());
        }
        Ok(())
    }

    fn reveal(row: &Model, fields: &mut Map<String, Value>) {
        for (name, key) in [("key", Some(&row.key)), ("key_alt", row.key_alt.as_ref())] {
            if let (Some(shown), Some(key)) = (fields.get_mut(name), key)
                && shown == HIDDEN
            {
                *shown = json!(key.expose());
            }
        }
    }
}

/// Returns the server names of a body, if it has any. Reading the body finds their violations.
fn names(body: &Body) -> Option<Vec<String>> {
    let list = body.fields.get("snis").filter(|list| !list.is_null())?;
    let list = list.as_array().map_or(std::slice::from_ref(list), Vec::as_slice);
    let mut names: Vec<String> = list.iter().filter_map(Value::as_str).map(canonical).collect();
    names.sort();
    names.dedup();
    Some(names)
}

fn check_names(names: &[String], violations: &mut Violations) {
    if let Err(message) = bounds::at_most(names.len(), bounds::SNIS, "elements") {
        return violations.field("snis", message);
    }
    for (index, name) in names.iter().enumerate() {
        if let Err(message) = model::Sni::check_name(name) {
            violations.element("snis", index, message);
        }
    }
}

/// Checks a server name in a path.
fn check_name(name: &str) -> Result<(), ApiError> {
    model::Sni::check_name(name).map_err(|message| {
        let mut violations = Violations::default();
        violations.field("snis", message);
        ApiError::Invalid(violations)
    })
}

/// Checks that the key belongs to the certificate, and returns the type of the key.
fn check_pair(
    violations: &mut Violations,
    [cert_field, key_field]: [&str; 2],
    cert: &str,
    key: &str,
) -> Option<SignatureAlgorithm> {
    match certified_key::parse(cert, key) {
        Ok(pair) => return Some(pair.key.algorithm()),
        Err(error @ CertifiedKeyError::Certificate(_)) => violations.field(cert_field, error.to_string()),
        Err(error @ CertifiedKeyError::Key(_)) => violations.field(key_field, error.to_string()),
        Err(error @ CertifiedKeyError::Mismatch) => violations.entity(error.to_string()),
    }
    None
}
