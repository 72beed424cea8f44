//! Operations that all resources share: list, create, read, replace, change and delete, by id or by name.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json};
use model::Violations;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::access::Entity;
use super::body::Body;
use super::fields::Fields;
use super::page::Listing;
use super::{Api, PathParam, REVISION, SharedAdmin};
use crate::error::ApiError;
use crate::store::{self, Listed, Rows, Selector, Store, StoreError, Table, Written};

/// A kind of entity: its table, and how to read a body and show a row.
pub(super) trait Resource: 'static {
    /// Its table.
    type Table: Table;

    /// The collection's name in paths and messages.
    const COLLECTION: &'static str = <Self::Table as Table>::COLLECTION;

    /// Whether a path may identify a row by something else than its id.
    const HAS_NAMES: bool = <Self::Table as Table>::NAME.is_some();

    /// Returns the rows of its table.
    fn rows(store: &Store) -> Rows<'_, Self::Table> {
        store.rows()
    }

    /// Returns the id and the creation time of a row.
    fn identity(row: &Row<Self>) -> Identity;

    /// Expands shorthand fields into the fields that they stand for.
    fn expand(_body: &mut Body, _violations: &mut Violations) {}

    /// Resolves entities that the body identifies by name.
    fn resolve(_store: &Store, _body: &mut Body) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }

    /// Finds the row of a path.
    fn find(
        store: &Store,
        which: Selector,
    ) -> impl Future<Output = Result<Option<Row<Self>>, StoreError>> + Send {
        async move { Self::rows(store).get(&which).await }
    }

    /// Reads a row from the fields; missing fields get their default.
    fn read(fields: &mut Fields, identity: Identity) -> Row<Self>;

    /// Checks the rules of the entity.
    fn check(row: &Row<Self>) -> Result<(), Violations>;

    /// Shows a row in the form of the API.
    fn view(row: &Row<Self>) -> Value;

    /// Completes views with data from rows of other tables.
    fn complete(_store: &Store, _views: &mut [Value]) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }

    /// Restores fields that the view hides, where a client sends back the hidden form.
    fn reveal(_existing: &Row<Self>, _fields: &mut Map<String, Value>) {}
}

/// A row of a resource.
pub(super) type Row<R> = store::Row<<R as Resource>::Table>;

/// The id of a row, and its creation time in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) id: Uuid,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

/// The row that a body is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// A new row; the body may give it an id.
    New,
    /// A new row with this id.
    NewWithId(Uuid),
    /// An existing row.
    Existing(Identity),
}

/// Adds the paths of the collection.
pub(super) fn routes<R: Resource>(api: &mut Api) {
    let collection = R::COLLECTION;
    api.route(&format!("/{collection}"), get(list::<R>).post(create::<R>));
    let one = get(show::<R>).put(replace::<R>).patch(change::<R>).delete(remove::<R>);
    api.route(&format!("/{collection}/{{{collection}}}"), one);
}

pub(super) async fn list<R: Resource>(
    State(admin): State<SharedAdmin>,
    listing: Listing,
) -> Result<Json<Value>, ApiError> {
    let listed = R::rows(&admin.state.store).list(&listing.page()?).await?;
    page::<R>(&admin, &listing, &listed).await
}

async fn create<R: Resource>(State(admin): State<SharedAdmin>, body: Body) -> Result<Response, ApiError> {
    create_in::<R>(&admin, body).await
}

pub(super) async fn show<R: Resource>(
    State(admin): State<SharedAdmin>,
    PathParam(key): PathParam<String>,
) -> Result<Json<Value>, ApiError> {
    shown::<R>(&admin, &found::<R>(&admin, &key).await?).await
}

async fn replace<R: Resource>(
    State(admin): State<SharedAdmin>,
    PathParam(key): PathParam<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let attempt = || async {
        let existing = find::<R>(&admin, &key).await?;
        put_over::<R>(&admin, &key, existing.as_ref(), body.clone()).await
    };
    admin.edit(attempt).await
}

async fn change<R: Resource>(
    State(admin): State<SharedAdmin>,
    PathParam(key): PathParam<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let attempt = || async {
        let existing = to_change::<R>(&admin, &key).await?;
        patch::<R>(&admin, &existing, body.clone()).await
    };
    admin.edit(attempt).await
}

pub(super) async fn remove<R: Resource>(
    State(admin): State<SharedAdmin>,
    PathParam(key): PathParam<String>,
) -> Result<Response, ApiError> {
    let existing = find::<R>(&admin, &key).await?;
    delete::<R>(&admin, existing.as_ref()).await
}

