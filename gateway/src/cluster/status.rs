//! The state of the sync, for the status listener.

use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;
use wire::Position;

/// The state of the sync: written by the agent alone, read by the status listener, never by a request.
#[derive(Debug, Default)]
pub struct Status {
    view: RwLock<StatusView>,
    /// Operations that the disk has not completed.
    disk: Mutex<Vec<Operation>>,
}

/// An operation on the disk that takes longer than this indicates a fault.
const SLOW: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Operation {
    what: &'static str,
    began: Instant,
    token: u64,
}

/// The state of the sync, as `/status` shows it. Times are in seconds since 1970.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StatusView {
    /// This data plane's id.
    pub node_id: Uuid,
    /// Whether a control plane has accepted this node and is connected.
    pub connected: bool,
    /// The control plane that is connected, or was last.
    pub control_plane: Option<String>,
    /// The epoch of the live configuration.
    pub epoch: Option<Uuid>,
    /// The revision that is live.
    pub revision: Option<u64>,
    /// The newest known revision.
    pub head_revision: Option<u64>,
    /// The hash of the live configuration, as the control plane shows it.
    pub config_hash: Option<String>,
    /// The source of the live configuration.
    pub source: Option<Source>,
    /// When the live configuration was applied.
    pub applied_at: Option<i64>,
    /// When the last data from a control plane came.
    pub last_contact: Option<i64>,
    /// The last problem: a rejected configuration, a lost connection, the disk.
    pub last_error: Option<String>,
    /// The revision that the copy on disk holds, synced.
    pub disk_revision: Option<u64>,
    /// Why the copy on disk is behind the live configuration, while it is.
    pub disk_error: Option<String>,
    /// The damage that the copy on disk had when the program started.
    pub disk_damage: Option<String>,
    /// The revision that ended the process when it was last applied, until a later one is live.
    pub crashed_revision: Option<u64>,
    /// How often in a row the process ended there.
    pub crashes: u32,
}

/// The source of the live configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The copy on disk; no control plane has confirmed it since the start.
    Disk,
    /// A control plane.
    ControlPlane,
}

impl Status {
    /// A copy of the state.
    pub fn view(&self) -> StatusView {
        let mut view = self.view.read().clone();
        if view.disk_error.is_none() {
            view.disk_error = self.disk_hangs(Instant::now());
        }
        view
    }

    /// Notes that an operation on the disk begins; returns the token for [`Status::disk_ends`].
    pub(super) fn disk_begins(&self, what: &'static str) -> u64 {
        let mut disk = self.disk.lock();
        let token = disk.last().map_or(0, |last| last.token + 1);
        disk.push(Operation { what, began: Instant::now(), token });
        token
    }

    /// Notes that the operation has ended.
    pub(super) fn disk_ends(&self, token: u64) {
        self.disk.lock().retain(|operation| operation.token != token);
    }

    fn disk_hangs(&self, now: Instant) -> Option<String> {
        let disk = self.disk.lock();
        let oldest = disk.first().filter(|oldest| now.duration_since(oldest.began) > SLOW)?;
        let seconds = now.duration_since(oldest.began).as_secs();
        Some(format!("the attempt to {} the copy on disk has not returned for {seconds} s", oldest.what))
    }

    pub(super) fn edit(&self, edit: impl FnOnce(&mut StatusView)) {
        edit(&mut self.view.write());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn operation_that_does_not_return_shows_until_it_does() {
        let status = Status::default();
        let token = status.disk_begins("sync");
        let other = status.disk_begins("append to");
        assert_eq!(status.view().disk_error, None);
        tokio::time::advance(SLOW * 2).await;
        status.disk_ends(other);
        let error = status.view().disk_error.unwrap();
        assert!(error.contains("sync") && error.contains("10 s"), "{error}");
        status.disk_ends(token);
        assert_eq!(status.view().disk_error, None);
    }
}
