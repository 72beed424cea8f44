//! The copy on disk, from which a data plane starts without a control plane.
//!
//! The file `config.log` holds a snapshot as it was received, then the deltas since (see [`mod@format`]). The
//! previous file stays as `config.log.1`. A new snapshot goes to a temporary file, which takes the name once
//! it is whole and synced; a delta is appended. When the deltas outgrow the snapshot, the file is read,
//! merged and written again, so that memory never holds a second copy of the configuration.
//!
//! # Secrets
//!
//! Private keys that were replaced or deleted leave the disk. The file is merged soon after, `config.log.1`
//! becomes a second copy of the new file, and files that were set aside are removed (see [`Rewrite::purge`]).
//! No file holds the old key then. Its disk blocks are not overwritten: use an encrypted disk against that.
//!
//! # Changes to the folder
//!
//! The folder may be removed, replaced or emptied while the program runs. A check before each append, and
//! another every few seconds, detects that ([`Footprint`]). The folder is made again, with the node id. The
//! file is written from the contents of the removed one, which is still open.
//!
//! # Restore
//!
//! A restore reads from the first entry on, as long as the checksums hold and each entry starts where the one
//! before it ends. The result is always a configuration that was live here. Other contents of a file never
//! prevent a start:
//!
//! | found | result |
//! |---|---|
//! | a good beginning, then damage | the beginning serves; the file is kept as `config.log.damaged`, and a new one is written |
//! | nothing good: empty, foreign, a folder, unreadable | kept as `config.log.damaged`; `config.log.1` serves |
//! | a later format version | kept as `config.log.v2` (its version): a downgrade destroys nothing; `config.log.1` serves |
//! | an entity that this program must understand and does not know | kept as `config.log.unsupported`; nothing of it serves, nor `config.log.1`: an earlier revision could lack a protection. It stays in its place, for a program that knows the entity, until a control plane sends a snapshot |
//! | both without anything good | the control plane sends a snapshot |
//!
//! Files kept for inspection are removed after a day, or with the secrets if that comes first.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use node::node_id;
use tracing::{info, warn};
use uuid::Uuid;
use wire::{MAX_ENCODED, Mode, Position, Update};

use super::io_error;
use super::lock::{FolderLock, InUse};

mod files;
mod format;
mod log;
mod merge;
mod secrets;

use self::files::{make_folder, remove_if_there, write_synced};
use self::secrets::Secrets;

pub(super) use self::format::{Complaint, Found, entries_len};
pub(super) use self::log::{Footprint, Log};
pub(super) use self::merge::merge_deltas;

const CURRENT: &str = "config.log";
const PREVIOUS: &str = "config.log.1";
const TEMPORARY: &str = "config.log.new";
/// The longest file that Gibbon writes: a snapshot, deltas up to its length, and one more of any length. A
/// longer file is foreign, and is not read into memory.
const MAX_FILE: u64 = 4 * MAX_ENCODED;
/// How long a file that was set aside is kept.
const SET_ASIDE_FOR: Duration = Duration::from_secs(24 * 3600);

