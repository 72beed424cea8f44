//! The file that is in use, open at its end: deltas are appended to it. What it holds can be read even when
//! somebody has removed it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wire::{Position, Update};

use super::super::io_error;
use super::{CacheError, Found, MAX_FILE, format};

/// Deltas may take this much before they are merged, however small the snapshot is.
pub(super) const MERGE_FROM: u64 = 1 << 20;

/// A file that is whole, and where it ends.
#[derive(Debug)]
pub(in super::super) struct Log {
    path: PathBuf,
    file: Arc<File>,
    identity: (u64, u64),
    snapshot_len: u64,
    len: u64,
    end: Position,
    broken: bool,
}

/// What must be found under a file's name for it to be ours still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Footprint {
    path: PathBuf,
    identity: (u64, u64),
    len: u64,
}

impl Log {
    /// Opens a file whose first `len` bytes are good and end at `end`, of which `snapshot_len` are its
    /// head and its snapshot.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn open(path: &Path, snapshot_len: u64, len: u64, end: Position) -> Result<Self, CacheError> {
        let failed = |source| io_error("open", path, source);
        let file = OpenOptions::new().read(true).append(true).open(path).map_err(failed)?;
        let identity = identity(&file.metadata().map_err(failed)?);
        let (path, file) = (path.to_owned(), Arc::new(file));
        Ok(Self { path, file, identity, snapshot_len, len, end, broken: false })
    }

    /// Where it ends.
    pub(in super::super) const fn end(&self) -> Position {
        self.end
    }

    /// The file, to be synced.
    pub(in super::super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// What must be found under its name.
    pub(in super::super) fn footprint(&self) -> Footprint {
        Footprint { path: self.path.clone(), identity: self.identity, len: self.len }
    }

    /// Whether this was taken of it, however much it has grown since.
    pub(in super::super) fn is(&self, footprint: &Footprint) -> bool {
        self.identity == footprint.identity && self.path == footprint.path
    }

    /// Nothing is appended to it from now on; it is read once more to write the next file.
    pub(in super::super) const fn condemn(&mut self) {
        self.broken = true;
    }

    /// Whether deltas can be appended to it.
    pub(in super::super) const fn is_whole(&self) -> bool {
        !self.broken
    }

    /// Whether its deltas have not outgrown its snapshot.
    pub(in super::super) fn is_compact(&self) -> bool {
        self.len - self.snapshot_len <= self.snapshot_len.max(MERGE_FROM)
    }

    /// Whether a start could read it if it grew by this much.
    pub(in super::super) const fn has_room_for(&self, more: u64) -> bool {
        self.len + more < MAX_FILE
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
    /// When the disk refuses; what was written by then is taken off again. When the file is not the one under
    /// its name any more; nothing is written then.
    pub(in super::super) fn append(&mut self, updates: &[Update]) -> Result<(), CacheError> {
        if let Err(changed @ CacheError::Changed { .. }) = self.footprint().check() {
            self.broken = true;
            return Err(changed);
        }
        let entries = format::entries(updates);
        if let Err(source) = (&*self.file).write_all(&entries) {
            // A torn entry would hide every later one. Should it stay, a new file is written.
            self.broken = self.file.set_len(self.len).is_err();
            return Err(io_error("append to", &self.path, source));
        }
        self.len += entries.len() as u64;
        if let Some(last) = updates.last() {
            self.end = last.header.position();
        }
        Ok(())
    }

    /// What it holds, whether it has its name or not.
    ///
    /// # Errors
    /// When the system refuses, or somebody has made it shorter.
    pub(super) fn read(&self) -> io::Result<Found> {
        let mut bytes = vec![0; usize::try_from(self.len.min(MAX_FILE)).unwrap_or_default()];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(format::parse(&bytes.into()))
    }
}

impl Footprint {
    /// Sees whether the file is still there: somebody may have removed it with its folder, put another in its
    /// place, or cut it. It may have grown since.
    ///
    /// # Errors
    /// [`CacheError::Changed`] when it is not there; another when the system does not say.
    pub(in super::super) fn check(&self) -> Result<(), CacheError> {
        let how = match fs::metadata(&self.path) {
            Err(error) if is_absent(&error) => "removed",
            Err(error) => return Err(io_error("look at", &self.path, error)),
            Ok(found) if identity(&found) != self.identity => "replaced",
            Ok(found) if found.len() < self.len => "cut",
            Ok(_) => return Ok(()),
        };
        Err(CacheError::Changed { path: self.path.clone(), how })
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// A part of the path may have become a file.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
