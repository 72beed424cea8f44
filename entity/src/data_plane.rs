//! Data planes: identity, connection and position of each.

use sea_orm::entity::prelude::*;

/// A data plane. Dates are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "data_plane")]
pub struct Model {
    /// The node id, kept on the data plane's disk.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The data plane's host name.
    pub hostname: String,
    /// The address that the data plane connected from.
    pub ip: String,
    /// The version of the data plane's program.
    pub version: String,
    /// Hash of the applied configuration, 32 hex digits.
    pub config_hash: String,
    /// The applied revision.
    pub applied_revision: Option<i64>,
    /// The epoch of the applied revision.
    pub applied_epoch: Option<Uuid>,
    /// `syncing`, `synced`, `rejected`, `disconnected`, `incompatible` or `conflict`.
    pub state: String,
    /// The state in the words of older clients: `unknown`, `normal`, ….
    pub sync_status: String,
    /// A map of strings.
    pub labels: Json,
    /// When the data plane's certificate expires.
    pub cert_expiry: Option<i64>,
    /// The last rejection and its reason; null after the data plane applied a later revision.
    pub last_error: Option<Json>,
    /// Whether the data plane is connected to `control_plane`.
    pub connected: bool,
    /// The control plane of the current or the last connection.
    pub control_plane: Option<Uuid>,
    /// Identifies the process of the data plane; null for older programs, and before its first connection to
    /// a control plane that knows the column.
    pub instance: Option<Uuid>,
    /// When the control plane last heard from the data plane.
    pub last_seen: i64,
    /// When the data plane first connected.
    pub created_at: i64,
    /// When this row last changed.
    pub updated_at: i64,
}

/// No relations.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
