//! The thread of the look-ups: it lives as long as the names, whatever becomes of the workers.

use std::io;
use std::sync::Arc;

use tokio::runtime::Builder;

use super::{DnsTerms, Limits, LookUp, Names};
use crate::metrics::DnsMetrics;

/// Starts the look-ups on a thread of their own. It ends when the names are dropped.
///
/// # Errors
/// When the system provides no thread, or not the resources of a runtime.
pub fn start(
    looks_up: impl LookUp,
    limits: Limits,
    terms: DnsTerms,
    metrics: DnsMetrics,
) -> io::Result<Arc<Names>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (names, driver) = Names::new(looks_up, limits, terms, metrics);
    std::thread::Builder::new().name("names".to_owned()).spawn(move || runtime.block_on(driver.run()))?;
    Ok(names)
}
