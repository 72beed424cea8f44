//! Certificates are written and shown together with their server names, which are entities of their own, and
//! a path may give a certificate by one of them.

use std::collections::{HashMap, HashSet};

use model::{Common, Described, Input, Map, Sni, Violations, kind};
use serde_json::json;
use uuid::Uuid;

use crate::error::ApiError;
use crate::store::{self, Author, Change, Document, Draft, Selector, Store, StoreError};

/// The field of a server name that names its certificate.
const CERTIFICATE: &str = "certificate";

/// Whether entities of the kind have server names.
pub(super) fn has_names(kind: &dyn Described) -> bool {
    kind.kind() == kind::CERTIFICATE
}

/// Takes the server names out of a body, in their order; `None` if it has none or they break a rule.
pub(super) fn names(
    kind: &dyn Described,
    fields: &mut Map,
    form: bool,
    violations: &mut Violations,
) -> Option<Vec<String>> {
    let field = kind.companions().into_iter().find(|field| has_names(kind) && field.name == "snis")?;
    let mut names = field.take::<Option<Vec<String>>>(fields, form, violations)??;
    names.sort();
    Some(names)
}

/// Adds the server name of a path to those of a body.
///
/// # Errors
/// When it is none.
pub(super) fn add_name(names: &mut Option<Vec<String>>, name: &str) -> Result<(), ApiError> {
    Sni::check_name(name).map_err(|message| {
        let mut violations = Violations::default();
        violations.field("snis", message);
        ApiError::Invalid(violations)
    })?;
    let (names, name) = (names.get_or_insert_default(), Sni::canonical_name(name));
    if !names.contains(&name) {
        names.push(name);
    }
    Ok(())
}

/// Finds a certificate by one of its server names.
pub(super) async fn find(store: &Store, name: &str) -> Result<Option<Document>, StoreError> {
    let which = Selector::Unique { field: "name", value: Sni::canonical_name(name) };
    let Some(id) = store.get(kind::SNI, &which).await?.as_ref().and_then(certificate_of) else {
        return Ok(None);
    };
    store.get(kind::CERTIFICATE, &Selector::Id(id)).await
}

/// Makes changes and, at the same revision, `names` the server names of a certificate. Names that it has stay
/// as they are.
///
/// # Errors
/// [`StoreError::Changed`] when another write has changed one of its names meanwhile; otherwise those of
/// [`Store::write`].
pub(super) async fn write(
    store: &Store,
    author: &Author,
    certificate: &Document,
    names: Vec<String>,
    mut changes: Vec<Change>,
) -> Result<u64, ApiError> {
    let held = held(store, &[certificate.key.id]).await?;
    let (mut unchanged, mut kept) = (Vec::new(), HashSet::new());
    for sni in held {
        match name_of(&sni) {
            Some(name) if names.contains(&name) => drop(kept.insert(name)),
            _ => {
                changes.push(Change::Delete(sni.key));
                unchanged.extend(stays(sni));
            }
        }
    }
    for name in names.into_iter().filter(|name| !kept.contains(name)) {
        changes.push(Change::Insert(draft(certificate, name)?));
    }
    let mut edit = store.edit(author).await?;
    // Another certificate may have got the name since it was read: it must not be deleted then.
    edit.make(unchanged).await?;
    edit.make(changes).await?;
    Ok(edit.commit().await?)
}

/// The change that changes nothing and fails unless a server name is stored as it was read.
fn stays(before: Document) -> Option<Change> {
    let content = model::described(kind::SNI)?.content(&before.body).ok()?;
    let after = Draft::new(kind::SNI, before.common(), content);
    Some(Change::Replace { before, after })
}

/// Adds the server names, in their order, to the views of these certificates.
pub(super) async fn complete(
    store: &Store,
    certificates: &[Document],
    views: &mut [Map],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = certificates.iter().map(|document| document.key.id).collect();
    let mut names: HashMap<Uuid, Vec<String>> = HashMap::new();
    for sni in held(store, &ids).await? {
        if let (Some(certificate), Some(name)) = (certificate_of(&sni), name_of(&sni)) {
            names.entry(certificate).or_default().push(name);
        }
    }
    for (id, view) in ids.iter().zip(views) {
        let mut names = names.remove(id).unwrap_or_default();
        names.sort();
        view.insert("snis".to_owned(), json!(names));
    }
    Ok(())
}

/// The server names of these certificates.
async fn held(store: &Store, certificates: &[Uuid]) -> Result<Vec<Document>, StoreError> {
    store.naming(kind::SNI, CERTIFICATE, (kind::CERTIFICATE, certificates)).await
}

fn draft(certificate: &Document, name: String) -> Result<Draft, ApiError> {
    let now = store::now();
    let common = Common { id: Uuid::new_v4(), created_at: now, updated_at: now, tags: None };
    let mut fields = Map::new();
    fields.insert("name".to_owned(), name.into());
    fields.insert(CERTIFICATE.to_owned(), json!({ "id": certificate.key.id }));
    let kind = model::described(kind::SNI).ok_or(ApiError::NotFound)?;
    let content = kind.read(Input { fields, form: false }, &common, Violations::default());
    Ok(Draft::new(kind::SNI, common, content.map_err(ApiError::Invalid)?))
}

fn sni(document: &Document) -> Option<Sni> {
    serde_json::from_slice(&document.body).ok()
}

fn name_of(document: &Document) -> Option<String> {
    sni(document).map(|sni| sni.name)
}

fn certificate_of(document: &Document) -> Option<Uuid> {
    sni(document).map(|sni| sni.certificate)
}
