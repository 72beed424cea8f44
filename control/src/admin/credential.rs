//! Credentials in the Admin API: API keys are found by their hashes, the secrets that a write sets are shown in
//! its answer, and expired keys are absent.

use model::{Content, Described, HIDDEN, HashKey, Map, Value, Violations, kind};
use tokio::sync::SemaphorePermit;

use super::Admin;
use super::body::Body;
use crate::error::ApiError;
use crate::kinds::credential::{self, Secrets};
use crate::store::{self, Document, Selector, Store, StoreError};

/// The option of an API key that gives the seconds until it expires.
const TTL: &str = "ttl";
/// Passwords that are hashed at once: each takes 7 MiB and a processor.
pub(super) const PASSWORDS: usize = 2;

/// How the secrets of a kind are stored.
pub(super) async fn secrets(admin: &Admin, kind: &dyn Described) -> Result<Secrets, ApiError> {
    let stored = if is_key(kind) { hash_key(&admin.state.store).await? } else { None };
    Ok(Secrets::new(stored.as_ref().map(|stored| &stored.body[..]), admin.state.show_secrets))
}

/// Waits until a password may be hashed, if an entity of the kind has one.
pub(super) async fn password_turn<'a>(
    admin: &'a Admin,
    kind: &dyn Described,
) -> Result<Option<SemaphorePermit<'a>>, ApiError> {
    if kind.kind() != kind::BASICAUTH_CREDENTIAL {
        return Ok(None);
    }
    match tokio::time::timeout(store::DEADLINE, admin.passwords.acquire()).await {
        Ok(turn) => turn.map(Some).map_err(|_| ApiError::Panicked),
        Err(_) => Err(ApiError::PasswordsBusy),
    }
}

/// Selects a credential by a secret; `None` if there is none.
pub(super) async fn by_key(store: &Store, key: &str) -> Result<Option<Selector>, ApiError> {
    let Some(stored) = hash_key(store).await? else { return Ok(None) };
    let value = Secrets::new(Some(&stored.body), false).hash(key);
    Ok(Some(Selector::Unique { field: "hash", value }))
}

/// The key of the hashes, if one is stored.
pub(super) async fn hash_key(store: &Store) -> Result<Option<Document>, StoreError> {
    store.get(kind::HASH_KEY, &Selector::Id(HashKey::ID)).await
}

/// Converts the error that another control plane has written the first key of the hashes meanwhile.
pub(super) fn lost_race(error: StoreError) -> StoreError {
    match error {
        StoreError::Id { key } if key.kind == kind::HASH_KEY => StoreError::Changed,
        other => other,
    }
}

/// Converts the error that a hash is in use: the client gave a key.
pub(super) fn in_words_of_the_client(error: StoreError, shown: &Map) -> StoreError {
    match (error, shown.get("key").and_then(Value::as_str)) {
        (StoreError::Unique { kind: kind @ kind::KEYAUTH_CREDENTIAL, .. }, Some(key)) => {
            StoreError::Unique { kind, fields: vec![("key".to_owned(), key.to_owned())] }
        }
        (error, _) => error,
    }
}

/// Whether an entity exists for clients: a key that has expired does not.
pub(super) fn exists(document: &Document) -> bool {
    !credential::has_expired(document, store::now())
}

/// Checks the options of a body.
pub(super) fn check_options(kind: &dyn Described, body: &Body) -> Result<(), ApiError> {
    let ttl = body.fields.get(TTL).filter(|value| !value.is_null());
    match ttl.filter(|_| is_key(kind)) {
        Some(ttl) => credential::check_ttl(ttl, body.form)
            .map(drop)
            .map_err(|message| ApiError::InvalidOption { name: TTL, message: message.into() }),
        None => Ok(()),
    }
}

/// Checks a change of a credential that is not below its consumer. As in Kong, the password and the consumer
/// of one are changed together: the stored form of a password may depend on its consumer.
pub(super) fn check_change(kind: &dyn Described, body: &Body) -> Result<(), ApiError> {
    let gives = |name: &str| body.fields.get(name).is_some_and(|value| !value.is_null());
    if kind.kind() != kind::BASICAUTH_CREDENTIAL || gives("password") == gives("consumer") {
        return Ok(());
    }
    let mut violations = Violations::default();
    violations.entity("all or none of these fields must be set: 'password', 'consumer.id'");
    Err(ApiError::Invalid(violations))
}

/// Removes from the view of an entity what a change of it does not set again.
pub(super) fn before_merge(kind: &dyn Described, view: &mut Map) {
    if is_key(kind) {
        view.shift_remove(TTL);
    }
}

/// The secrets of a credential that these fields set, in clear.
pub(super) fn secrets_set(kind: &dyn Described, fields: &Map) -> Map {
    let secret = kind.fields().iter().filter(|field| field.is_secret() && kind.credential().is_some());
    let set = secret.filter_map(|field| {
        let value = fields.get(field.name)?;
        let is_set = value.as_str().is_some_and(|text| text != HIDDEN);
        is_set.then(|| (field.name.to_owned(), value.clone()))
    });
    set.collect()
}

/// Replaces a password that is shown by its stored form, as Kong does.
pub(super) fn show_as_stored(kind: &dyn Described, content: &Content, shown: &mut Map) {
    if kind.kind() == kind::BASICAUTH_CREDENTIAL
        && let Some(password) = shown.get_mut("password")
    {
        *password = HIDDEN.into();
        kind.reveal(&content.bytes, shown);
    }
}

/// Whether a content holds the hash of an API key.
pub(super) fn is_hashed(kind: &dyn Described, content: &Content) -> bool {
    is_key(kind) && !content.unique.is_empty()
}

/// Whether entities of the kind are API keys.
pub(super) fn is_key(kind: &dyn Described) -> bool {
    kind.kind() == kind::KEYAUTH_CREDENTIAL
}
