//! The copy on disk: what a data plane starts from when no control plane is there.
//!
//! One file, `config.log`: a snapshot as it was received, then the deltas since (see [`mod@format`]). The file
//! before it stays as `config.log.1`. A new snapshot goes to a temporary file that takes the name once it
//! is whole and synced; a delta is appended. When the deltas outgrow the snapshot, the file is read back,
//! merged and written again, so that memory never holds a second copy of the configuration.
//!
//! # What leaves the disk
//!
//! Private keys that were replaced or deleted: the file is merged soon after, `config.log.1` becomes a second copy
//! of the new file, and files that were set aside are removed (see [`Rewrite::purge`]). No file holds the old key
//! then. The blocks that it stood in are not overwritten: an encrypted disk is for that.
//!
//! # What happens to the folder
//!
//! It may be removed, replaced or emptied while the program runs. That is noticed before an append, and by a look
//! every few seconds ([`Footprint`]). The folder is made again, with the node id, and the file is written from what
//! the removed one, which is still open, holds.
//!
//! # What is read back
//!
//! Entries whose checksums hold and of which each starts where the one before it ends, from the first on:
//! always a configuration that was live here. Whatever else a file holds is no reason not to start:
//!
//! | found | done |
//! |---|---|
//! | a good beginning, then damage | the beginning serves; the file is kept as `config.log.damaged`, and a new one is written |
//! | nothing good: empty, foreign, a folder, unreadable | kept as `config.log.damaged`; `config.log.1` serves |
//! | a later format version | kept as `config.log.v2` (its version): a downgrade destroys nothing; `config.log.1` serves |
//! | both without anything good | the control plane sends a snapshot |
//!
//! What is kept for who looks into it is removed after a day, by then or with the secrets, whichever comes first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use node::node_id;
use tracing::{info, warn};
use uuid::Uuid;
use wire::{MAX_ENCODED, Mode, Position, Update};

use super::io_error;
use super::lock::FolderLock;

mod format;
mod log;
mod merge;
mod secrets;

use self::secrets::Secrets;

pub(super) use self::format::{Complaint, Found, entries_len};
pub(super) use self::log::{Footprint, Log};
pub(super) use self::merge::merge_deltas;

const CURRENT: &str = "config.log";
const PREVIOUS: &str = "config.log.1";
const TEMPORARY: &str = "config.log.new";
/// A snapshot, deltas up to its length, and one more of any length: a longer file is none of ours, and is
/// not read into memory.
const MAX_FILE: u64 = 4 * MAX_ENCODED;
/// How long a file is kept that was set aside.
const SET_ASIDE_FOR: Duration = Duration::from_secs(24 * 3600);

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
    /// Somebody else has changed the file.
    #[error("somebody has {how} {path}")]
    Changed {
        /// The file.
        path: PathBuf,
        /// What was done to it.
        how: &'static str,
    },
    /// The folder is another process's.
    #[error("{0} is used by another process: each data plane needs a state_dir of its own")]
    InUse(PathBuf),
}

impl CacheError {
    /// Whether there is no space, or no inode, left.
    fn is_full(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// The files.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    base: Base,
    lock: FolderLock,
    node_id: Option<Uuid>,
}

/// What the next file is made of.
#[derive(Debug)]
pub(super) struct Rewrite {
    /// The file that was in use, if it can be read.
    pub log: Option<Log>,
    /// What waits to be written, after it or after what [`Cache::build_upon`] says.
    pub updates: Vec<Update>,
    /// Where all of it leads to.
    pub end: Position,
    /// Secrets were replaced or deleted: no older file is to stay.
    pub purge: bool,
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
    /// Opens the folder, making it (mode 0700) if it is missing, and locks it for as long as this lives.
    ///
    /// # Errors
    /// When the folder cannot be made, or another process uses it.
    pub(super) fn open(dir: &Path) -> Result<Self, CacheError> {
        make_folder(dir)?;
        let lock = FolderLock::take(dir)?;
        // Left behind by a process that ended while it wrote. A folder of that name is none of ours.
        fs::remove_file(dir.join(TEMPORARY)).ok();
        let base = Base { generation: Generation::Current, entries: usize::MAX };
        Ok(Self { dir: dir.to_owned(), base, lock, node_id: None })
    }

