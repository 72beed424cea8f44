//! Credentials: values that are made up when a body does not give them, and the forms in which secrets are
//! stored.

mod basic_auth;
mod jwt;
mod key_auth;
mod secrets;

use model::{Content, Described, HIDDEN, Map, Value, Violations, kind};
use rand::Rng;
use rand::distr::Alphanumeric;
use wire::Kind;

use crate::store::{self, Document};

pub use self::key_auth::{check_ttl, has_expired, hidden_key, remaining, restored, unmark};
pub use self::secrets::Secrets;

/// Characters of a value that is made up.
const GENERATED_LENGTH: usize = 32;

/// The fields that are made up when a body does not give them.
const GENERATED: &[(Kind, &str)] = &[
    (kind::KEYAUTH_CREDENTIAL, "key"),
    (kind::JWT_SECRET, "key"),
    (kind::JWT_SECRET, "secret"),
    (kind::HMACAUTH_CREDENTIAL, "secret"),
];

/// What the reading of one entity needs beside its fields.
#[derive(Clone, Copy, Debug)]
pub struct ReadContext<'a> {
    /// The canonical bytes of the entity before.
    pub held: Option<&'a [u8]>,
    /// How secrets are stored.
    pub secrets: &'a Secrets,
    /// The time from which the time to live of a key counts, in seconds since 1970.
    pub ttl_from: i64,
    /// Whether a key keeps its expiry unless the body gives a time to live.
    pub keeps_expiry: bool,
}

/// Makes up the values that a new entity has and that a body does not give. Null is given.
pub fn generate(kind: &dyn Described, fields: &mut Map) {
    for name in missing(kind, fields) {
        fields.insert(name.to_owned(), random_text().into());
    }
}

/// Completes the fields of a declared entity. It keeps the values that it has, so that a document that does
/// not give them changes nothing. Without an entity before they are made up, except those by which a document
/// identifies one: each reading would make another entity.
pub fn keep_or_generate(
    kind: &dyn Described,
    fields: &mut Map,
    held: Option<&[u8]>,
    violations: &mut Violations,
) {
    let missing = missing(kind, fields);
    if missing.is_empty() {
        return;
    }
    let view = held.and_then(|held| kind.show(held).ok());
    for name in missing {
        match &view {
            Some(view) => drop(fields.insert(name.to_owned(), view.get(name).cloned().unwrap_or_default())),
            None if kind.endpoint_key() == Some(name) => violations.field(name, "required field missing"),
            None => drop(fields.insert(name.to_owned(), random_text().into())),
        }
    }
    held.into_iter().for_each(|held| kind.reveal(held, fields));
}

fn missing(kind: &dyn Described, fields: &Map) -> Vec<&'static str> {
    let generated = GENERATED.iter().filter(|(of, name)| *of == kind.kind() && !fields.contains_key(*name));
    generated.map(|(_, name)| *name).collect()
}

/// 190 random bits.
fn random_text() -> String {
    rand::rng().sample_iter(Alphanumeric).take(GENERATED_LENGTH).map(char::from).collect()
}

/// What a body says about a credential beside its fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    /// The time to live, in seconds; 0: for ever.
    ttl: Option<i64>,
}

/// Brings the secrets of a body into the forms in which they are stored, as far as this is possible before the
/// rest is read, and takes the options out of it.
pub(super) fn prepare(
    kind: &dyn Described,
    fields: &mut Map,
    context: &ReadContext<'_>,
    violations: &mut Violations,
) -> Options {
    if kind.credential().is_none() {
        return Options::default();
    }
    let keeps_key = kind.kind() == kind::KEYAUTH_CREDENTIAL && key_auth::holds_key(context.held);
    refuse_hidden(kind, fields, keeps_key, violations);
    match kind.kind() {
        kind::KEYAUTH_CREDENTIAL => Options { ttl: key_auth::take_ttl(fields, violations) },
        kind::BASICAUTH_CREDENTIAL => {
            basic_auth::prepare(fields, context, violations);
            Options::default()
        }
        _ => Options::default(),
    }
}

/// Whether the secrets of a kind may be shown where the operator wants it: those of credentials and plugins.
pub fn may_be_shown(kind: &dyn Described) -> bool {
    kind.credential().is_some() || kind.kind() == kind::PLUGIN
}

/// Completes the view of a credential.
pub(super) fn complete_view(kind: &dyn Described, document: &Document, view: &mut Map) {
    view.shift_remove("updated_at");
    if kind.kind() == kind::KEYAUTH_CREDENTIAL {
        let left = remaining(&document.body, store::now_in_milliseconds());
        view.insert("ttl".to_owned(), left.into());
        if view.get("key").and_then(Value::as_str) == Some(HIDDEN) {
            view.insert("key".to_owned(), hidden_key(document.key.id).into());
        }
    }
}

/// Completes the content of a credential by what is derived from it.
pub(super) fn complete(
    kind: &dyn Described,
    content: Content,
    options: Options,
    context: &ReadContext<'_>,
) -> Content {
    match kind.kind() {
        kind::KEYAUTH_CREDENTIAL => key_auth::complete(kind, &content, options.ttl, context),
        _ => content,
    }
}

/// Checks what needs the content of a credential.
pub(super) fn check(kind: &dyn Described, content: &Content) -> Result<(), Violations> {
    match kind.kind() {
        kind::JWT_SECRET => jwt::check(&super::entity(content)),
        _ => Ok(()),
    }
}

/// Rejects a secret that a body hides and that is not stored. `keeps_key` says that the one of a key is.
fn refuse_hidden(kind: &dyn Described, fields: &mut Map, keeps_key: bool, violations: &mut Violations) {
    for field in kind.fields().iter().filter(|field| field.is_secret()) {
        let text = fields.get(field.name).and_then(Value::as_str).unwrap_or_default();
        // What stands in place of a key of another credential is no key either.
        if (text == HIDDEN && !keeps_key) || (text != HIDDEN && text.starts_with(HIDDEN)) {
            fields.shift_remove(field.name);
            violations.field(field.name, format!("no value is stored that '{HIDDEN}' could stand for"));
        }
    }
}

#[cfg(test)]
mod tests;
