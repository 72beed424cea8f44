//! Reads the entity that a body describes: looks up the entities that it gives by name, completes the fields
//! that clients leave out, and collects all violations.

use model::{Common, Described, Field, GivenCommon, Input, Map, Times, Violations, bounds};
use serde_json::json;
use uuid::Uuid;

use super::body::Body;
use super::{certificate, plugin_protocols};
use crate::error::{ApiError, Unresolved};
use crate::kinds;
use crate::store::{self, Document, Draft, Selector, Store};

/// The entity that a body is for.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// A new entity; the body may give it an id.
    New,
    /// A new entity with this id.
    NewWithId(Uuid),
    /// A new form of this entity. Fields that are not given get their default.
    Replaced(Document),
    /// This entity, with the fields of the body in place of its own.
    Changed(Document),
}

impl Target {
    /// The entity that exists.
    const fn held(&self) -> Option<&Document> {
        match self {
            Self::New | Self::NewWithId(_) => None,
            Self::Replaced(before) | Self::Changed(before) => Some(before),
        }
    }
}

/// An entity as a body describes it.
#[derive(Debug)]
pub(super) struct Reading {
    /// The entity.
    pub(super) draft: Draft,
    /// The server names that are written with a certificate, if the body has them.
    pub(super) names: Option<Vec<String>>,
}

/// Reads and checks an entity.
pub(super) async fn read(
    store: &Store,
    kind: &'static dyn Described,
    mut body: Body,
    target: Target,
) -> Result<Reading, ApiError> {
    let mut unresolved = Vec::new();
    for (field, named) in named(kind, &body.fields) {
        match named.look_up(store).await? {
            Some(id) => drop(body.fields.insert(field.to_owned(), json!({ "id": id }))),
            None => unresolved.push(named.unresolved(field)),
        }
    }
    if !unresolved.is_empty() {
        return Err(ApiError::Unresolved(unresolved));
    }
    let reading = beside(kind, body, target).await?;
    if kind.kind() == model::kind::PLUGIN {
        plugin_protocols::check(store, &reading.draft).await?;
    }
    Ok(reading)
}

/// Checks a body by the schema alone: it finds no entity, and an entity that the body gives by name need not
/// be there.
pub(super) async fn check(kind: &'static dyn Described, mut body: Body) -> Result<(), ApiError> {
    for (field, _) in named(kind, &body.fields) {
        body.fields.insert(field.to_owned(), json!({ "id": Uuid::max() }));
    }
    beside(kind, body, Target::New).await.map(drop)
}

/// Shortens a text of a client for an error message.
pub(super) fn beginning(text: &str) -> String {
    text[..text.floor_char_boundary(bounds::NAME)].to_owned()
}

/// An entity that a body gives by the value of a unique field, as in `"service": {"name": "a"}`.
#[derive(Debug)]
struct Named {
    kind: &'static dyn Described,
    by: &'static Field,
    value: String,
}

/// The entities that a body gives by name, each with the field of the body.
fn named(kind: &'static dyn Described, fields: &Map) -> Vec<(&'static str, Named)> {
    let foreign = kind.fields().iter().filter_map(|field| Some((field, field.foreign()?)));
    let named = foreign.filter_map(|(field, target)| {
        let given = fields.get(field.name)?.as_object().filter(|given| given.len() == 1)?;
        let (name, value) = given.iter().next()?;
        let kind = model::described(target.kind)?;
        let by =
            kind.fields().iter().find(|by| by.is_unique() && by.within().is_none() && by.name == name)?;
        Some((field.name, Named { kind, by, value: value.as_str()?.to_owned() }))
    });
    named.collect()
}

impl Named {
    async fn look_up(&self, store: &Store) -> Result<Option<Uuid>, ApiError> {
        // PostgreSQL would reject the comparison with a NUL.
        if self.value.contains('\0') || self.value.len() > bounds::NAME {
            return Ok(None);
        }
        let which = Selector::Unique { field: self.by.name, value: self.by.key(&self.value, None) };
        let found = store.get(self.kind.kind(), &which).await?;
        Ok(found.map(|document| document.key.id))
    }

    fn unresolved(&self, field: &'static str) -> Unresolved {
        let (collection, by) = (self.kind.collection(), self.by.name);
        Unresolved { field, collection, by, value: beginning(&self.value) }
    }
}

/// Reads off the runtime: regular expressions and keys take milliseconds to check.
async fn beside(kind: &'static dyn Described, body: Body, target: Target) -> Result<Reading, ApiError> {
    let read = move || read_now(kind, body, &target);
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(ApiError::Panicked))
}

fn read_now(kind: &dyn Described, body: Body, target: &Target) -> Result<Reading, ApiError> {
    let Body { fields, form } = body;
    let (mut input, mut violations) = (Input { fields, form }, Violations::default());
    kind.imply(target.held().map(|held| &held.body[..]), &mut input, &mut violations);
    let Input { mut fields, .. } = input;
    if let Target::Changed(before) = target {
        let mut merged = kinds::show(kind, before).map_err(|error| unreadable(before, &error))?;
        kind.merge(&mut merged, fields);
        fields = merged;
    }
    if let Target::Replaced(before) = target {
        kind.keep(&before.body, &mut fields);
    }
    if let Some(held) = target.held() {
        kind.reveal(&held.body, &mut fields);
    }
    let names = certificate::names(kind, &mut fields, form, &mut violations);
    let common = common(&mut fields, form, kind.times(), target, &mut violations);
    let content =
        kinds::read(kind, Input { fields, form }, &common, violations).map_err(ApiError::Invalid)?;
    Ok(Reading { draft: Draft::new(kind.kind(), common, content), names })
}

/// The failure to read a stored entity, as one that a newer version has written.
pub(super) fn unreadable(document: &Document, error: &serde_json::Error) -> ApiError {
    let reason = format!("{}: {:?} error at column {}", document.key.id, error.classify(), error.column());
    ApiError::Unreadable { collection: model::collection(document.key.kind), reason }
}

fn common(
    fields: &mut Map,
    form: bool,
    times: Times,
    target: &Target,
    violations: &mut Violations,
) -> Common {
    let now = times.of_milliseconds(store::now_in_milliseconds());
    let given = GivenCommon::take(fields, form, times, violations);
    let (fixed, since) = match target {
        Target::New => (None, now),
        Target::NewWithId(id) => (Some(*id), now),
        Target::Replaced(before) | Target::Changed(before) => (Some(before.key.id), before.created_at),
    };
    if let (Some(given), Some(fixed)) = (given.id, fixed)
        && given != fixed
    {
        violations.field("id", format!("cannot be changed from '{fixed}'"));
    }
    Common {
        id: fixed.or(given.id).unwrap_or_else(Uuid::new_v4),
        created_at: given.created_at.unwrap_or(since),
        updated_at: now,
        tags: given.tags,
    }
}
