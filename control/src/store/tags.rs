//! Tags, as rows.

use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, JsonValue, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::{ROWS, Store, StoreError, within};
use entity::tag::{ActiveModel, Column, Entity, Model};

/// The tags of all rows.
#[derive(Debug)]
pub struct TagRows<'a>(pub(super) &'a Store);

impl TagRows<'_> {
    /// Returns at most `size` rows after `after` (a tag and a row's id), of one tag or of all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(
        &self,
        tag: Option<&str>,
        size: u64,
        after: Option<&(String, Uuid)>,
    ) -> Result<Vec<Model>, StoreError> {
        let mut select = Entity::find().order_by_asc(Column::Tag).order_by_asc(Column::EntityId).limit(size);
        if let Some(tag) = tag {
            select = select.filter(Column::Tag.eq(tag));
        }
        if let Some((tag, id)) = after {
            let same = Column::Tag.eq(tag).and(Column::EntityId.gt(*id));
            select = select.filter(Column::Tag.gt(tag).or(same));
        }
        within(select.all(self.0.database())).await
    }
}

/// Builds the tag rows for an entity's list of tags.
pub(super) fn of(id: Uuid, collection: &str, names: Option<&JsonValue>) -> Vec<ActiveModel> {
    let names = names.and_then(JsonValue::as_array).into_iter().flatten().filter_map(JsonValue::as_str);
    names
        .map(|name| ActiveModel {
            entity_id: Set(id),
            tag: Set(name.to_owned()),
            entity_name: Set(collection.to_owned()),
        })
        .collect()
}

/// Inserts tag rows.
pub(super) async fn insert(rows: &impl ConnectionTrait, tags: Vec<ActiveModel>) -> Result<(), DbErr> {
    for some in tags.chunks(ROWS) {
        Entity::insert_many(some.to_vec()).exec_without_returning(rows).await?;
    }
    Ok(())
}

/// Deletes the tag rows of these entities.
pub(super) async fn delete(rows: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::EntityId.is_in(ids)).exec(rows).await.map(drop)
}
