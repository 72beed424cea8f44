//! Tags, as rows.

use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, JsonValue, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::{Store, StoreError, within};
use entity::tag::{ActiveModel, Column, Entity, Model};

/// The tags of all rows.
#[derive(Debug)]
pub struct TagRows<'a>(pub(super) &'a Store);

impl TagRows<'_> {
    /// At most `size` rows after `after` (a tag and a row's id), of one tag or of all.
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

/// Makes the tag rows of an entity what its list of tags says.
pub(super) async fn replace(
    rows: &impl ConnectionTrait,
    id: Uuid,
    entity: &str,
    names: Option<&JsonValue>,
) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::EntityId.eq(id)).exec(rows).await?;
    let names = names.and_then(JsonValue::as_array).into_iter().flatten().filter_map(JsonValue::as_str);
    let tags: Vec<_> = names
        .map(|name| ActiveModel {
            entity_id: Set(id),
            tag: Set(name.to_owned()),
            entity_name: Set(entity.to_owned()),
        })
        .collect();
    if !tags.is_empty() {
        Entity::insert_many(tags).exec_without_returning(rows).await?;
    }
    Ok(())
}
