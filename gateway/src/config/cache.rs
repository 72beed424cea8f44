//! The section `cache`: the memory of the answers that `proxy-cache` keeps.

use node::config::{ConfigError, Loaded};
use serde::{Deserialize, Serialize};

use super::RawConfig;
use crate::answer_cache::StoreLimits;

/// The least memory of all answers.
const LEAST: usize = 1 << 20;
/// The most.
const MOST: usize = 1 << 40;
/// The least that the longest body may have.
const LEAST_OBJECT: usize = 1024;
/// The share of the memory that one answer may have.
const SHARE: usize = 4;

/// The section `cache`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCache {
    /// Bytes of all answers together, of all instances of the plugin.
    pub max_bytes: usize,
    /// Bytes of the longest body that is kept.
    pub max_object_bytes: usize,
}

impl Default for RawCache {
    fn default() -> Self {
        // As much as the zone has that Kong's plugin takes by default.
        Self { max_bytes: 128 << 20, max_object_bytes: 8 << 20 }
    }
}

/// Checks the section.
pub(super) fn parse(loaded: &Loaded<RawConfig>) -> Result<StoreLimits, ConfigError> {
    let RawCache { max_bytes, max_object_bytes } = loaded.raw.cache;
    if !(LEAST..=MOST).contains(&max_bytes) {
        let reason = format!("must be between {LEAST} and {MOST}");
        return Err(loaded.violation("cache.max_bytes", max_bytes.to_string(), &reason));
    }
    if !(LEAST_OBJECT..=max_bytes / SHARE).contains(&max_object_bytes) {
        let reason = format!("must be between {LEAST_OBJECT} and a quarter of cache.max_bytes");
        return Err(loaded.violation("cache.max_object_bytes", max_object_bytes.to_string(), &reason));
    }
    Ok(StoreLimits { bytes: max_bytes, object: max_object_bytes })
}
