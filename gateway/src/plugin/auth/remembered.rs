//! Remembers which proofs were found valid or not, so that a repeated one costs no second check. A proof is
//! kept as a keyed hash alone, under a key that no other process has. The memory is bounded.

use std::fmt;
use std::num::NonZeroUsize;

use foldhash::fast::RandomState;
use lru::LruCache;
use parking_lot::Mutex;
use zeroize::Zeroizing;

/// Parts of a memory, each under a lock of its own.
const PARTS: usize = 16;

/// The key of the hashes.
pub(in crate::plugin) struct ProofKey([u8; 32]);

/// A secret together with all that it was checked against.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::plugin) struct Proof([u8; 32]);

/// A bounded set of proofs.
pub(in crate::plugin) struct Remembered {
    parts: Vec<Mutex<LruCache<Proof, (), RandomState>>>,
}

impl ProofKey {
    /// Creates a random key.
    pub(in crate::plugin) fn random() -> Self {
        Self(rand::random())
    }

    /// The proof of these parts, whose borders count.
    pub(in crate::plugin) fn proof(&self, parts: &[&[u8]]) -> Proof {
        let length = parts.iter().map(|part| size_of::<u64>() + part.len()).sum();
        let mut text = Zeroizing::new(Vec::with_capacity(length));
        for part in parts {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        }
        Proof(*blake3::keyed_hash(&self.0, &text).as_bytes())
    }
}

impl Remembered {
    /// Creates a memory of at most so many proofs, 16 at least.
    pub(in crate::plugin) fn new(most: usize) -> Self {
        let of_part = NonZeroUsize::new(most / PARTS).unwrap_or(NonZeroUsize::MIN);
        // Its table grows with what it holds.
        let part = || {
            let mut part = LruCache::unbounded_with_hasher(RandomState::default());
            part.resize(of_part);
            Mutex::new(part)
        };
        Self { parts: std::iter::repeat_with(part).take(PARTS).collect() }
    }

    /// Whether the proof is remembered.
    pub(in crate::plugin) fn has(&self, proof: &Proof) -> bool {
        self.part(proof).is_some_and(|part| part.lock().get(proof).is_some())
    }

    /// Remembers a proof. The one that was not asked for the longest time may be forgotten.
    pub(in crate::plugin) fn add(&self, proof: Proof) {
        if let Some(part) = self.part(&proof) {
            part.lock().put(proof, ());
        }
    }

    fn part(&self, proof: &Proof) -> Option<&Mutex<LruCache<Proof, (), RandomState>>> {
        self.parts.get(usize::from(proof.0[0]) % PARTS)
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey(***)")
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(***)")
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_differ_by_each_part_and_border() {
        let (key, memory) = (ProofKey::random(), Remembered::new(100));
        let proof = key.proof(&[b"ab", b"c"]);
        memory.add(proof);
        assert!(memory.has(&key.proof(&[b"ab", b"c"])));
        for other in [&[b"a".as_slice(), b"bc"][..], &[b"abc"], &[b"ab", b"d"], &[b"ab", b"c", b""]] {
            assert!(!memory.has(&key.proof(other)), "{other:?}");
        }
        assert!(ProofKey::random().proof(&[b"ab", b"c"]) != proof);
    }

    #[test]
    fn memory_is_bounded() {
        let (key, memory) = (ProofKey::random(), Remembered::new(64));
        for number in 0..10_000_u32 {
            memory.add(key.proof(&[&number.to_le_bytes()]));
        }
        let held: usize = memory.parts.iter().map(|part| part.lock().len()).sum();
        assert!(held <= 64, "{held}");
    }
}
