//! The section `metrics`.

use serde::{Deserialize, Serialize};

/// The section `metrics`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMetrics {
    /// Whether Kong's families about the node are shown even without an instance of the plugin `prometheus`.
    pub compat: bool,
}
