//! The head of the configuration's history: one row, which every write updates.

use sea_orm::entity::prelude::*;

/// The head.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "config_head")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// The epoch: one history of revisions.
    pub epoch: Uuid,
    /// The number of the last committed write.
    pub revision: i64,
    /// A random id that each write stores, so that equal revision numbers of two histories differ. Null
    /// before the first write that stored one.
    #[sea_orm(column_name = "stamp")]
    pub commit_token: Option<Uuid>,
    /// The commit token before the last write.
    pub previous: Option<Uuid>,
    /// The epoch that an operator has confirmed for the fleet, however small its configuration is.
    pub confirmed_epoch: Option<Uuid>,
}

/// No relations.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
