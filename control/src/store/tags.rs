//! Tags, as rows.

use entity::document_tag::{Column, Entity};
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use wire::Key;

use super::document::{kind, number};
use super::{Store, StoreError, within};

/// One tag of one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRow {
    /// The entity.
    pub key: Key,
    /// The tag.
    pub tag: String,
}

impl Store {
    /// Returns at most `size` tags of entities after `after` (a tag and its entity), of one tag or of all.
    /// Entities of different kinds may have one id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn tags(
        &self,
        tag: Option<&str>,
        size: u64,
        after: Option<&(String, Key)>,
    ) -> Result<Vec<TagRow>, StoreError> {
        let mut select = Entity::find().order_by_asc(Column::Tag).order_by_asc(Column::Id);
        select = select.order_by_asc(Column::Kind).limit(size);
        if let Some(tag) = tag {
            select = select.filter(Column::Tag.eq(tag));
        }
        if let Some((tag, Key { kind, id })) = after {
            let same_id = Column::Id.eq(*id).and(Column::Kind.gt(number(*kind)));
            let same = Column::Tag.eq(tag).and(Column::Id.gt(*id).or(same_id));
            select = select.filter(Column::Tag.gt(tag).or(same));
        }
        let rows = within(select.all(self.database())).await?;
        let row = |row: entity::document_tag::Model| TagRow {
            key: Key { kind: kind(row.kind), id: row.id },
            tag: row.tag,
        };
        Ok(rows.into_iter().map(row).collect())
    }
}
