//! Reports the health of the targets to the control plane.
//!
//! [`HealthSource`] is the seam to the balancers: this module knows no upstream, and the balancers know no
//! connection.

mod pacer;

use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;
use wire::TargetHealth;

pub(super) use self::pacer::HealthPacer;

/// The health of the targets of the live configuration. Its functions are called on the thread of the sync
/// agent, one after the other, and must not block.
pub trait HealthSource: fmt::Debug + Send + Sync {
    /// The number of targets in the live configuration.
    fn targets(&self) -> usize;

    /// Returns every target that is not plain: see [`TargetHealth::plain`].
    ///
    /// Forgets the changes that [`HealthSource::take_changes`] has not returned, before it reads the first
    /// state. A change during the call is returned later, again if need be.
    fn full(&self) -> Vec<TargetHealth>;

    /// Returns the present states of at most `most` targets that have changed since the last call, and
    /// forgets these changes. A target that changed twice is one entry; one that is plain again is a
    /// [`TargetHealth::plain`]; one that was deleted is none.
    fn take_changes(&self, most: usize) -> Vec<TargetHealth>;

    /// Notified, with [`Notify::notify_one`], when a target changes.
    fn changed(&self) -> &Notify;
}

/// Waits for a change of health; for ever, if there is no source or no report may be sent yet.
pub(super) async fn changed(source: Option<&Arc<dyn HealthSource>>, pacer: Option<&HealthPacer>) {
    match source.filter(|_| pacer.is_some()) {
        Some(source) => source.changed().notified().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
pub(super) mod tests;
