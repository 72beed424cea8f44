//! Data planes: who has connected, and what each holds.

use sea_orm::entity::prelude::*;

/// A data plane. Dates are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "data_plane")]
pub struct Model {
    /// The id that it keeps on its disk.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Its host name.
    pub hostname: String,
    /// The address that it connected from.
    pub ip: String,
    /// Its program's version.
    pub version: String,
    /// Hash of what it holds, 32 hex digits.
    pub config_hash: String,
    /// Revision of what it holds.
    pub applied_revision: Option<i64>,
    /// The history that the revision belongs to.
    pub applied_epoch: Option<Uuid>,
    /// `syncing`, `synced`, `rejected`, `disconnected`, `incompatible` or `conflict`.
    pub state: String,
    /// The same for older clients: `unknown`, `normal`, ….
    pub sync_status: String,
    /// A map of strings.
    pub labels: Json,
    /// When its certificate expires.
    pub cert_expiry: Option<i64>,
    /// What it refused last, and why; null after a later revision was accepted.
    pub last_error: Option<Json>,
    /// Whether it is connected to `control_plane`.
    pub connected: bool,
    /// The control plane that it is, or was last, connected to.
    pub control_plane: Option<Uuid>,
    /// When it was last heard.
    pub last_seen: i64,
    /// When it first connected.
    pub created_at: i64,
    /// When this row last changed.
    pub updated_at: i64,
}

/// None.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
