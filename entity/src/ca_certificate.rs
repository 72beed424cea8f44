//! CA certificates.

use sea_orm::entity::prelude::*;

/// A certificate that verifies other certificates. Dates are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ca_certificate")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The certificate in PEM.
    pub cert: String,
    /// SHA-256 of the certificate in DER, in hexadecimal digits; unique.
    #[sea_orm(unique)]
    pub cert_digest: String,
    /// A list of strings.
    pub tags: Option<Json>,
    /// When it was created.
    pub created_at: i64,
    /// When it was last written.
    pub updated_at: i64,
}

/// Relations of a CA certificate. Services refer to it in a list of ids, not by a foreign key.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
