//! Tags as rows, so that the database can filter lists by tag.

use sea_orm::entity::prelude::*;

/// One tag of one entity.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "document_tag")]
pub struct Model {
    /// The entity's kind.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: i16,
    /// The entity's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The tag.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tag: String,
}

/// The foreign key to the entity has two columns; the store joins by hand.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
