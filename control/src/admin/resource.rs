//! The collection of each kind: list, create, read, replace, change and delete, by id or by name.

use axum::routing::get;
use model::Described;

use super::body::Body;
use super::entities::Entities;
use super::page::Listing;
use super::{Api, Context, PathParam, consumer, credential};

type Key = PathParam<String>;

/// Adds the paths of the collection.
pub(super) fn routes(api: &mut Api, kind: &'static dyn Described) {
    if !kind.has_collection() {
        return;
    }
    let (path, collection) = (kind.path(), kind.collection());
    let list = move |context: Context, listing: Listing| async move {
        match consumer::by_custom_id(kind, &context, &listing).await {
            Some(answer) => answer,
            None => Entities::new(kind, &context).page(&listing, None).await,
        }
    };
    let create =
        move |context: Context, body: Body| async move { Entities::new(kind, &context).create(body).await };
    api.route(&format!("/{path}"), get(list).post(create));

    let show = move |context: Context, PathParam(key): Key| async move {
        let entities = Entities::new(kind, &context);
        entities.shown(&entities.found(&key).await?).await
    };
    let replace = move |context: Context, PathParam(key): Key, body: Body| async move {
        let entities = Entities::new(kind, &context);
        context.admin.edit(|| entities.put_at(&key, body.clone())).await
    };
    let change = move |context: Context, PathParam(key): Key, body: Body| async move {
        let entities = Entities::new(kind, &context);
        let attempt = || async {
            let held = entities.for_change(&key).await?;
            credential::check_change(kind, &body)?;
            entities.patch(held, body.clone()).await
        };
        context.admin.edit(attempt).await
    };
    let remove = move |context: Context, PathParam(key): Key| async move {
        let entities = Entities::new(kind, &context);
        entities.delete(entities.find(&key).await?).await
    };
    let one = get(show).put(replace).patch(change).delete(remove);
    api.route(&format!("/{path}/{{{collection}}}"), one);
}
