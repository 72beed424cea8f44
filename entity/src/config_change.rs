//! The change log: what each revision put and deleted.

use sea_orm::entity::prelude::*;

/// One change of one revision.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "config_change")]
pub struct Model {
    /// The revision.
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    /// Its place within the revision, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ordinal: i32,
    /// The kind's number on the wire.
    pub kind: i16,
    /// The entity.
    pub id: Uuid,
    /// 1 put, 2 delete, 3 a put whose bytes were blanked because a later revision superseded them.
    pub op: i16,
    /// Canonical bytes of what was put; empty for a delete and a blanked put.
    pub bytes: Vec<u8>,
    /// Their hash; empty for a delete and a blanked put.
    pub hash: Vec<u8>,
    /// The head's stamp as this revision made it.
    #[sea_orm(column_name = "stamp")]
    pub commit_token: Option<Uuid>,
    /// The head's stamp as this revision found it.
    pub previous: Option<Uuid>,
}

/// None: what was changed may be gone.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
