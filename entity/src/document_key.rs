//! The values of unique fields.

use sea_orm::entity::prelude::*;

/// The value of one unique field of one entity.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "document_key")]
pub struct Model {
    /// The entity's kind.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: i16,
    /// The field.
    #[sea_orm(primary_key, auto_increment = false)]
    pub field: String,
    /// Its value.
    #[sea_orm(primary_key, auto_increment = false)]
    pub value: String,
    /// The entity's id.
    pub id: Uuid,
}

/// The foreign key to the entity has two columns; the store joins by hand.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