/// Returns a page of a list.
pub(super) async fn page<R: Resource>(
    admin: &SharedAdmin,
    listing: &Listing,
    listed: &Listed<Row<R>>,
) -> Result<Json<Value>, ApiError> {
    let mut data: Vec<Value> = listed.rows.iter().map(R::view).collect();
    R::complete(&admin.state.store, &mut data).await?;
    Ok(listing.answer(data, listed.next.as_ref().map(|id| &id.as_bytes()[..])))
}

/// Shows a row in the form of the API.
pub(super) async fn shown<R: Resource>(admin: &SharedAdmin, row: &Row<R>) -> Result<Json<Value>, ApiError> {
    let mut view = R::view(row);
    R::complete(&admin.state.store, std::slice::from_mut(&mut view)).await?;
    Ok(Json(view))
}

/// Returns the row of a path, if there is one. A key with a NUL matches no row: PostgreSQL would reject the
/// comparison.
pub(super) async fn find<R: Resource>(admin: &SharedAdmin, key: &str) -> Result<Option<Row<R>>, ApiError> {
    if key.contains('\0') {
        return Ok(None);
    }
    let which = Selector::parse(key);
    if !R::HAS_NAMES && matches!(which, Selector::Name(_)) {
        return Err(ApiError::InvalidPrimaryKey { key: key.to_owned() });
    }
    Ok(R::find(&admin.state.store, which).await?)
}

/// Returns the row of a path for a change; fails if there is none.
pub(super) async fn to_change<R: Resource>(admin: &SharedAdmin, key: &str) -> Result<Row<R>, ApiError> {
    let by = if matches!(Selector::parse(key), Selector::Id(_)) { "id" } else { "name" };
    find::<R>(admin, key).await?.ok_or_else(|| ApiError::NoSuchEntity { by, key: key.to_owned() })
}

/// Returns the row of a path; fails if there is none.
pub(super) async fn found<R: Resource>(admin: &SharedAdmin, key: &str) -> Result<Row<R>, ApiError> {
    find::<R>(admin, key).await?.ok_or(ApiError::NotFound)
}

/// Creates a row.
pub(super) async fn create_in<R: Resource>(admin: &SharedAdmin, body: Body) -> Result<Response, ApiError> {
    let row = new_row::<R>(&admin.state.store, body).await?;
    let written = R::rows(&admin.state.store).insert(row).await?;
    Ok(answer::<R>(admin, StatusCode::CREATED, &written).await)
}

/// Reads a new row from a body. If both its id and its name are in use, the error names the id.
pub(super) async fn new_row<R: Resource>(store: &Store, body: Body) -> Result<Row<R>, ApiError> {
    let is_id_given = body.fields.get("id").is_some_and(|id| !id.is_null());
    let row = draft::<R>(store, body, Target::New).await?;
    let id = R::identity(&row).id;
    if is_id_given && R::rows(store).get(&Selector::Id(id)).await?.is_some() {
        return Err(StoreError::Id { id }.into());
    }
    Ok(row)
}

/// Creates or replaces the row of a path from the body; an attempt of [`super::Admin::edit`].
pub(super) async fn put_over<R: Resource>(
    admin: &SharedAdmin,
    key: &str,
    existing: Option<&Row<R>>,
    mut body: Body,
) -> Result<Response, ApiError> {
    if let Selector::Name(name) = Selector::parse(key) {
        body.fields.insert("name".into(), json!(name));
    }
    let target = target::<R>(existing, key);
    if let Some(row) = existing {
        R::reveal(row, &mut body.fields);
    }
    let row = draft::<R>(&admin.state.store, body, target).await?;
    let rows = R::rows(&admin.state.store);
    let written = match existing {
        Some(before) => rows.replace(before, row).await?,
        None => rows.upsert(row).await.map_err(|error| made_meanwhile(error, key))?,
    };
    Ok(answer::<R>(admin, StatusCode::OK, &written).await)
}

/// Chooses the row that a body is for.
pub(super) fn target<R: Resource>(existing: Option<&Row<R>>, key: &str) -> Target {
    match (existing, Selector::parse(key)) {
        (Some(row), _) => Target::Existing(R::identity(row)),
        (None, Selector::Id(id)) => Target::NewWithId(id),
        (None, Selector::Name(_)) => Target::New,
    }
}

