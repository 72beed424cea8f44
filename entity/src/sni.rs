//! Server names of TLS, and their certificates.

use sea_orm::entity::prelude::*;

/// A server name. Dates are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sni")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Unique; in lower case.
    #[sea_orm(unique)]
    pub name: String,
    /// The certificate that is shown.
    pub certificate_id: Uuid,
    /// A list of strings.
    pub tags: Option<Json>,
    /// When it was made.
    pub created_at: i64,
    /// When it was last written.
    pub updated_at: i64,
}

/// What a server name relates to.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The certificate that is shown.
    #[sea_orm(
        belongs_to = "super::certificate::Entity",
        from = "Column::CertificateId",
        to = "super::certificate::Column::Id"
    )]
    Certificate,
}

impl Related<super::certificate::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Certificate.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
