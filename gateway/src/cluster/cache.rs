//! The copy on disk: what a data plane starts from when no control plane is there.
//!
//! One file, `config.log`: a magic number, then entries, each the length, the checksum and the bytes of
//! one update as it was received: a snapshot first, then the deltas since. The file before it stays as
//! `config.log.1`. A new snapshot goes to a temporary file that takes the name once it is whole and
//! synced; a delta is appended and synced. When the deltas outgrow the snapshot, the file is read back,
//! merged and written anew, so that memory never holds a second copy of the configuration.
//!
//! What is read back are only entries whose checksums hold, from the first on: always a configuration
//! that was live here. A file without a good first entry is set aside as `config.log.damaged`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes, BytesMut};
use wire::{Mode, Update};

use super::io_error;

mod merge;

const CURRENT: &str = "config.log";
const PREVIOUS: &str = "config.log.1";
const DAMAGED: &str = "config.log.damaged";
const TEMPORARY: &str = "config.log.new";

/// The first bytes of the file; the last of them is the version of its format.
const MAGIC: [u8; 8] = *b"GIBBONC\x01";
const CHECKSUM: usize = 16;
/// Deltas may take this much before they are merged, however small the snapshot is.
const MERGE_FROM: u64 = 1 << 20;

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
    /// The updates at hand do not make a configuration.
    #[error("cannot merge the deltas in {path}: {reason}")]
    Merge {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Writes the copy; reads it once, at the start.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    /// Open for appending; `None` when the file must be written anew before anything is appended.
    file: Option<File>,
    snapshot_len: u64,
    deltas_len: u64,
    /// Received and not on disk yet: the disk refused, or nothing was tried.
    pending: Vec<Update>,
}

/// What was found on disk.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// The updates of the newest file that has any, to be applied in order.
    pub updates: Vec<Update>,
    /// What was wrong with files that were set aside or cut short.
    pub complaints: Vec<String>,
}

impl Cache {
    /// Opens the folder, making it (mode 0700) if it is missing, and reads what it holds.
    ///
    /// # Errors
    /// When the folder cannot be made or read. A damaged file is no error: it is set aside.
    pub(super) fn open(dir: &Path) -> Result<(Self, Recovered), CacheError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| CacheError::Io {
            what: "make the folder",
            path: dir.to_owned(),
            source,
        })?;
        let mut cache =
            Self { dir: dir.to_owned(), file: None, snapshot_len: 0, deltas_len: 0, pending: Vec::new() };
        let recovered = cache.recover()?;
        Ok((cache, recovered))
    }

    /// Puts an update that is live on disk. What the disk refuses is kept and tried again with the next.
    ///
    /// # Errors
    /// When the disk refuses; the file on it stays whole.
    pub(super) fn store(&mut self, update: Update) -> Result<(), CacheError> {
        if update.header.mode == Mode::Snapshot {
            self.pending.clear();
            self.file = None;
        }
        self.pending.push(update);
        let result = if self.may_append() { self.append() } else { self.rewrite() };
        if result.is_ok() {
            self.pending.clear();
        } else {
            self.file = None;
        }
        result
    }

    /// Takes the file out of use: what it holds was refused when it was applied.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub(super) fn set_aside(&mut self) -> Result<(), CacheError> {
        self.file = None;
        let path = self.path(CURRENT);
        fs::rename(&path, self.path(DAMAGED)).map_err(|source| CacheError::Io {
            what: "set aside",
            path,
            source,
        })
    }

    fn may_append(&self) -> bool {
        self.file.is_some() && self.deltas_len <= self.snapshot_len.max(MERGE_FROM)
    }

    fn append(&mut self) -> Result<(), CacheError> {
        let entries = entries(&self.pending);
        let path = self.path(CURRENT);
        let Some(file) = &mut self.file else { return self.rewrite() };
        file.write_all(&entries).and_then(|()| file.sync_data()).map_err(|source| CacheError::Io {
            what: "append to",
            path,
            source,
        })?;
        self.deltas_len += entries.len() as u64;
        Ok(())
    }

    /// Writes a new file of all that is known: the good entries on disk and what is pending.
    fn rewrite(&mut self) -> Result<(), CacheError> {
        let current = self.path(CURRENT);
        let mut updates = match self.pending.first() {
            Some(first) if first.header.mode == Mode::Snapshot => Vec::new(),
            _ => read(&current).map_err(|source| io_error("read", &current, source))?.updates,
        };
        updates.extend(self.pending.iter().cloned());
        let snapshot =
            merge::merge(&updates).map_err(|reason| CacheError::Merge { path: current.clone(), reason })?;
        let mut bytes = BytesMut::from(&MAGIC[..]);
        bytes.extend_from_slice(&entries(std::slice::from_ref(&snapshot)));
        self.replace(&bytes)?;
        self.snapshot_len = bytes.len() as u64;
        self.deltas_len = 0;
        self.file = Some(open_append(&current)?);
        Ok(())
    }

    /// At no moment is there no file under the name, nor one that is not whole.
    fn replace(&self, bytes: &[u8]) -> Result<(), CacheError> {
        let (current, previous, temporary) = (self.path(CURRENT), self.path(PREVIOUS), self.path(TEMPORARY));
        write_synced(&temporary, bytes).map_err(|source| io_error("write", &temporary, source))?;
        if current.exists() {
            match fs::remove_file(&previous) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("remove", &previous, error));
                }
                _ => {}
            }
            fs::hard_link(&current, &previous).map_err(|source| io_error("link", &previous, source))?;
        }
        fs::rename(&temporary, &current).map_err(|source| io_error("rename", &temporary, source))?;
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| io_error("sync", &self.dir, source))
    }

    fn recover(&mut self) -> Result<Recovered, CacheError> {
        let mut recovered = Recovered::default();
        for name in [CURRENT, PREVIOUS] {
            let path = self.path(name);
            let found = match read(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(io_error("read", &path, source)),
            };
            recovered
                .complaints
                .extend(found.complaint.iter().map(|why| format!("{}: {why}", path.display())));
            if !found.updates.is_empty() {
                recovered.updates = found.updates;
                let current = self.path(CURRENT);
                if name != CURRENT {
                    // What comes next builds upon this one.
                    fs::rename(&path, &current).map_err(|source| io_error("rename", &path, source))?;
                }
                if found.complaint.is_none() {
                    self.snapshot_len = found.snapshot_len;
                    self.deltas_len = found.len - found.snapshot_len;
                    self.file = Some(open_append(&current)?);
                }
                break;
            }
            let damaged = self.path(DAMAGED);
            fs::rename(&path, &damaged).map_err(|source| io_error("set aside", &path, source))?;
        }
        Ok(recovered)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// What one file holds.
#[derive(Debug, Default)]
struct Found {
    updates: Vec<Update>,
    /// Length of the magic number and the first entry, in bytes.
    snapshot_len: u64,
    len: u64,
    complaint: Option<String>,
}

fn read(path: &Path) -> io::Result<Found> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let len = bytes.len() as u64;
    Ok(Found { len, ..parse(&bytes.into()) })
}

