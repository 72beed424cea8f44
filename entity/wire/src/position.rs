//! Where a node stands in the history of the configuration.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Root;

/// Position: where a node stands in the history of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// One history of revisions; a restored database begins a new epoch.
    pub epoch: Uuid,
    /// The number of the last committed write: without gaps, in the order of commits.
    pub revision: u64,
    /// One hash over the whole configuration.
    pub root: Root,
}
