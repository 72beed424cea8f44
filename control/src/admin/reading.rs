//! Reads the entity that a body describes: looks up the entities that it gives by name, completes the fields
//! that clients leave out, and collects all violations.

use model::{Common, Described, Field, GivenCommon, Input, Map, Times, Violations, bounds};
use serde_json::json;
use uuid::Uuid;

use super::body::Body;
use super::{Admin, certificate, credential, plugin_protocols};
use crate::error::{ApiError, Unresolved};
use crate::kinds;
use crate::kinds::credential::{ReadContext, Secrets};
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

    /// Words violations as Kong does for a write of this kind.
    fn in_words_of(&self, mut violations: Violations) -> Violations {
        if let Self::Changed(_) = self {
            let of_update = violations.entity.iter_mut().filter(|message| message.starts_with(AT_LEAST_ONE));
            of_update.for_each(|message| message.insert_str(0, "when updating, "));
        }
        violations
    }
}

/// An entity as a body describes it.
pub(super) struct Reading {
    /// The entity.
    pub(super) draft: Draft,
    /// The server names that are written with a certificate, if the body has them.
    pub(super) names: Option<Vec<String>>,
    /// The secrets that the body sets, for the answer.
    pub(super) shown: Map,
    /// The key of the hashes of API keys, if it is written together with the entity.
    pub(super) hash_key: Option<Draft>,
}

/// Reads and checks an entity.
pub(super) async fn read(
    admin: &Admin,
    kind: &'static dyn Described,
    mut body: Body,
    target: Target,
) -> Result<Reading, ApiError> {
    let (store, mut unresolved) = (&admin.state.store, Vec::new());
    for (field, named) in named(kind, &body.fields) {
        match named.look_up(store).await? {
            Some(id) => drop(body.fields.insert(field.to_owned(), json!({ "id": id }))),
            None => unresolved.push(named.unresolved(field)),
        }
    }
    if !unresolved.is_empty() {
        return Err(ApiError::Unresolved(unresolved));
    }
    let secrets = credential::secrets(admin, kind).await?;
    let turn = credential::password_turn(admin, kind).await?;
    let reading = beside(kind, body, target, secrets).await?;
    drop(turn);
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
    beside(kind, body, Target::New, Secrets::of_a_check()).await.map(drop)
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

/// Reads off the runtime: regular expressions, keys and passwords take milliseconds to check.
async fn beside(
    kind: &'static dyn Described,
    body: Body,
    target: Target,
    secrets: Secrets,
) -> Result<Reading, ApiError> {
    let read = move || read_now(kind, body, &target, &secrets);
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(ApiError::Panicked))
}

fn read_now(
    kind: &dyn Described,
    body: Body,
    target: &Target,
    secrets: &Secrets,
) -> Result<Reading, ApiError> {
    let Body { fields, form } = body;
    let (mut input, mut violations) = (Input { fields, form }, Violations::default());
    let held = target.held();
    let changed = held.filter(|_| matches!(target, Target::Changed(_)));
    kind.imply(changed.map(|held| &held.body[..]), &mut input, &mut violations);
    let Input { mut fields, .. } = input;
    match target {
        Target::Changed(before) => {
            let mut merged = kinds::show(kind, before, false).map_err(|error| unreadable(before, &error))?;
            credential::before_merge(kind, &mut merged);
            kind.merge(&mut merged, fields);
            fields = merged;
        }
        _ => kinds::credential::generate(kind, &mut fields),
    }
    if let Target::Replaced(before) = target {
        kind.keep(&before.body, &mut fields);
    }
    if let Some(held) = held {
        kinds::credential::unmark(kind, &mut fields, held.key.id);
    }
    let mut shown = credential::secrets_set(kind, &fields);
    if let Some(held) = held {
        kind.reveal(&held.body, &mut fields);
    }
    let names = certificate::names(kind, &mut fields, form, &mut violations);
    let (common, ttl_from) = common(&mut fields, form, kind.times(), target, &mut violations);
    let context = ReadContext {
        held: held.map(|held| &held.body[..]),
        secrets,
        ttl_from,
        keeps_expiry: matches!(target, Target::Changed(_)),
    };
    let content = kinds::read(kind, Input { fields, form }, &common, violations, &context);
    let content = content.map_err(|violations| ApiError::Invalid(target.in_words_of(violations)))?;
    credential::show_as_stored(kind, &content, &mut shown);
    let hash_key = credential::is_hashed(kind, &content).then(|| secrets.new_key()).flatten();
    Ok(Reading { draft: Draft::new(kind.kind(), common, content), names, shown, hash_key })
}

/// How the rule begins that one of some fields must be set.
const AT_LEAST_ONE: &str = "at least one of these fields must be non-empty";

/// The failure to read a stored entity, as one that a newer version has written.
pub(super) fn unreadable(document: &Document, error: &serde_json::Error) -> ApiError {
    let reason = format!("{}: {:?} error at column {}", document.key.id, error.classify(), error.column());
    ApiError::Unreadable { collection: model::collection(document.key.kind), reason }
}

/// The fields that all kinds have, and the time from which a time to live counts, in seconds since 1970.
fn common(
    fields: &mut Map,
    form: bool,
    times: Times,
    target: &Target,
    violations: &mut Violations,
) -> (Common, i64) {
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
    let ttl_from = match given.created_at.filter(|_| target.held().is_none()) {
        Some(created_at) => times.seconds(created_at),
        // The next whole second: what is left of a key is rounded down, and its last second does not count.
        None => model::Times::Milliseconds.seconds(store::now_in_milliseconds().saturating_add(999)),
    };
    let common = Common {
        id: fixed.or(given.id).unwrap_or_else(Uuid::new_v4),
        created_at: given.created_at.unwrap_or(since),
        updated_at: now,
        tags: given.tags,
    };
    (common, ttl_from)
}
