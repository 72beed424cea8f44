//! The tokens whose signatures were verified.

use crate::plugin::auth::remembered::{ProofKey, Remembered};

/// The most signatures that are remembered, of about 100 bytes each.
const MOST: usize = 64 * 1024;

/// The tokens whose signatures were verified, as proofs.
#[derive(Debug)]
pub(super) struct Signatures {
    pub(super) verified: Remembered,
    /// The key of the proofs.
    pub(super) key: ProofKey,
}

impl Default for Signatures {
    fn default() -> Self {
        Self { verified: Remembered::new(MOST), key: ProofKey::random() }
    }
}
