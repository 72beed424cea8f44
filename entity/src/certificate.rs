//! Certificates that data planes show to clients.

use sea_orm::entity::prelude::*;

use crate::private_key::PrivateKey;

/// A certificate with its private key. Dates are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "certificate")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The certificate and those of its issuers, PEM.
    pub cert: String,
    /// Its private key, PEM.
    pub key: PrivateKey,
    /// A second certificate, with a key of another type, PEM.
    pub cert_alt: Option<String>,
    /// The private key of the second certificate, PEM.
    pub key_alt: Option<PrivateKey>,
    /// A list of strings.
    pub tags: Option<Json>,
    /// When it was created.
    pub created_at: i64,
    /// When it was last written.
    pub updated_at: i64,
}

/// Relations of a certificate.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The server names of the certificate.
    #[sea_orm(has_many = "super::sni::Entity")]
    Sni,
}

impl Related<super::sni::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Sni.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