fn parse(bytes: &Bytes) -> Found {
    let mut found = Found::default();
    if !bytes.starts_with(&MAGIC) {
        found.complaint = Some("this is not a configuration of this version of the format".into());
        return found;
    }
    let mut at = MAGIC.len();
    while at < bytes.len() {
        match entry(bytes, at) {
            Ok((update, next)) => {
                if found.updates.is_empty() != (update.header.mode == Mode::Snapshot) {
                    found.complaint =
                        Some(format!("a {} is out of place at byte {at}", update.header.mode.as_str()));
                    break;
                }
                at = next;
                if found.updates.is_empty() {
                    found.snapshot_len = at as u64;
                }
                found.updates.push(update);
            }
            Err(reason) => {
                found.complaint = Some(format!("the entry at byte {at} {reason}"));
                break;
            }
        }
    }
    if found.updates.is_empty() && found.complaint.is_none() {
        found.complaint = Some("it holds no entry".into());
    }
    found
}

fn entry(bytes: &Bytes, at: usize) -> Result<(Update, usize), String> {
    let head = bytes.get(at..at + 4 + CHECKSUM).ok_or("is cut short")?;
    let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let start = at + 4 + CHECKSUM;
    let end = start.checked_add(len).filter(|end| *end <= bytes.len()).ok_or("is cut short")?;
    let body = bytes.slice(start..end);
    if checksum(&body) != head[4..] {
        return Err("has a wrong checksum".into());
    }
    let update = Update::from_bytes(&body).map_err(|error| format!("cannot be read: {error}"))?;
    Ok((update, end))
}

fn entries(updates: &[Update]) -> BytesMut {
    let mut bytes = BytesMut::new();
    for update in updates {
        let body = update.to_bytes();
        bytes.put_u32(u32::try_from(body.len()).expect("an update is at most 256 MiB"));
        bytes.put_slice(&checksum(&body));
        bytes.put_slice(&body);
    }
    bytes
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&blake3::hash(body).as_bytes()[..CHECKSUM]);
    checksum
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn open_append(path: &Path) -> Result<File, CacheError> {
    OpenOptions::new().append(true).open(path).map_err(|source| io_error("open", path, source))
}

#[cfg(test)]
mod tests;
