//! How a document is read.

use std::fmt;

use model::{Common, Content, Described, Input, Violations};

/// How a document is read.
#[derive(Clone, Copy)]
pub struct ReadOptions<'a> {
    /// The time of the reading, in milliseconds since 1970.
    pub now: i64,
    /// Reads one entity.
    pub read: &'a ReadEntity<'a>,
    /// Makes the stored form of a secret by which an entity is identified.
    pub hash: &'a HashSecret<'a>,
}

/// Reads one entity from its fields, references resolved, and checks it. The last argument is the canonical
/// bytes of the entity before.
pub type ReadEntity<'a> = dyn Fn(&'static dyn Described, Input, &Common, Violations, Option<&[u8]>) -> Result<Content, Violations>
    + 'a;

/// Makes the stored form of a secret.
pub type HashSecret<'a> = dyn Fn(&str) -> String + 'a;

impl fmt::Debug for ReadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOptions").field("now", &self.now).finish_non_exhaustive()
    }
}
