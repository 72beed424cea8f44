//! Times of the configuration on the clock of this process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A year: no time of the configuration is further away for this process.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// The instant of a time in seconds since 1970. What is past is now.
pub fn instant_of(seconds: i64) -> Instant {
    let at = UNIX_EPOCH + Duration::from_secs(seconds.max(0).unsigned_abs());
    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.min(FAR)
}
