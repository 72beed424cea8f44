//! Nested collections: the entities that name another one, below it, and the named one below each of them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use model::{Described, Field, Map, Value};
use serde_json::json;
use uuid::Uuid;
use wire::Kind;

use super::body::Body;
use super::entities::{Entities, id_of};
use super::page::Listing;
use super::reading::{Reading, Target};
use super::{Api, Context, PathParam};
use crate::error::ApiError;
use crate::store::{Change, Document};

/// Fields whose entity has no path below the one that names it. Kong has none from a server name.
const WITHOUT_A_PATH: &[(Kind, &str)] = &[(model::kind::SNI, "certificate")];

/// A field that names an entity of another kind: the child's.
#[derive(Clone, Copy, Debug)]
struct Relation {
    child: &'static dyn Described,
    parent: &'static dyn Described,
    field: &'static Field,
}

type Pair = PathParam<(String, String)>;
type Key = PathParam<String>;

/// Adds the paths for every field of the kind that names one entity.
pub(super) fn routes(api: &mut Api, child: &'static dyn Described) {
    if !child.has_collection() {
        return;
    }
    let mut parents: Vec<Kind> = Vec::new();
    for field in child.fields() {
        let Some(parent) = field.foreign().and_then(|target| model::described(target.kind)) else { continue };
        let relation = Relation { child, parent, field };
        // Of two fields that name one kind, the first has the collection's path.
        if !parents.contains(&parent.kind()) {
            parents.push(parent.kind());
            relation.collection(api);
        }
        if !WITHOUT_A_PATH.contains(&(child.kind(), field.name)) {
            relation.named(api);
        }
    }
}

impl Relation {
    /// `/services/{services}/routes`, and one of them.
    fn collection(self, api: &mut Api) {
        let (parents, children) = (self.parent.collection(), self.child.collection());
        let collection = format!("/{}/{{{parents}}}/{}", self.parent.path(), self.child.nested_path());
        let list = move |context: Context, PathParam(parent): Key, listing: Listing| async move {
            self.list(&context, &parent, &listing).await
        };
        let create = move |context: Context, PathParam(parent): Key, body: Body| async move {
            self.create(&context, &parent, body).await
        };
        api.route(&collection, get(list).post(create));

        let show = move |context: Context, PathParam((parent, child)): Pair| async move {
            self.show(&context, &parent, &child).await
        };
        let replace = move |context: Context, PathParam((parent, child)): Pair, body: Body| async move {
            let attempt = || async { self.replace(&context, &parent, &child, body.clone()).await };
            context.admin.edit(attempt).await
        };
        let change = move |context: Context, PathParam((parent, child)): Pair, body: Body| async move {
            let attempt = || async { self.change(&context, &parent, &child, body.clone()).await };
            context.admin.edit(attempt).await
        };
        let remove = move |context: Context, PathParam((parent, child)): Pair| async move {
            self.remove(&context, &parent, &child).await
        };
        let one = get(show).put(replace).patch(change).delete(remove);
        api.route(&format!("{collection}/{{{children}}}"), one);
    }

    /// `/routes/{routes}/service`.
    fn named(self, api: &mut Api) {
        let show = move |context: Context, PathParam(child): Key| async move {
            self.show_parent(&context, &child).await
        };
        let replace = move |context: Context, PathParam(child): Key, body: Body| async move {
            let attempt = || async { self.replace_parent(&context, &child, body.clone()).await };
            context.admin.edit(attempt).await
        };
        let change = move |context: Context, PathParam(child): Key, body: Body| async move {
            let attempt = || async { self.change_parent(&context, &child, body.clone()).await };
            context.admin.edit(attempt).await
        };
        let (children, field) = (self.child.collection(), self.field.name);
        let path = format!("/{}/{{{children}}}/{field}", self.child.path());
        api.route(&path, get(show).put(replace).patch(change));
    }

