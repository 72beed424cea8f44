//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// The milliseconds since 1970, by the clock of the system.
pub fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
