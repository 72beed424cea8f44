//! What is known of the sync, for the status listener.

use parking_lot::RwLock;
use serde::Serialize;
use uuid::Uuid;
use wire::Position;

/// The state of the sync: written by the agent alone, read by the status listener, never by a request.
#[derive(Debug, Default)]
pub struct Status(RwLock<StatusView>);

/// The state of the sync, as `/status` shows it. Times are in seconds since 1970.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StatusView {
    /// This data plane's id.
    pub node_id: Uuid,
    /// Whether a control plane has accepted this node and is connected.
    pub connected: bool,
    /// The control plane that is connected, or was last.
    pub control_plane: Option<String>,
    /// The history that the configuration belongs to.
    pub epoch: Option<Uuid>,
    /// The revision that is live.
    pub revision: Option<u64>,
    /// The newest revision that is known of.
    pub head_revision: Option<u64>,
    /// The hash of what is live, as the control plane shows it.
    pub config_hash: Option<String>,
    /// Where it came from.
    pub source: Option<Source>,
    /// When it went live.
    pub applied_at: Option<i64>,
    /// When a control plane was last heard.
    pub last_contact: Option<i64>,
    /// What went wrong last: a refused configuration, a lost connection, the disk.
    pub last_error: Option<String>,
    /// The revision that the copy on disk holds, synced.
    pub disk_revision: Option<u64>,
    /// Why the copy on disk is behind what is live, while it is.
    pub disk_error: Option<String>,
    /// What was wrong with the copy on disk when the program started.
    pub disk_damage: Option<String>,
    /// The revision that the process ended in when it was last applied, until a later one is live.
    pub crashed_revision: Option<u64>,
    /// How often in a row it ended there.
    pub crashes: u32,
}

/// Where the live configuration came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The copy on disk; no control plane has confirmed it since the start.
    Disk,
    /// A control plane.
    ControlPlane,
}

impl Status {
    /// A copy of what is known.
    pub fn view(&self) -> StatusView {
        self.0.read().clone()
    }

    pub(super) fn edit(&self, edit: impl FnOnce(&mut StatusView)) {
        edit(&mut self.0.write());
    }

    pub(super) fn holds(&self, held: Position, source: Source, now: i64) {
        self.edit(|view| {
            view.epoch = Some(held.epoch);
            view.revision = Some(held.revision);
            view.config_hash = Some(held.root.config_hash());
            view.source = Some(source);
            view.applied_at = Some(now);
        });
    }
}
