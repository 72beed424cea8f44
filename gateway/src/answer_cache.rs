//! Answers of upstreams that are kept for later requests: which are, for how long, for whom, and where.
//!
//! The store is one for the process. It outlives every change of the configuration, and ends with the process.
//! What the plugin `proxy-cache` does with it, nothing here knows.

mod admission;
mod directives;
mod fields;
mod flight;
mod key;
mod media;
mod recording;
mod store;
mod stored;

pub use self::admission::{AdmissionTerms, Admitted};
pub use self::directives::Directives;
pub use self::fields::Fields;
pub use self::flight::{Flights, LONGEST_WAIT, Lead, Turn, Waited, Waiting};
pub use self::key::{CountedField, Key, KeyTerms, Keys, RequestParts, hex};
pub use self::media::MediaType;
pub use self::recording::Recording;
pub use self::store::{Found, Purges, Scope, Store, StoreLimits};
pub use self::stored::{Head, Stored, Use};
