//! Verifies the signatures of tokens, and remembers those that were right: the same token costs no second
//! verification. Signatures of the large curves take a millisecond each, and are verified off the threads that
//! serve requests.

use std::borrow::Borrow;
use std::net::IpAddr;

use super::Algorithm;
use super::key::{Key, Unverified};
use super::token::Token;
use crate::plugin::auth::checks::{Busy, Checks};
use crate::plugin::auth::remembered::{Proof, ProofKey, Remembered};

/// The most signatures that are remembered, of about 100 bytes each.
const MOST_REMEMBERED: usize = 64 * 1024;
/// The most signatures that are verified off the threads of requests, or wait for it.
const MOST_CHECKS: usize = 256;

/// Verifies signatures. It outlives configurations: what it remembers holds for the same key alone.
#[derive(Debug)]
pub(super) struct Signatures {
    checks: Checks,
    key: ProofKey,
    right: Remembered,
}

/// Each core verifies one signature at a time.
impl Default for Signatures {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            checks: Checks::new(cores, MOST_CHECKS),
            key: ProofKey::random(),
            right: Remembered::new(MOST_REMEMBERED),
        }
    }
}

impl Signatures {
    /// The proof of a token and its key: of where the key comes from, the token, and all that makes up the key.
    pub(super) fn proof(&self, parts: &[&[u8]]) -> Proof {
        self.key.proof(parts)
    }

    /// Whether the signature was found right.
    pub(super) fn knows(&self, proof: &Proof) -> bool {
        self.right.has(proof)
    }

    /// Verifies a signature here.
    ///
    /// # Errors
    /// When it is wrong.
    pub(super) fn verify(
        &self,
        proof: Proof,
        token: &Token<'_>,
        key: Option<&Key>,
    ) -> Result<(), Unverified> {
        let key = key.ok_or(Unverified::Key)?;
        key.verify(token.algorithm, token.signed, &token.signature)?;
        self.right.add(proof);
        Ok(())
    }

    /// Verifies the signature of a token for a client when it is its turn. `key` makes the key.
    ///
    /// # Errors
    /// When too many are verified already.
    pub(super) async fn verify_in_turn<K: Borrow<Key>>(
        &self,
        proof: Proof,
        text: Vec<u8>,
        client: IpAddr,
        key: impl FnOnce() -> Option<K> + Send + 'static,
    ) -> Result<Result<(), Unverified>, Busy> {
        let known = || self.knows(&proof).then_some(Ok(()));
        let verify = move || {
            let key = key().ok_or(Unverified::Key)?;
            // It was parsed before.
            let token = Token::parse(&text).map_err(|_| Unverified::Signature)?;
            key.borrow().verify(token.algorithm, token.signed, &token.signature)
        };
        let verified = self.checks.run(client, known, verify).await?;
        if verified.is_ok() {
            self.right.add(proof);
        }
        Ok(verified)
    }
}

/// Whether a verification takes so long that it must not hold up other requests: about a millisecond.
pub(super) const fn is_costly(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Es384 | Algorithm::Es512)
}
