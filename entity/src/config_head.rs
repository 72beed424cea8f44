//! The head of the configuration's history: one row, which every write moves.

use sea_orm::entity::prelude::*;

/// The head.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "config_head")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// Which history this is.
    pub epoch: Uuid,
    /// The number of writes so far.
    pub revision: i64,
    /// Random, made anew by each write: two histories with the same numbers have different ones. Null before
    /// the first write that made one.
    #[sea_orm(column_name = "stamp")]
    pub commit_token: Option<Uuid>,
    /// What `commit_token` was before the last write.
    pub previous: Option<Uuid>,
    /// The epoch that an operator has confirmed for the fleet, however small its configuration is.
    pub confirmed_epoch: Option<Uuid>,
}

/// None.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
