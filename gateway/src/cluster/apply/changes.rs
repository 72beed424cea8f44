//! Reads the changes of an update, record by record out of the decompressor. Each is hashed, decoded and
//! handed on before the next one, so that neither the payload nor the records are in memory as a whole.

use tokio::time::Instant;
use wire::{Digest, EntityHash, Key, RecordReader, Root, Update};

use super::{Refused, Undo};
use crate::table::Change;

/// The changes of one update. The digest follows them. The last item is an error when the digest does not
/// match the root that the update announces.
pub(super) struct Changes<'a> {
    /// The entities in the buckets that a repair replaces; most of them come again.
    removed: std::vec::IntoIter<Key>,
    records: RecordReader<'a>,
    digest: &'a mut Digest,
    undo: Option<&'a mut Undo>,
    root: Root,
    /// When the last record was read.
    decoded: &'a mut Instant,
    ended: bool,
}

impl<'a> Changes<'a> {
    pub(super) fn new(
        update: &'a Update,
        digest: &'a mut Digest,
        undo: Option<&'a mut Undo>,
        decoded: &'a mut Instant,
    ) -> Result<Self, Refused> {
        let records = update.records()?;
        let removed: Vec<_> =
            records.replaced().iter().flat_map(|bucket| digest.bucket_keys(bucket)).collect();
        let (removed, root) = (removed.into_iter(), update.header.root);
        Ok(Self { removed, records, digest, undo, root, decoded, ended: false })
    }

    /// The next change of a known kind.
    fn advance(&mut self) -> Result<Option<Change>, Refused> {
        for key in self.removed.by_ref() {
            set(self.digest, &mut self.undo, key, None);
            if let Some(change) = Change::read(key, None)? {
                return Ok(Some(change));
            }
        }
        while let Some(record) = self.records.next_record()? {
            let hash = record.value.map(|bytes| EntityHash::of(record.key, bytes));
            set(self.digest, &mut self.undo, record.key, hash);
            if let Some(change) = Change::read(record.key, record.value)? {
                return Ok(Some(change));
            }
        }
        self.ended = true;
        *self.decoded = Instant::now();
        match self.digest.root() {
            ours if ours == self.root => Ok(None),
            ours => Err(Refused::root_mismatch(self.root, ours)),
        }
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<Change, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance();
        self.ended |= next.is_err();
        next.transpose()
    }
}

fn set(digest: &mut Digest, undo: &mut Option<&mut Undo>, key: Key, hash: Option<EntityHash>) {
    let before = digest.set(key, hash);
    if let Some(undo) = undo {
        undo.push((key, before));
    }
}
