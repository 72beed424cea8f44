//! An encoded update, and what a data plane must know to be sent it.

use std::ops::Deref;
use std::sync::Arc;

use wire::EncodedUpdate;

use super::requirements::{Known, Lacking, Requirements};

/// An update that all data planes share which request it.
#[derive(Debug)]
pub struct PublishedUpdate {
    encoded: EncodedUpdate,
    /// Those of the configuration to which it leads. The head may have moved since it was encoded.
    requirements: Arc<Requirements>,
}

impl PublishedUpdate {
    pub(super) const fn new(encoded: EncodedUpdate, requirements: Arc<Requirements>) -> Self {
        Self { encoded, requirements }
    }

    /// Returns what a data plane that knows `known` lacks to be sent the update.
    pub fn lacking(&self, known: &Known) -> Option<Lacking> {
        self.requirements.lacking(known, self.encoded.header.position())
    }
}

impl Deref for PublishedUpdate {
    type Target = EncodedUpdate;

    fn deref(&self) -> &EncodedUpdate {
        &self.encoded
    }
}

#[cfg(test)]
impl From<EncodedUpdate> for PublishedUpdate {
    fn from(encoded: EncodedUpdate) -> Self {
        Self::new(encoded, Arc::default())
    }
}
