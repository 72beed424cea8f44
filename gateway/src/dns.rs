//! Resolves names to addresses in the background. A request waits for the first look-up of a name, and never
//! again while the name has addresses.
//!
//! One task ([`Driver`]) starts all look-ups, at most [`LOOK_UPS`] at once for requests and as many for watched
//! names, on a thread that lives as long as [`Names`]. An answer is renewed when its TTL has passed, whether or
//! not a request comes, and look-ups that fail are repeated with growing delays. A name server that is silent
//! for some names delays the requests for these names and no others.
//!
//! This module knows names, addresses and name servers. It knows neither services nor upstreams.

mod addresses;
mod answer;
mod driver;
mod files;
mod hosts;
mod look_up;
mod memory;
mod names;
mod query;
mod registry;
mod resolve;
mod search;
mod servers;
mod system;
mod thread;
mod watched;

use std::time::Duration;

pub use addresses::Addresses;
pub use answer::{Answer, Endpoint, RecordKind};
pub use driver::Driver;
pub use look_up::{Found, LookUp, LookUpError, Missing};
pub use names::Names;
pub use query::{DnsTerms, Families, Family, Query, SrvUse};
pub use search::SearchDomains;
pub use system::{NameServers, Settings};
pub use thread::start;
pub use watched::{Subscription, Watched};

/// Concurrent look-ups for requests, and for watched names. Each takes a descriptor for every name server that
/// it asks.
const LOOK_UPS: usize = 64;
/// Delay of the next look-up after a failed one; Kong's `error_ttl`. It doubles with each further failure, up to
/// [`MAX_RETRY_DELAY`].
const ERROR_TTL: Duration = Duration::from_secs(1);
/// The longest delay of the next look-up after a failed one; Kong's `not_found_ttl`.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Limits of look-ups.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Timeout of a look-up.
    pub timeout: Duration,
    /// How many requests may wait for look-ups; those for one name take a quarter at most.
    pub waiting: usize,
}

#[cfg(test)]
mod tests;
