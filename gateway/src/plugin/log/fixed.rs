//! What all entries have alike: the workspace, and the unit of times.

use std::time::Duration;

/// The one workspace; Kong's community edition has no other.
pub(super) const WORKSPACE: &str = "default";
/// Its id.
pub(super) const WORKSPACE_ID: uuid::Uuid = uuid::Uuid::nil();

/// Whole milliseconds.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