/// Why an operation on the copy on disk failed.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The operation that was attempted.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The contents of the disk do not lead to the configuration held: a snapshot is needed.
    #[error("the copy in {path} cannot be continued: {reason}")]
    Lost {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Another program has changed the file.
    #[error("somebody has {how} {path}")]
    Changed {
        /// The file.
        path: PathBuf,
        /// The kind of change.
        how: &'static str,
    },
    /// Another process uses the folder.
    #[error(transparent)]
    InUse(#[from] InUse),
}

impl CacheError {
    /// Whether there is no space, or no inode, left.
    fn is_full(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// The files of the copy on disk.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    base: Base,
    lock: FolderLock,
    node_id: Option<Uuid>,
}

/// The sources of the next file.
#[derive(Debug)]
pub(super) struct Rewrite {
    /// The file that was in use, if it can be read.
    pub log: Option<Log>,
    /// Updates that wait to be written, after that file or after the entries that [`Cache::build_upon`]
    /// names.
    pub updates: Vec<Update>,
    /// The position to which all of it leads.
    pub end: Position,
    /// Secrets were replaced or deleted: no older file may stay.
    pub purge: bool,
}

/// The entries on disk that the next file begins with, before the updates that wait.
#[derive(Clone, Copy, Debug)]
struct Base {
    generation: Generation,
    /// How many of its entries count.
    entries: usize,
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// The newest file.
    Current,
    /// The previous file.
    Previous,
}

impl Generation {
    /// Both files, the newest first.
    pub(super) const ALL: [Self; 2] = [Self::Current, Self::Previous];

    const fn name(self) -> &'static str {
        match self {
            Self::Current => CURRENT,
            Self::Previous => PREVIOUS,
        }
    }
}

impl Cache {
    /// Opens the folder, makes it (mode 0700) if it is missing, and locks it for as long as this lives.
    ///
    /// # Errors
    /// When the folder cannot be made, or another process uses it.
    pub(super) fn open(dir: &Path) -> Result<Self, CacheError> {
        make_folder(dir)?;
        let lock = FolderLock::take(dir)?;
        // A process that ended during a write has left this file. A folder of that name is foreign, and
        // stays.
        fs::remove_file(dir.join(TEMPORARY)).ok();
        let base = Base { generation: Generation::Current, entries: usize::MAX };
        Ok(Self { dir: dir.to_owned(), base, lock, node_id: None })
    }

    /// Sets the node id, to be written again if the folder loses it.
    pub(super) const fn keep_node_id(&mut self, id: Uuid) {
        self.node_id = Some(id);
    }

    /// Reads the contents of a file; `None` when there is none.
    pub(super) fn read(&self, generation: Generation) -> Option<Found> {
        match read(&self.path_of(generation)) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Found::nothing(format!("it cannot be read: {error}"))),
        }
    }

    /// Keeps an unusable file under another name, for inspection. A file that can be linked also stays in its
    /// place until [`Cache::rewrite`]: its beginning may be the only copy.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn set_aside(&self, generation: Generation, why: &Complaint) -> Result<PathBuf, CacheError> {
        let path = self.path_of(generation);
        let ending = match why {
            Complaint::Newer(version) => format!("v{version}"),
            Complaint::Unsupported(_) => "unsupported".to_owned(),
            Complaint::Damaged(_) => "damaged".to_owned(),
        };
        let aside = self.free_name(&format!("{}.{ending}", generation.name()));
        remove_if_there(&aside)?;
        fs::hard_link(&path, &aside)
            .or_else(|_| fs::rename(&path, &aside))
            .map_err(|source| io_error("set aside", &path, source))?;
        Ok(aside)
    }

    /// Makes the first `entries` entries of this file the copy, from now on.
    pub(super) fn build_upon(&mut self, generation: Generation, entries: usize) {
        self.base = Base { generation, entries };
    }

    /// Continues the newest file, which was read and is good to its end.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn go_on(&self, found: &Found, end: Position) -> Result<Log, CacheError> {
        Log::open(&self.path(CURRENT), found.snapshot_len, found.good_len, end)
    }

    /// Writes a new file with everything known: the log or the good entries on disk, and the updates, which
    /// must lead to `end`. At every moment a whole file stands under the name. When the disk is full, older
    /// files are removed to make room.
    ///
    /// # Errors
    /// When the disk refuses, or the sources do not lead to `end`. The sources stay for another attempt.
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

    /// Tests whether the disk accepts, and syncs, as many bytes as the newest file has.
    ///
    /// # Errors
    /// When the disk does not.
    pub(super) fn probe(&mut self) -> Result<(), CacheError> {
        self.heal_folder()?;
        let temporary = self.path(TEMPORARY);
        let len = fs::metadata(self.path(CURRENT)).map_or(0, |found| found.len().min(MAX_ENCODED));
        write_synced(&temporary, |file| io::copy(&mut io::repeat(0).take(len.max(4096)), file))?;
        remove_if_there(&temporary)
    }

    /// Checks that the folder and the file in use are still there.
    ///
    /// # Errors
    /// When they are not, or when the system gives no answer.
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

    /// Removes set-aside files after their time.
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

    /// The path of a file.
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

    /// Renames the temporary file to the newest. The old one stays as the previous file, if it is good and
    /// holds no superseded secret.
    fn replace(&self, from: &mut Rewrite) -> Result<(), CacheError> {
        let (current, previous, temporary) = (self.path(CURRENT), self.path(PREVIOUS), self.path(TEMPORARY));
        // A file that another program put there is no copy of ours.
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
        // In any case the old log has lost its name.
        from.log.iter_mut().for_each(Log::condemn);
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| io_error("sync", &self.dir, source))
    }

    /// Copies the snapshot to the previous file, in case the newest is damaged one day. Lack of space is no
    /// failure: without the copy a control plane sends a snapshot.
    fn copy_to_previous(&self, snapshot: &Update) {
        let copied = self.write_temporary(snapshot).and_then(|_| {
            let (temporary, previous) = (self.path(TEMPORARY), self.path(PREVIOUS));
            fs::rename(&temporary, &previous).map_err(|source| io_error("rename", &temporary, source))
        });
        if let Err(error) = copied {
            warn!(%error, "there is no second copy of the configuration on disk");
        }
    }

    /// Removes files that no start needs: those set aside, and the previous file, unless it is the only good
    /// one. Returns whether there were any.
    fn make_room(&self, reads_log: bool) -> bool {
        let mut paths = self.set_aside_files();
        if reads_log || self.base.generation == Generation::Current {
            paths.push(self.path(PREVIOUS));
        }
        paths.iter().filter(|path| fs::remove_file(path).is_ok()).count() > 0
    }

    /// Makes the folder again, with the node id, and locks it, if it was removed or replaced.
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

    /// Files that are kept for inspection.
    fn set_aside_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let ours = files.filter(|entry| entry.file_name().to_str().is_some_and(is_set_aside));
        ours.map(|entry| entry.path()).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The path of this name, or of the name with a number if a folder has it: a foreign folder is not
    /// removed.
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
    // Opening a pipe would wait for a writer.
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

/// Whether [`Cache::set_aside`] made a file of this name.
fn is_set_aside(name: &str) -> bool {
    let Some(ending) = name.strip_prefix("config.log.") else { return false };
    let ending = ending.strip_prefix("1.").unwrap_or(ending);
    let version = || ending.strip_prefix('v')?.chars().next();
    ending.starts_with("damaged")
        || ending.starts_with("unsupported")
        || version().is_some_and(|first| first.is_ascii_digit())
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
pub(in crate::cluster) mod tests;
