//! The files that configure look-ups, read again when they change.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file, and the state in which it was last read.
#[derive(Clone, Debug)]
pub(super) struct Watcher {
    path: PathBuf,
    /// `None`: not read yet.
    seen: Option<Stamp>,
}

/// What shows that a file has changed; `None`: there is none.
type Stamp = Option<(SystemTime, u64, u64)>;

impl Watcher {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: None }
    }

    /// The content, if the file has changed since the last call that returned it.
    pub(super) fn changed(&mut self) -> Option<io::Result<Vec<u8>>> {
        let stamp = stamp(&self.path);
        if self.seen == Some(stamp) {
            return None;
        }
        self.seen = Some(stamp);
        Some(fs::read(&self.path))
    }
}

fn stamp(path: &Path) -> Stamp {
    let file = path.metadata().ok()?;
    Some((file.modified().ok()?, file.len(), file.ino()))
}
