//! References between entities. A foreign key of the database keeps an entity that is named.

use sea_orm::entity::prelude::*;

/// One entity that names another one.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "document_reference")]
pub struct Model {
    /// The kind of the entity that names the other one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: i16,
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The field that names it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub field: String,
    /// The kind of the entity that is named.
    #[sea_orm(primary_key, auto_increment = false)]
    pub to_kind: i16,
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub to_id: Uuid,
}

/// The foreign keys have two columns; the store joins by hand.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
