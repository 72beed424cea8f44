//! Services.

use sea_orm::entity::prelude::*;

/// A service. Times are in milliseconds, dates in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "service")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Unique, if it has one.
    #[sea_orm(unique)]
    pub name: Option<String>,
    /// Protocol of the upstream.
    pub protocol: String,
    /// Host name or address of the upstream.
    pub host: String,
    /// Port of the upstream.
    pub port: i32,
    /// Path that precedes the request's path.
    pub path: Option<String>,
    /// Attempts after the first.
    pub retries: i32,
    /// Timeout for connecting to the upstream.
    pub connect_timeout: i64,
    /// Timeout between two writes.
    pub write_timeout: i64,
    /// Timeout between two reads.
    pub read_timeout: i64,
    /// A list of strings.
    pub tags: Option<Json>,
    /// Certificate shown to the upstream.
    pub client_certificate: Option<Uuid>,
    /// Whether the upstream's certificate is verified.
    pub tls_verify: Option<bool>,
    /// Greatest length of the upstream's chain.
    pub tls_verify_depth: Option<i32>,
    /// A list of ids.
    pub ca_certificates: Option<Json>,
    /// Whether its routes match.
    pub enabled: bool,
    /// When it was created.
    pub created_at: i64,
    /// When it was last written.
    pub updated_at: i64,
}

/// Relations of a service.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The routes of the service.
    #[sea_orm(has_many = "super::route::Entity")]
    Route,
}

impl Related<super::route::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Route.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