    /// The node id to be written should the folder lose it.
    pub(super) const fn keep_node_id(&mut self, id: Uuid) {
        self.node_id = Some(id);
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

    /// Writes a new file of all that is known: what the log or the good entries on disk hold, and the updates,
    /// which must lead to `end`. At no moment is there no file under the name, nor one that is not whole. When
    /// the disk is full, older files make room.
    ///
    /// # Errors
    /// When the disk refuses, or what is known does not lead there; what is needed to try again is still there.
    pub(super) fn rewrite(&mut self, from: &mut Rewrite) -> Result<Log, CacheError> {
        self.heal_folder()?;
        let snapshot = self.merged(from)?;
        let len = match self.write_temporary(&snapshot) {
            Err(error) if error.is_full() && self.make_room(from.log.is_some()) => {
                self.write_temporary(&snapshot)?
            }
            written => written?,
        };
        self.replace(from)?;
        self.base = Base { generation: Generation::Current, entries: usize::MAX };
        if from.purge {
            self.copy_to_previous(&snapshot);
        }
        Log::open(&self.path(CURRENT), len, len, from.end)
    }

    /// Whether the disk takes as much as the newest file has, synced.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn probe(&mut self) -> Result<(), CacheError> {
        self.heal_folder()?;
        let temporary = self.path(TEMPORARY);
        let len = fs::metadata(self.path(CURRENT)).map_or(0, |found| found.len().min(MAX_ENCODED));
        write_synced(&temporary, |file| io::copy(&mut io::repeat(0).take(len.max(4096)), file))?;
        remove_if_there(&temporary)
    }

    /// Sees whether the folder and the file in use are still there.
    ///
    /// # Errors
    /// When they are not, or the system does not say.
    pub(super) fn check(&mut self, footprint: Option<&Footprint>) -> Result<(), CacheError> {
        footprint.map_or(Ok(()), Footprint::check)?;
        self.heal_folder()
    }

    /// Whether the files hold secrets that the newest configuration in them has replaced or deleted.
    pub(super) fn has_superseded_secrets(&self) -> bool {
        let secrets = |generation| {
            let found = self.read(generation).unwrap_or_default();
            Secrets::read(&found.updates).unwrap_or_default()
        };
        secrets(Generation::Current).has_superseded(&secrets(Generation::Previous))
    }

    /// Removes files that were set aside long ago.
    pub(super) fn remove_expired(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for path in self.set_aside_files() {
            // The time of its last change would be that of the file it was linked from.
            let since =
                fs::metadata(&path).map_or(0, |found| u64::try_from(found.ctime()).unwrap_or_default());
            if Duration::from_secs(since) + SET_ASIDE_FOR < now {
                info!("{} was kept for a day, and is removed", path.display());
                fs::remove_file(&path).ok();
            }
        }
    }

    /// Where a file lies.
    pub(super) fn path_of(&self, generation: Generation) -> PathBuf {
        self.dir.join(generation.name())
    }

    fn merged(&self, from: &Rewrite) -> Result<Update, CacheError> {
        let path = self.path_of(self.base.generation);
        let lost = |reason: String| CacheError::Lost { path: path.clone(), reason };
        let begins = from.updates.first().is_some_and(|first| first.header.mode == Mode::Snapshot);
        let mut updates = match &from.log {
            _ if begins => Vec::new(),
            Some(log) => log.read().map_err(|error| lost(format!("it cannot be read: {error}")))?.updates,
            None => read(&path).map_err(|error| lost(format!("it cannot be read: {error}")))?.updates,
        };
        if from.log.is_none() {
            updates.truncate(self.base.entries);
        }
        updates.extend(from.updates.iter().cloned());
        match merge::merge(&updates) {
            Ok(snapshot) if snapshot.header.position() == from.end => Ok(snapshot),
            Ok(snapshot) => {
                Err(lost(format!("it ends at revision {}, not {}", snapshot.header.to, from.end.revision)))
            }
            Err(reason) => Err(lost(reason)),
        }
    }

