//! Revocations: certificates that the control plane refuses before they expire.

use sea_orm::entity::prelude::*;

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revocation")]
pub struct Model {
    /// The property that `value` matches: `node`, `fingerprint` or `serial`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// The node id, or lower-case hex digits.
    #[sea_orm(primary_key, auto_increment = false)]
    pub value: String,
    /// The reason, for people.
    pub reason: Option<String>,
    /// When it was created, in seconds since 1970.
    pub created_at: i64,
}

/// No relations.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
