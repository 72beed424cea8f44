//! What the plugins that limit count with: counters of this node, and servers of counters that nodes share.

pub mod clock;
pub mod counters;
pub mod redis;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use self::clock::unix_millis;
use self::counters::Counters;

/// How often counters whose windows are over are forgotten.
const SWEEP: Duration = Duration::from_secs(60);

/// Forgets counters whose windows are over, again and again.
pub async fn keep_swept(counters: Arc<Counters>) {
    loop {
        sleep(SWEEP).await;
        counters.sweep(unix_millis());
    }
}
