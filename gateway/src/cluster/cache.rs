//! The copy on disk: what a data plane starts from when no control plane is there.
//!
//! One file, `config.log`: a snapshot as it was received, then the deltas since (see [`mod@format`]). The file
//! before it stays as `config.log.1`. A new snapshot goes to a temporary file that takes the name once it
//! is whole and synced; a delta is appended. When the deltas outgrow the snapshot, the file is read back,
//! merged and written anew, so that memory never holds a second copy of the configuration.
//!
//! # What is read back
//!
//! Entries whose checksums hold and of which each starts where the one before it ends, from the first on:
//! always a configuration that was live here. Whatever else a file holds is no reason not to start:
//!
//! | found | done |
//! |---|---|
//! | a good beginning, then damage | the beginning serves; the file is kept as `config.log.damaged` and written anew |
//! | nothing good: empty, foreign, a folder, unreadable | kept as `config.log.damaged`; `config.log.1` serves |
//! | a later format version | kept as `config.log.v2` (its version): a downgrade destroys nothing; `config.log.1` serves |
//! | both without anything good | the control plane sends a snapshot |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wire::{MAX_ENCODED, Mode, Position, Update};

use super::io_error;

mod format;
mod log;
mod merge;

pub(super) use self::format::{Complaint, Found};
pub(super) use self::log::Log;
pub(super) use self::merge::merge_deltas;

const CURRENT: &str = "config.log";
const PREVIOUS: &str = "config.log.1";
const TEMPORARY: &str = "config.log.new";
/// A snapshot, deltas up to its length, and one more of any length: a longer file is none of ours, and is
/// not read into memory.
const MAX_FILE: u64 = 4 * MAX_ENCODED;

/// Something about the copy on disk failed.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is on disk does not lead to what is held: a snapshot is needed.
    #[error("the copy in {path} cannot be continued: {reason}")]
    Lost {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The files.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    base: Base,
}

/// What the next file is made of, beside the updates that wait.
#[derive(Clone, Copy, Debug)]
struct Base {
    generation: Generation,
    /// How many of its entries count.
    entries: usize,
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// The newest.
    Current,
    /// The one before it.
    Previous,
}

impl Generation {
    /// Both, the newest first.
    pub(super) const ALL: [Self; 2] = [Self::Current, Self::Previous];

    const fn name(self) -> &'static str {
        match self {
            Self::Current => CURRENT,
            Self::Previous => PREVIOUS,
        }
    }
}

