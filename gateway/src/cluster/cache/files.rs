//! Files of the copy: made, written and removed, with errors that name them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::CacheError;
use crate::cluster::io_error;

pub(super) fn make_folder(dir: &Path) -> Result<(), CacheError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| io_error("make the folder", dir, source))
}

pub(super) fn write_synced(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<u64>,
) -> Result<u64, CacheError> {
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
            // The incomplete file would take the space that is missing.
            fs::remove_file(path).ok();
            io_error("write", path, source)
        })
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, error)),
        _ => Ok(()),
    }
}
