//! The file in use, open at its end: deltas are appended to it. It stays readable even after another program
//! has removed it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wire::{Position, Update};

use super::super::io_error;
use super::{CacheError, Found, MAX_FILE, format};

/// Deltas may take this many bytes before they are merged, however small the snapshot is.
pub(super) const MERGE_FROM: u64 = 1 << 20;

/// A whole file, and the position of its end.
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

/// The identity that the file under a name must have to be the one in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Footprint {
    path: PathBuf,
    identity: (u64, u64),
    len: u64,
}

impl Log {
    /// Opens a file whose first `len` bytes are good and end at `end`. The first `snapshot_len` of them are
    /// its head and its snapshot.
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

    /// The position of its end.
    pub(in super::super) const fn end(&self) -> Position {
        self.end
    }

    /// The file, to be synced.
    pub(in super::super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// The identity that the file under its name must have.
    pub(in super::super) fn footprint(&self) -> Footprint {
        Footprint { path: self.path.clone(), identity: self.identity, len: self.len }
    }

    /// Whether `footprint` is of this file, even if the file has grown since.
    pub(in super::super) fn is(&self, footprint: &Footprint) -> bool {
        self.identity == footprint.identity && self.path == footprint.path
    }

    /// Ends appending to it. The file is read once more to write the next one.
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

    /// Whether a start could still read the file if it grew by this much.
    pub(in super::super) const fn has_room_for(&self, more: u64) -> bool {
        self.len + more < MAX_FILE
    }

    /// Whether these updates follow its end.
    pub(in super::super) fn leads_to(&self, updates: &[Update]) -> bool {
        let mut end = self.end;
        updates.iter().all(|update| {
            let follows = format::follows(Some(end), &update.header);
            end = update.header.position();
            follows
        })
    }

    /// Appends updates that follow its end, without syncing them.
    ///
    /// # Errors
    /// When the disk refuses; the bytes written until then are cut off again. When another file stands under
    /// its name; nothing is written then.
    pub(in super::super) fn append(&mut self, updates: &[Update]) -> Result<(), CacheError> {
        if let Err(changed @ CacheError::Changed { .. }) = self.footprint().check() {
            self.broken = true;
            return Err(changed);
        }
        let entries = format::entries(updates);
        if let Err(source) = (&*self.file).write_all(&entries) {
            // A torn entry would hide every later one. If the cut fails, a new file is written.
            self.broken = self.file.set_len(self.len).is_err();
            return Err(io_error("append to", &self.path, source));
        }
        self.len += entries.len() as u64;
        if let Some(last) = updates.last() {
            self.end = last.header.position();
        }
        Ok(())
    }

    /// Reads the contents, even if the file has lost its name.
    ///
    /// # Errors
    /// When the system refuses, or another program has made the file shorter.
    pub(super) fn read(&self) -> io::Result<Found> {
        let mut bytes = vec![0; usize::try_from(self.len.min(MAX_FILE)).unwrap_or_default()];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(format::parse(&bytes.into()))
    }
}

impl Footprint {
    /// Checks that the file is still there: another program may have removed it with its folder, replaced it,
    /// or cut it. It may have grown since.
    ///
    /// # Errors
    /// [`CacheError::Changed`] when it is not there; another error when the system gives no answer.
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

/// Whether the file is missing. A part of its path may have become a file, too.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
