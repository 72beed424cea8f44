//! Tags as rows, so that the database can filter lists by tag.

use sea_orm::entity::prelude::*;

/// One tag of one row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tag")]
pub struct Model {
    /// The tagged row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub entity_id: Uuid,
    /// The tag.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tag: String,
    /// The tagged row's collection, e.g. `services`.
    pub entity_name: String,
}

/// No relations: tagged rows are in many tables.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
