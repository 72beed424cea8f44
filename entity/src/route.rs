//! Routes.

use sea_orm::entity::prelude::*;

/// A route. Dates are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "route")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Unique, if it has one.
    #[sea_orm(unique)]
    pub name: Option<String>,
    /// The route's service.
    pub service_id: Option<Uuid>,
    /// A list of protocols.
    pub protocols: Json,
    /// A list of methods.
    pub methods: Option<Json>,
    /// A list of hosts.
    pub hosts: Option<Json>,
    /// A list of paths.
    pub paths: Option<Json>,
    /// A map from a header's name to a list of values.
    pub headers: Option<Json>,
    /// A list of server names.
    pub snis: Option<Json>,
    /// A list of addresses and ports.
    pub sources: Option<Json>,
    /// A list of addresses and ports.
    pub destinations: Option<Json>,
    /// Status for plaintext requests to an https-only route.
    pub https_redirect_status_code: i32,
    /// Order among regular expressions.
    pub regex_priority: i32,
    /// Whether the matched prefix is removed.
    pub strip_path: bool,
    /// `v0` or `v1`.
    pub path_handling: String,
    /// Whether the client's Host goes upstream.
    pub preserve_host: bool,
    /// Whether a request's body is read before it is sent on.
    pub request_buffering: bool,
    /// Whether a response's body is read before it is sent on.
    pub response_buffering: bool,
    /// A list of strings.
    pub tags: Option<Json>,
    /// When it was created.
    pub created_at: i64,
    /// When it was last written.
    pub updated_at: i64,
}

/// Relations of a route.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The route's service.
    #[sea_orm(
        belongs_to = "super::service::Entity",
        from = "Column::ServiceId",
        to = "super::service::Column::Id"
    )]
    Service,
}

impl Related<super::service::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Service.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
