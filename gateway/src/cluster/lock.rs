//! Keeps a second process out of the state folder: two that append to one copy would spoil it.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tracing::warn;

use super::cache::CacheError;

/// Held by the process that may write to the folder.
#[derive(Debug)]
pub(super) struct FolderLock {
    /// Of the folder itself, so that a full disk is no hindrance. Unlocked when it is closed.
    folder: Option<File>,
}

impl FolderLock {
    /// Takes the lock of `dir`.
    ///
    /// # Errors
    /// When another process has it. A file system that knows no locks is no error: the node works without.
    pub(super) fn take(dir: &Path) -> Result<Self, CacheError> {
        let locked = File::open(dir).map_err(TryLockError::Error).and_then(|folder| {
            folder.try_lock()?;
            Ok(folder)
        });
        match locked {
            Ok(folder) => Ok(Self { folder: Some(folder) }),
            Err(TryLockError::WouldBlock) => Err(CacheError::InUse(dir.to_owned())),
            Err(TryLockError::Error(error)) => {
                warn!("cannot lock {}: {error}; see that no other process uses it", dir.display());
                Ok(Self { folder: None })
            }
        }
    }

    /// Whether it is the lock of the folder that is now under this path.
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
