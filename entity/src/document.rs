//! Entities of all kinds.

use sea_orm::entity::prelude::*;

/// One entity. Dates are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "document")]
pub struct Model {
    /// The kind's number on the wire.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: i16,
    /// Identity among the entities of the kind.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The canonical bytes, which are JSON.
    #[sea_orm(column_type = "Text")]
    pub body: String,
    /// A list of strings.
    pub tags: Option<Json>,
    /// When it was created.
    pub created_at: i64,
    /// When it was last written.
    pub updated_at: i64,
}

/// The relations are in tables of their own.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