    fn write_temporary(&self, snapshot: &Update) -> Result<u64, CacheError> {
        write_synced(&self.path(TEMPORARY), |file| format::write_file(snapshot, io::BufWriter::new(file)))
    }

    /// Puts the temporary file in place of the newest, which stays as the one before, if it is good and holds no
    /// secret that is to go.
    fn replace(&self, from: &mut Rewrite) -> Result<(), CacheError> {
        let (current, previous, temporary) = (self.path(CURRENT), self.path(PREVIOUS), self.path(TEMPORARY));
        // What somebody else has put there is no copy of ours.
        let ours = from.log.as_ref().is_none_or(|log| log.footprint().check().is_ok());
        let good = ours && self.base.generation == Generation::Current && self.base.entries == usize::MAX;
        if from.purge {
            self.set_aside_files().iter().try_for_each(|path| remove_if_there(path))?;
            remove_if_there(&previous)?;
        } else if good && current.is_file() {
            remove_if_there(&previous)?;
            fs::hard_link(&current, &previous).map_err(|source| io_error("link", &previous, source))?;
        }
        fs::rename(&temporary, &current).map_err(|source| io_error("rename", &temporary, source))?;
        // Whatever comes of it, this has its name no more.
        from.log.iter_mut().for_each(Log::condemn);
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| io_error("sync", &self.dir, source))
    }

    /// For the case that the newest is damaged one day. Without it a control plane is asked, so that it is no
    /// failure if there is no space for it.
    fn copy_to_previous(&self, snapshot: &Update) {
        let copied = self.write_temporary(snapshot).and_then(|_| {
            let (temporary, previous) = (self.path(TEMPORARY), self.path(PREVIOUS));
            fs::rename(&temporary, &previous).map_err(|source| io_error("rename", &temporary, source))
        });
        if let Err(error) = copied {
            warn!(%error, "there is no second copy of the configuration on disk");
        }
    }

    /// Removes what is not needed to start: files that were set aside, and the file before the newest, unless it
    /// is the only one that is good. Whether there was any.
    fn make_room(&self, reads_log: bool) -> bool {
        let mut paths = self.set_aside_files();
        if reads_log || self.base.generation == Generation::Current {
            paths.push(self.path(PREVIOUS));
        }
        paths.iter().filter(|path| fs::remove_file(path).is_ok()).count() > 0
    }

    /// Makes the folder again, with the node id, and locks it, should somebody have removed or replaced it.
    fn heal_folder(&mut self) -> Result<(), CacheError> {
        make_folder(&self.dir)?;
        if !self.lock.is_of(&self.dir) {
            self.lock = FolderLock::take(&self.dir)?;
        }
        if let Some(id) = self.node_id {
            node_id::restore(&self.dir, id)
                .map_err(|source| io_error("write the node id to", &self.dir, source))?;
        }
        Ok(())
    }

    /// Files that were kept for who looks into them.
    fn set_aside_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let ours = files.filter(|entry| entry.file_name().to_str().is_some_and(is_set_aside));
        ours.map(|entry| entry.path()).collect()
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

/// Whether a file of this name was made by [`Cache::set_aside`].
fn is_set_aside(name: &str) -> bool {
    let Some(ending) = name.strip_prefix("config.log.") else { return false };
    let ending = ending.strip_prefix("1.").unwrap_or(ending);
    let version = || ending.strip_prefix('v')?.chars().next();
    ending.starts_with("damaged") || version().is_some_and(|first| first.is_ascii_digit())
}

fn make_folder(dir: &Path) -> Result<(), CacheError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| io_error("make the folder", dir, source))
}

fn write_synced(path: &Path, write: impl FnOnce(&mut File) -> io::Result<u64>) -> Result<u64, CacheError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            let len = write(&mut file)?;
            file.sync_all()?;
            Ok(len)
        })
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
