//! Revocations: certificates that are not let in any more, before their time.

use sea_orm::entity::prelude::*;

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revocation")]
pub struct Model {
    /// What `value` is of the certificate: `node`, `fingerprint` or `serial`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// The node id, or lower-case hex digits.
    #[sea_orm(primary_key, auto_increment = false)]
    pub value: String,
    /// Why, for people.
    pub reason: Option<String>,
    /// When, in seconds since 1970.
    pub created_at: i64,
}

/// None.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
