//! Writes certificates and keys, and never overwrites a file by mistake.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file exists already.
    #[error("{0} is there already; give another path, or --force to replace it")]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file cannot be read, or is invalid.
    #[error("cannot use {path}: {reason}")]
    Use {
        /// The file.
        path: PathBuf,
        /// The reason, and what to do.
        reason: String,
    },
    /// The key or the certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

/// The mode of a private key.
pub(super) const PRIVATE: u32 = 0o600;
/// The mode of a certificate.
pub(super) const PUBLIC: u32 = 0o644;

/// Checks that all of these files may be written.
pub(super) fn check_free(paths: &[&Path], force: bool) -> Result<(), PkiError> {
    match paths.iter().find(|path| !force && path.exists()) {
        Some(path) => Err(PkiError::Exists((*path).to_owned())),
        None => Ok(()),
    }
}

/// Writes a file under a temporary name first: a reader sees the old file or the new one, never half of one.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    write_new(path, text, mode).map_err(|source| PkiError::Write { path: path.to_owned(), source })
}

pub(super) fn read(path: &Path, hint: &str) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => format!("there is no such file; {hint}"),
            _ => error.to_string(),
        };
        unusable(path, reason)
    })
}

pub(super) fn unusable(path: &Path, reason: impl Into<String>) -> PkiError {
    PkiError::Use { path: path.to_owned(), reason: reason.into() }
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    // A file left by a crash would keep its mode, which may be another.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
