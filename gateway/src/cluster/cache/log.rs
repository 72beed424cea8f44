//! The file that is in use, open at its end: deltas are appended to it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wire::{Position, Update};

use super::super::io_error;
use super::{CacheError, format};

/// Deltas may take this much before they are merged, however small the snapshot is.
pub(super) const MERGE_FROM: u64 = 1 << 20;

/// A file that is whole, and where it ends.
#[derive(Debug)]
pub(in super::super) struct Log {
    path: PathBuf,
    file: Arc<File>,
    snapshot_len: u64,
    len: u64,
    end: Position,
    broken: bool,
}

impl Log {
    /// Opens a file whose first `len` bytes are good and end at `end`, of which `snapshot_len` are its
    /// head and its snapshot.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn open(path: &Path, snapshot_len: u64, len: u64, end: Position) -> Result<Self, CacheError> {
        let file =
            OpenOptions::new().append(true).open(path).map_err(|source| io_error("open", path, source))?;
        Ok(Self { path: path.to_owned(), file: Arc::new(file), snapshot_len, len, end, broken: false })
    }

    /// Where it ends.
    pub(in super::super) const fn end(&self) -> Position {
        self.end
    }

    /// The file, to be synced.
    pub(in super::super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Whether deltas can still be appended: it is whole, and has not outgrown its snapshot.
    pub(in super::super) fn takes_more(&self) -> bool {
        !self.broken && self.len - self.snapshot_len <= self.snapshot_len.max(MERGE_FROM)
    }

    /// Whether these lead on from its end.
    pub(in super::super) fn leads_to(&self, updates: &[Update]) -> bool {
        let mut end = self.end;
        updates.iter().all(|update| {
            let follows = format::follows(Some(end), &update.header);
            end = update.header.position();
            follows
        })
    }

    /// Appends updates that lead on from its end, without syncing them.
    ///
    /// # Errors
    /// When the disk refuses; what was written by then is taken off again.
    pub(in super::super) fn append(&mut self, updates: &[Update]) -> Result<(), CacheError> {
        let entries = format::entries(updates);
        if let Err(source) = (&*self.file).write_all(&entries) {
            // A torn entry would hide every later one. Should it stay, the file is written anew.
            self.broken = self.file.set_len(self.len).is_err();
            return Err(io_error("append to", &self.path, source));
        }
        self.len += entries.len() as u64;
        if let Some(last) = updates.last() {
            self.end = last.header.position();
        }
        Ok(())
    }
}