impl Cache {
    /// Opens the folder, making it (mode 0700) if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(super) fn open(dir: &Path) -> Result<Self, CacheError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| io_error("make the folder", dir, source))?;
        Ok(Self { dir: dir.to_owned(), base: Base { generation: Generation::Current, entries: usize::MAX } })
    }

    /// What a file holds; `None` when there is none.
    pub(super) fn read(&self, generation: Generation) -> Option<Found> {
        match read(&self.path_of(generation)) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Found::nothing(format!("it cannot be read: {error}"))),
        }
    }

    /// Keeps a file with which something is wrong under another name, for who looks into it. One that can
    /// be linked stays in its place, too, until [`Cache::rewrite`]: its beginning may be all there is.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn set_aside(&self, generation: Generation, why: &Complaint) -> Result<PathBuf, CacheError> {
        let path = self.path_of(generation);
        let ending = match why {
            Complaint::Newer(version) => format!("v{version}"),
            Complaint::Damaged(_) => "damaged".to_owned(),
        };
        let aside = self.free_name(&format!("{}.{ending}", generation.name()));
        remove_if_there(&aside)?;
        fs::hard_link(&path, &aside)
            .or_else(|_| fs::rename(&path, &aside))
            .map_err(|source| io_error("set aside", &path, source))?;
        Ok(aside)
    }

    /// From now on the copy is the first `entries` entries of this file.
    pub(super) fn build_upon(&mut self, generation: Generation, entries: usize) {
        self.base = Base { generation, entries };
    }

    /// Goes on with the newest file, which was read and is good to its end.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn go_on(&self, found: &Found, end: Position) -> Result<Log, CacheError> {
        Log::open(&self.path(CURRENT), found.snapshot_len, found.good_len, end)
    }

    /// Writes a new file of all that is known: the good entries on disk, and these, which must lead to
    /// `end`. At no moment is there no file under the name, nor one that is not whole.
    ///
    /// # Errors
    /// When the disk refuses, or what is known does not lead there; nothing has changed then.
    pub(super) fn rewrite(&mut self, waiting: &[Update], end: Position) -> Result<Log, CacheError> {
        let snapshot = self.merged(waiting, end)?;
        let bytes = format::file(&snapshot);
        let current = self.path(CURRENT);
        write_synced(&self.path(TEMPORARY), &bytes)?;
        self.replace()?;
        self.base = Base { generation: Generation::Current, entries: usize::MAX };
        let len = bytes.len() as u64;
        Log::open(&current, len, len, end)
    }

    /// Whether the disk takes as much as the newest file has, synced.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn probe(&self) -> Result<(), CacheError> {
        let (current, temporary) = (self.path(CURRENT), self.path(TEMPORARY));
        let len = fs::metadata(&current).map_or(0, |found| found.len().min(MAX_ENCODED));
        write_synced(&temporary, &vec![0; usize::try_from(len).unwrap_or_default().max(4096)])?;
        remove_if_there(&temporary)
    }

    /// Where a file lies.
    pub(super) fn path_of(&self, generation: Generation) -> PathBuf {
        self.dir.join(generation.name())
    }

    fn merged(&self, waiting: &[Update], end: Position) -> Result<Update, CacheError> {
        let path = self.path_of(self.base.generation);
        let mut updates = match waiting.first() {
            Some(first) if first.header.mode == Mode::Snapshot => Vec::new(),
            _ => match read(&path) {
                Ok(found) => found.updates,
                Err(error) => {
                    return Err(CacheError::Lost { path, reason: format!("it cannot be read: {error}") });
                }
            },
        };
        updates.truncate(self.base.entries);
        updates.extend(waiting.iter().cloned());
        match merge::merge(&updates) {
            Ok(snapshot) if snapshot.header.position() == end => Ok(snapshot),
            Ok(snapshot) => {
                let reason = format!("it ends at revision {}, not {}", snapshot.header.to, end.revision);
                Err(CacheError::Lost { path, reason })
            }
            Err(reason) => Err(CacheError::Lost { path, reason }),
        }
    }

    /// Puts the temporary file in place of the newest, which stays as the one before, if it is good.
    fn replace(&self) -> Result<(), CacheError> {
        let (current, previous, temporary) = (self.path(CURRENT), self.path(PREVIOUS), self.path(TEMPORARY));
        let good = self.base.generation == Generation::Current && self.base.entries == usize::MAX;
        if good && current.exists() {
            remove_if_there(&previous)?;
            fs::hard_link(&current, &previous).map_err(|source| io_error("link", &previous, source))?;
        }
        fs::rename(&temporary, &current).map_err(|source| io_error("rename", &temporary, source))?;
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| io_error("sync", &self.dir, source))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The path of this name, or of it with a number if a folder has it: a folder is none of ours to
    /// remove.
    fn free_name(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        (2..)
            .map(|number| self.path(&format!("{name}.{number}")))
            .take_while(|_| path.is_dir())
            .find(|numbered| !numbered.is_dir())
            .unwrap_or(path)
    }
}

fn read(path: &Path) -> io::Result<Found> {
    let file = fs::metadata(path)?;
    // Opening a pipe would wait for whoever writes to it.
    if !file.is_file() {
        return Ok(Found::nothing("it is no regular file"));
    }
    if file.len() > MAX_FILE {
        return Ok(Found::nothing(format!("it has {} bytes, more than a copy can have", file.len())));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(format::parse(&bytes.into()))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|source| {
            // What is left of it would take the space that is missing.
            fs::remove_file(path).ok();
            io_error("write", path, source)
        })
}

fn remove_if_there(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
pub(in crate::cluster) mod tests;
