//! The change log: the entities that each revision put and deleted.

use sea_orm::entity::prelude::*;

/// One change of one revision.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "config_change")]
pub struct Model {
    /// The revision.
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    /// Position within the revision, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ordinal: i32,
    /// The kind's number on the wire.
    pub kind: i16,
    /// The entity's id.
    pub id: Uuid,
    /// 1 put, 2 delete, 3 a put whose bytes were blanked because a later revision superseded them.
    pub op: i16,
    /// Canonical bytes of the entity; empty for a delete and a blanked put.
    pub bytes: Vec<u8>,
    /// Hash of the canonical bytes; empty for a delete and a blanked put.
    pub hash: Vec<u8>,
    /// The commit token that this revision stored in the head.
    #[sea_orm(column_name = "stamp")]
    pub commit_token: Option<Uuid>,
    /// The commit token of the head before this revision.
    pub previous: Option<Uuid>,
    /// When it was written, in seconds since 1970.
    pub written_at: Option<i64>,
    /// The name of the token or certificate that wrote; in the first change of a revision.
    pub author: Option<String>,
    /// The address of the client that wrote; in the first change of a revision.
    pub source: Option<String>,
    /// The entity before the change, as JSON; null for a new one.
    #[sea_orm(column_type = "Text", nullable)]
    pub before: Option<String>,
    /// Whether the kind's entities may hold a secret; null: no.
    pub secret: Option<bool>,
}

/// No relations: the changed entity may be deleted.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
