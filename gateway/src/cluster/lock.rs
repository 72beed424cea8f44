//! Keeps a second process out of the state folder: two that append to one copy would spoil it.

use std::fs::{File, TryLockError};
use std::path::Path;

use tracing::warn;

use super::OpenError;

/// Held by the process that may write to the folder.
#[derive(Debug)]
pub(super) struct FolderLock {
    /// Of the folder itself, so that a full disk is no hindrance. Unlocked when it is closed.
    _folder: Option<File>,
}

impl FolderLock {
    /// Takes the lock of `dir`.
    ///
    /// # Errors
    /// When another process has it. A file system that knows no locks is no error: the node works without.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        let locked = File::open(dir).map_err(TryLockError::Error).and_then(|folder| {
            folder.try_lock()?;
            Ok(folder)
        });
        match locked {
            Ok(folder) => Ok(Self { _folder: Some(folder) }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
            Err(TryLockError::Error(error)) => {
                warn!("cannot lock {}: {error}; see that no other process uses it", dir.display());
                Ok(Self { _folder: None })
            }
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
        drop(held);
        FolderLock::take(dir.path()).unwrap();
    }
}