/// Converts the error that the name of the path is in use: the row was created after the look-up found none.
pub(super) fn made_meanwhile(error: StoreError, key: &str) -> StoreError {
    match &error {
        StoreError::Unique { fields } if fields.iter().any(|(_, value)| value == key) => StoreError::Changed,
        _ => error,
    }
}

/// Changes the given fields of a row; an attempt of [`super::Admin::edit`].
pub(super) async fn patch<R: Resource>(
    admin: &SharedAdmin,
    existing: &Row<R>,
    body: Body,
) -> Result<Response, ApiError> {
    let row = changed::<R>(&admin.state.store, existing, body).await?;
    let written = R::rows(&admin.state.store).replace(existing, row).await?;
    Ok(answer::<R>(admin, StatusCode::OK, &written).await)
}

/// Deletes a row; a missing row is no failure.
pub(super) async fn delete<R: Resource>(
    admin: &SharedAdmin,
    existing: Option<&Row<R>>,
) -> Result<Response, ApiError> {
    let revision = match existing {
        Some(row) => R::rows(&admin.state.store).delete(R::identity(row).id).await?,
        None => None,
    };
    Ok(match revision {
        Some(revision) => (StatusCode::NO_CONTENT, [(REVISION, revision.to_string())]).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Reads the row that a body describes.
pub(super) async fn draft<R: Resource>(
    store: &Store,
    mut body: Body,
    target: Target,
) -> Result<Row<R>, ApiError> {
    let mut violations = Violations::default();
    R::expand(&mut body, &mut violations);
    R::resolve(store, &mut body).await?;
    read::<R>(body, violations, target).await
}

/// Returns `existing` with the fields of the body in place of its own.
pub(super) async fn changed<R: Resource>(
    store: &Store,
    existing: &Row<R>,
    mut body: Body,
) -> Result<Row<R>, ApiError> {
    let mut violations = Violations::default();
    R::expand(&mut body, &mut violations);
    R::resolve(store, &mut body).await?;
    let mut fields = match R::view(existing) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.extend(std::mem::take(&mut body.fields));
    R::reveal(existing, &mut fields);
    read::<R>(Body { fields, ..body }, violations, Target::Existing(R::identity(existing))).await
}

/// Reads and checks a row off the runtime: regular expressions and keys take milliseconds to check.
async fn read<R: Resource>(body: Body, violations: Violations, target: Target) -> Result<Row<R>, ApiError> {
    let read = move || read_now::<R>(body, violations, target);
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(ApiError::Panicked))
}

fn read_now<R: Resource>(body: Body, violations: Violations, target: Target) -> Result<Row<R>, ApiError> {
    let mut fields = Fields::new(body, violations);
    let identity = identity(&mut fields, target);
    let row = R::read(&mut fields, identity);
    let mut violations = fields.finish();
    if let Err(broken) = R::check(&row) {
        // A rule between fields applies only when all fields could be read.
        if violations.is_empty() {
            violations.entity = broken.entity;
        }
        for (name, errors) in broken.fields {
            violations.fields.entry(name).or_insert(errors);
        }
    }
    violations.into_result().map_err(ApiError::Invalid)?;
    Ok(row)
}

fn identity(fields: &mut Fields, target: Target) -> Identity {
    let now = store::now();
    let (given, created_at) = (fields.uuid("id"), fields.integer("created_at", 0..=i64::MAX));
    // Clients send back the time that they were shown; each write sets it.
    fields.integer::<i64>("updated_at", 0..=i64::MAX);
    let (fixed, since) = match target {
        Target::New => (None, now),
        Target::NewWithId(id) => (Some(id), now),
        Target::Existing(identity) => (Some(identity.id), identity.created_at),
    };
    if let (Some(given), Some(fixed)) = (given, fixed)
        && given != fixed
    {
        fields.violations().field("id", format!("cannot be changed from '{fixed}'"));
    }
    let id = fixed.or(given).unwrap_or_else(Uuid::new_v4);
    Identity { id, created_at: created_at.unwrap_or(since), updated_at: now }
}

/// Answers a write. The write stands, also when the rest of the view cannot be read any more.
pub(super) async fn answer<R: Resource>(
    admin: &SharedAdmin,
    status: StatusCode,
    written: &Written<Row<R>>,
) -> Response {
    let shown = shown::<R>(admin, &written.row).await.unwrap_or_else(|_| Json(R::view(&written.row)));
    let entity = Entity(shown["id"].as_str().unwrap_or_default().to_owned());
    (status, [(REVISION, written.revision.to_string())], Extension(entity), shown).into_response()
}
