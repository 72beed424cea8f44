//! Operations on the entities of one kind that the flat and the nested collections share: find, create,
//! replace, change, delete, show.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use model::{Described, Field, Map, Value};
use serde_json::json;
use uuid::Uuid;

use super::access::Entity;
use super::body::{Body, LONG};
use super::page::Listing;
use super::reading::{self, Reading, Target};
use super::{Context, REVISION, certificate, credential};
use crate::error::ApiError;
use crate::kinds;
use crate::store::{Change, Document, Draft, Page, Selector, Store, StoreError};

/// The entities of one kind, for one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entities<'a> {
    kind: &'static dyn Described,
    context: &'a Context,
}

impl<'a> Entities<'a> {
    pub(super) const fn new(kind: &'static dyn Described, context: &'a Context) -> Self {
        Self { kind, context }
    }

    fn store(&self) -> &'a Store {
        &self.context.admin.state.store
    }

    /// Returns the entity of a path, if there is one. A key with a NUL matches none: PostgreSQL would reject
    /// the comparison.
    pub(super) async fn find(&self, key: &str) -> Result<Option<Document>, ApiError> {
        if key.contains('\0') {
            return Ok(None);
        }
        let which = match (id_of(key), self.endpoint_key()) {
            (Some(id), _) => Selector::Id(id),
            (None, Some(field)) if field.is_secret() => match credential::by_key(self.store(), key).await? {
                Some(which) => which,
                None => return Ok(None),
            },
            (None, Some(field)) => {
                let checked = field.check_text(key);
                checked.map_err(|reason| ApiError::InvalidUnique { field: field.name, reason })?;
                Selector::Unique { field: field.name, value: field.key(key, None) }
            }
            (None, None) if certificate::has_names(self.kind) => {
                return Ok(certificate::find(self.store(), key).await?);
            }
            (None, None) => return Err(ApiError::InvalidPrimaryKey),
        };
        self.get(&which).await
    }

    /// Returns the entity with this id, if there is one.
    pub(super) async fn with_id(&self, id: Uuid) -> Result<Option<Document>, ApiError> {
        self.get(&Selector::Id(id)).await
    }

    /// Returns the entity with the value of a unique field in a body or a path, if there is one.
    pub(super) async fn with_unique(
        &self,
        field: &'static str,
        value: &str,
    ) -> Result<Option<Document>, ApiError> {
        match value.contains('\0') {
            true => Ok(None),
            false => self.get(&Selector::Unique { field, value: value.to_owned() }).await,
        }
    }

    async fn get(&self, which: &Selector) -> Result<Option<Document>, ApiError> {
        Ok(self.store().get(self.kind.kind(), which).await?.filter(credential::exists))
    }

    /// Returns the entity of a path; fails if there is none.
    pub(super) async fn found(&self, key: &str) -> Result<Document, ApiError> {
        self.find(key).await?.ok_or(ApiError::NotFound)
    }

    /// Returns the entity of a path for a change; fails if there is none.
    pub(super) async fn for_change(&self, key: &str) -> Result<Document, ApiError> {
        let by = if id_of(key).is_some() { "id" } else { self.kind.endpoint_key().unwrap_or("name") };
        self.find(key).await?.ok_or_else(|| ApiError::NoSuchEntity { by, key: key.to_owned() })
    }

    /// Returns a page of the collection, or of its entities that name another one in a field.
    pub(super) async fn page(
        &self,
        listing: &Listing,
        of: Option<(&'static str, Uuid)>,
    ) -> Result<Json<Value>, ApiError> {
        let page = Page { of, ..listing.page()? };
        let mut listed = self.store().list(self.kind.kind(), &page).await?;
        listed.documents.retain(credential::exists);
        let data = self.views(&listed.documents).await?.into_iter().map(Value::Object).collect();
        Ok(listing.answer(data, listed.next.as_ref().map(|id| &id.as_bytes()[..])))
    }

    /// Creates an entity. Tries again if another control plane has made the key of the hashes meanwhile, or has deleted
    /// an expired key.
    pub(super) async fn create(&self, body: Body) -> Result<Response, ApiError> {
        let again = credential::is_key(self.kind).then(|| body.clone());
        match (self.try_to_create(body).await, again) {
            (Err(ApiError::Store(StoreError::Changed)), Some(body)) => self.try_to_create(body).await,
            (done, _) => done,
        }
    }

    async fn try_to_create(&self, body: Body) -> Result<Response, ApiError> {
        let reading = self.read(body, Target::New).await?;
        let written = reading.draft.document.clone();
        self.write(StatusCode::CREATED, written, reading, Change::Insert).await
    }

    /// Creates or replaces the entity of a path, without a look-up when it is expected to be new; an attempt of
    /// [`super::Admin::edit`].
    pub(super) async fn put_at(&self, key: &str, body: Body) -> Result<Response, ApiError> {
        let (names, kind) = (&self.context.admin.new_names, self.kind.kind());
        if names.expected(kind) && self.is_only_named(key, &body) {
            match self.put(key, None, body.clone()).await {
                Err(ApiError::Store(error)) if !error.is_conflict() => return Err(error.into()),
                // There may be one with the name, and the error would be another one.
                Err(_) => names.note(kind, false),
                done => return done,
            }
        }
        let existing = self.find(key).await?;
        names.note(kind, existing.is_none());
        self.put(key, existing, body).await
    }

    /// Whether a `PUT` says which entity it is about by its name alone. The values of credentials cost too much to be
    /// made twice.
    fn is_only_named(&self, key: &str, body: &Body) -> bool {
        self.endpoint_key().is_some()
            && self.kind.credential().is_none()
            && id_of(key).is_none()
            && !body.fields.contains_key("id")
    }

    /// Creates or replaces an entity from the body.
    pub(super) async fn put(
        &self,
        key: &str,
        existing: Option<Document>,
        mut body: Body,
    ) -> Result<Response, ApiError> {
        let name = Some(key).filter(|key| id_of(key).is_none());
        if let (Some(name), Some(field)) = (name, self.kind.endpoint_key()) {
            body.fields.insert(field.to_owned(), json!(name));
        }
        match existing {
            Some(before) => self.replace(Target::Replaced(before.clone()), before, body).await,
            None => self.put_new(key, body).await,
        }
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<Response, ApiError> {
        let id = id_of(key);
        let is_given = id.is_some() || body.fields.contains_key("id");
        let target = id.map_or(Target::New, Target::NewWithId);
        let mut reading = self.read(body, target).await?;
        if id.is_none() && certificate::has_names(self.kind) {
            certificate::add_name(&mut reading.names, key)?;
        }
        let written = reading.draft.document.clone();
        // Nothing is stored under an id that was made for this write.
        let change = if is_given { Change::Upsert } else { Change::Insert };
        let written = self.write(StatusCode::OK, written, reading, change).await;
        written.map_err(|error| made_meanwhile(error, key))
    }

    /// Changes the given fields of an entity; an attempt of [`super::Admin::edit`].
    pub(super) async fn patch(&self, before: Document, body: Body) -> Result<Response, ApiError> {
        self.replace(Target::Changed(before.clone()), before, body).await
    }

    /// Replaces an entity. One that stays as it is keeps the time of its last write.
    pub(super) async fn replace(
        &self,
        target: Target,
        before: Document,
        body: Body,
    ) -> Result<Response, ApiError> {
        let reading = self.read(body, target).await?;
        let after = &reading.draft.document;
        let written = if before.says_the_same(after) { before.clone() } else { after.clone() };
        self.write(StatusCode::OK, written, reading, |after| Change::Replace { before, after }).await
    }

    /// Deletes an entity; a missing one is no failure.
    pub(super) async fn delete(&self, existing: Option<Document>) -> Result<Response, ApiError> {
        let Some(document) = existing else { return Ok(StatusCode::NO_CONTENT.into_response()) };
        let changes = vec![Change::Delete(document.key)];
        let revision = self.store().write(&self.context.author, changes).await?;
        Ok((StatusCode::NO_CONTENT, [(REVISION, revision.to_string())]).into_response())
    }

    /// Reads the entity that a body describes.
    pub(super) async fn read(&self, body: Body, target: Target) -> Result<Reading, ApiError> {
        credential::check_options(self.kind, &body)?;
        reading::read(&self.context.admin, self.kind, body, target).await
    }

    /// Makes the change of an entity that was read, and what is written with it, at one revision, and shows
    /// the entity.
    async fn write(
        &self,
        status: StatusCode,
        written: Document,
        reading: Reading,
        change: impl FnOnce(Draft) -> Change,
    ) -> Result<Response, ApiError> {
        let Reading { draft, names, shown, hash_key } = reading;
        let expired = self.expired(&draft).await?.map(Change::Remove);
        let changes =
            hash_key.map(Change::Insert).into_iter().chain(expired).chain([change(draft)]).collect();
        self.write_all(status, written, names, shown, changes).await
    }

    /// The expired key that has the value of a new one, and is not deleted yet.
    async fn expired(&self, draft: &Draft) -> Result<Option<Document>, ApiError> {
        if !credential::is_key(self.kind) {
            return Ok(None);
        }
        let Some((field, value)) = draft.unique.first() else { return Ok(None) };
        let holder = Selector::Unique { field, value: value.clone() };
        let holder = self.store().get(self.kind.kind(), &holder).await?;
        Ok(holder.filter(|holder| holder.key != draft.document.key && !credential::exists(holder)))
    }

    /// Makes changes, and those of the server names of a certificate, at one revision, and shows the entity
    /// that was written, with the secrets that were set. The write stands, also when the rest of the view
    /// cannot be read any more.
    pub(super) async fn write_all(
        &self,
        status: StatusCode,
        written: Document,
        names: Option<Vec<String>>,
        shown: Map,
        changes: Vec<Change>,
    ) -> Result<Response, ApiError> {
        let (store, author) = (self.store(), &self.context.author);
        let revision = match names {
            None => store
                .write(author, changes)
                .await
                .map_err(|error| credential::in_words_of_the_client(credential::lost_race(error), &shown))?,
            Some(names) => certificate::write(store, author, &written, names, changes).await?,
        };
        let mut view = match self.view(&written).await {
            Ok(view) => view,
            Err(_) => self.show(&written)?,
        };
        view.extend(shown);
        let entity = Entity(written.key.id.to_string());
        Ok((status, [(REVISION, revision.to_string())], Extension(entity), Json(view)).into_response())
    }

    /// Shows an entity.
    pub(super) async fn shown(&self, document: &Document) -> Result<Json<Value>, ApiError> {
        self.view(document).await.map(|view| Json(Value::Object(view)))
    }

    async fn view(&self, document: &Document) -> Result<Map, ApiError> {
        let views = self.views(std::slice::from_ref(document)).await?;
        views.into_iter().next().ok_or(ApiError::NotFound)
    }

    pub(super) async fn views(&self, documents: &[Document]) -> Result<Vec<Map>, ApiError> {
        let mut views = self.show_all(documents).await?;
        if certificate::has_names(self.kind) {
            certificate::complete(self.store(), documents, &mut views).await?;
        }
        Ok(views)
    }

    /// Shows documents, off the runtime if they are long: it also serves data planes.
    async fn show_all(&self, documents: &[Document]) -> Result<Vec<Map>, ApiError> {
        let (kind, with_secrets) = (self.kind, self.context.admin.state.show_secrets);
        let views = move |documents: &[Document]| {
            documents.iter().map(|document| show(kind, document, with_secrets)).collect()
        };
        if documents.iter().map(|document| document.body.len()).sum::<usize>() < LONG {
            return views(documents);
        }
        let documents = documents.to_vec();
        tokio::task::spawn_blocking(move || views(&documents)).await.unwrap_or(Err(ApiError::Panicked))
    }

    fn show(&self, document: &Document) -> Result<Map, ApiError> {
        show(self.kind, document, self.context.admin.state.show_secrets)
    }

    /// The field by which a path may give an entity, beside its id.
    fn endpoint_key(&self) -> Option<&'static Field> {
        let key = self.kind.endpoint_key()?;
        self.kind.fields().iter().find(|field| field.name == key)
    }
}

/// Parses an id; everything else in a path is a name.
pub(super) fn id_of(key: &str) -> Option<Uuid> {
    Uuid::try_parse(key).ok().filter(|_| key.len() == 36)
}

fn show(kind: &dyn Described, document: &Document, with_secrets: bool) -> Result<Map, ApiError> {
    kinds::show(kind, document, with_secrets).map_err(|error| reading::unreadable(document, &error))
}

/// Converts the error that the name of the path is in use: the entity was created after the look-up found
/// none.
fn made_meanwhile(error: ApiError, key: &str) -> ApiError {
    let lower = key.to_ascii_lowercase();
    let is_key =
        |value: &String| value == key || *value == lower || *value == model::Sni::canonical_name(key);
    match &error {
        ApiError::Store(StoreError::Unique { fields, .. })
            if fields.iter().any(|(_, value)| is_key(value)) =>
        {
            StoreError::Changed.into()
        }
        _ => error,
    }
}
