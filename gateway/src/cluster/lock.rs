//! Locks the state folder against a second process: two writers would damage the copy.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tracing::warn;

/// The lock of the process that may write to the folder.
#[derive(Debug)]
pub(super) struct FolderLock {
    /// A handle of the folder itself, so that a full disk does not prevent the lock. Closing it unlocks.
    folder: Option<File>,
}

/// Another process uses the folder.
#[derive(Debug, thiserror::Error)]
#[error("{0} is used by another process: each data plane needs a state_dir of its own")]
pub struct InUse(PathBuf);

impl FolderLock {
    /// Locks `dir`.
    ///
    /// # Errors
    /// When another process holds the lock. A file system without locks is no error: the node works without.
    pub(super) fn take(dir: &Path) -> Result<Self, InUse> {
        let locked = File::open(dir).map_err(TryLockError::Error).and_then(|folder| {
            folder.try_lock()?;
            Ok(folder)
        });
        match locked {
            Ok(folder) => Ok(Self { folder: Some(folder) }),
            Err(TryLockError::WouldBlock) => Err(InUse(dir.to_owned())),
            Err(TryLockError::Error(error)) => {
                warn!("cannot lock {}: {error}; see that no other process uses it", dir.display());
                Ok(Self { folder: None })
            }
        }
    }

    /// Whether this locks the folder that is now under this path.
    pub(super) fn is_of(&self, dir: &Path) -> bool {
        let Some(folder) = &self.folder else { return true };
        match (folder.metadata(), fs::metadata(dir)) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = FolderLock::take(dir.path()).unwrap();
        let error = FolderLock::take(dir.path()).unwrap_err();
        assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
        assert!(held.is_of(dir.path()));
        let other = tempfile::tempdir().unwrap();
        assert!(!held.is_of(other.path()) && !held.is_of(&dir.path().join("gone")));
        drop(held);
        FolderLock::take(dir.path()).unwrap();
    }
}
