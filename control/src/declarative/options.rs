//! How a document is read.

use model::{Common, Content, Described, Input, Violations};

/// How a document is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The time of the reading, in milliseconds since 1970.
    pub now: i64,
    /// Reads one entity.
    pub read: ReadEntity,
}

/// Reads one entity from its fields, references resolved, and checks it.
pub type ReadEntity = fn(&'static dyn Described, Input, &Common, Violations) -> Result<Content, Violations>;