    const fn children(self, context: &Context) -> Entities<'_> {
        Entities::new(self.child, context)
    }

    const fn parents(self, context: &Context) -> Entities<'_> {
        Entities::new(self.parent, context)
    }

    async fn list(self, context: &Context, parent: &str, listing: &Listing) -> Result<Json<Value>, ApiError> {
        let parent = self.parent_id(context, parent).await?;
        self.children(context).page(listing, Some((self.field.name, parent))).await
    }

    async fn create(self, context: &Context, parent: &str, mut body: Body) -> Result<Response, ApiError> {
        self.link(&mut body.fields, self.parent_id(context, parent).await?);
        self.children(context).create(body).await
    }

    async fn show(self, context: &Context, parent: &str, child: &str) -> Result<Json<Value>, ApiError> {
        let parent = self.parent_id(context, parent).await?;
        let child = self.own(context, parent, child).await?.ok_or(ApiError::NotFound)?;
        self.children(context).shown(&child).await
    }

    async fn replace(
        self,
        context: &Context,
        parent: &str,
        child: &str,
        mut body: Body,
    ) -> Result<Response, ApiError> {
        let parent = self.parent_id(context, parent).await?;
        // As in Kong, one of another parent moves to this one.
        let existing = self.find(context, parent, child).await?;
        if let Some(field) = self.field_within().filter(|_| id_of(child).is_none()) {
            body.fields.insert(field.name.to_owned(), json!(child));
        }
        self.link(&mut body.fields, parent);
        self.children(context).put(child, existing, body).await
    }

    async fn change(
        self,
        context: &Context,
        parent: &str,
        child: &str,
        mut body: Body,
    ) -> Result<Response, ApiError> {
        let parent = self.parent_id(context, parent).await?;
        let existing = self.own(context, parent, child).await?.ok_or(ApiError::NotFound)?;
        if self.child.credential().is_some() {
            self.link(&mut body.fields, parent);
        }
        self.children(context).patch(existing, body).await
    }

    async fn remove(self, context: &Context, parent: &str, child: &str) -> Result<Response, ApiError> {
        let parent = self.parent_id(context, parent).await?;
        // As in Kong, a missing one is a failure here, and none at the path of its own.
        let existing = self.own(context, parent, child).await?.ok_or(ApiError::NotFound)?;
        self.children(context).delete(Some(existing)).await
    }

    async fn show_parent(self, context: &Context, child: &str) -> Result<Json<Value>, ApiError> {
        let child = self.children(context).found(child).await?;
        let parent = self.parent_of(context, &child).await?.ok_or(ApiError::NotFound)?;
        self.parents(context).shown(&parent).await
    }

    /// Replaces the entity that a child names, or creates it.
    async fn replace_parent(self, context: &Context, child: &str, body: Body) -> Result<Response, ApiError> {
        let child = self.children(context).found(child).await?;
        let Some(parent) = self.parent_of(context, &child).await? else {
            return self.make_parent(context, child, body).await;
        };
        self.parents(context).put(&parent.key.id.to_string(), Some(parent), body).await
    }

    async fn change_parent(self, context: &Context, child: &str, body: Body) -> Result<Response, ApiError> {
        let child = self.children(context).found(child).await?;
        let parent = self.parent_of(context, &child).await?.ok_or(ApiError::NotFound)?;
        self.parents(context).patch(parent, body).await
    }

    /// Creates the parent and links the child to it in one write: neither exists without the other.
    async fn make_parent(
        self,
        context: &Context,
        before: Document,
        body: Body,
    ) -> Result<Response, ApiError> {
        let Reading { draft, names, shown, .. } = self.parents(context).read(body, Target::New).await?;
        let mut link = Body::default();
        self.link(&mut link.fields, draft.document.key.id);
        let linked = self.children(context).read(link, Target::Changed(before.clone())).await?;
        let written = draft.document.clone();
        let changes = vec![Change::Insert(draft), Change::Replace { before, after: linked.draft }];
        self.parents(context).write_all(StatusCode::OK, written, names, shown, changes).await
    }

    async fn parent_id(self, context: &Context, key: &str) -> Result<Uuid, ApiError> {
        Ok(self.parents(context).found(key).await?.key.id)
    }

    async fn parent_of(self, context: &Context, child: &Document) -> Result<Option<Document>, ApiError> {
        match self.named_by(child) {
            Some(id) => self.parents(context).with_id(id).await,
            None => Ok(None),
        }
    }

    /// The child of a path, if there is one.
    ///
    /// # Errors
    /// When it belongs to another parent, which the path does not show.
    async fn own(self, context: &Context, parent: Uuid, key: &str) -> Result<Option<Document>, ApiError> {
        let child = self.find(context, parent, key).await?;
        match child.as_ref().is_none_or(|child| self.named_by(child) == Some(parent)) {
            true => Ok(child),
            false => Err(ApiError::NotFound),
        }
    }

    /// The entity of a path, if there is one, also that of another parent.
    async fn find(self, context: &Context, parent: Uuid, key: &str) -> Result<Option<Document>, ApiError> {
        match self.field_within().filter(|_| id_of(key).is_none()) {
            Some(field) => {
                self.children(context).with_unique(field.name, &field.key(key, Some(parent))).await
            }
            None => self.children(context).find(key).await,
        }
    }

    /// The field whose value identifies a child among those of its parent.
    fn field_within(self) -> Option<&'static Field> {
        self.child.fields().iter().find(|field| field.within() == Some(self.field.name))
    }

    /// The id of the entity that a child names.
    fn named_by(self, child: &Document) -> Option<Uuid> {
        let content = self.child.content(&child.body).ok()?;
        content
            .references
            .iter()
            .find(|reference| reference.field == self.field.name)
            .map(|named| named.to.id)
    }

    fn link(self, fields: &mut Map, parent: Uuid) {
        fields.insert(self.field.name.to_owned(), json!({ "id": parent }));
    }
}
