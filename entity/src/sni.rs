//! Server names of TLS, and the certificate of each.

use sea_orm::entity::prelude::*;

/// A server name. Dates are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sni")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The name: unique, in lower case.
    #[sea_orm(unique)]
    pub name: String,
    /// The certificate that data planes show for the name.
    pub certificate_id: Uuid,
    /// A list of strings.
    pub tags: Option<Json>,
    /// When it was created.
    pub created_at: i64,
    /// When it was last written.
    pub updated_at: i64,
}

/// Relations of a server name.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The certificate that data planes show for the name.
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
