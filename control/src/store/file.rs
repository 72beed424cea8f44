//! The file of a SQLite database: restricts access to it, and checks that it is still the file that was
//! opened.
//!
//! A program that holds a file open does not notice when somebody deletes or replaces the file. It continues
//! to write into a file without a name, and all of that is lost when the program ends.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The suffixes of the files that SQLite keeps beside the database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// Those of them that exist for as long as a connection is open.
const WHILE_OPEN: [&str; 2] = ["-wal", "-shm"];
/// Read and write for the owner alone: the database holds private keys.
const OWNER_ONLY: u32 = 0o600;

/// The files of an open database, to recognise a replaced one.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    files: Vec<(PathBuf, Identity)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// Creates the folder and the file of a database, if they are missing, for the owner alone. Removes other
/// users' access to existing files.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_folder(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(OWNER_ONLY).open(path)?;
    let path = &fs::canonicalize(path)?;
    tighten(path)?;
    BESIDE.iter().try_for_each(|suffix| tighten(&beside(path, suffix)))
}

/// Creates a folder for the owner alone, if it is missing.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

impl DatabaseFile {
    /// Notes which files are open now.
    pub(super) fn opened(path: &Path) -> io::Result<Self> {
        // SQLite keeps them beside the target of a symbolic link.
        let real = fs::canonicalize(path)?;
        let beside = WHILE_OPEN.iter().map(|suffix| beside(&real, suffix)).filter(|path| path.exists());
        let files = std::iter::once(path.to_owned()).chain(beside);
        let files = files.map(|path| identity(&path).map(|identity| (path, identity)));
        Ok(Self { files: files.collect::<io::Result<_>>()? })
    }

    /// Returns why the files are not those that were opened; `None` when they are.
    pub(super) fn gone(&self) -> Option<String> {
        self.files.iter().find_map(|(path, opened)| {
            let what = match identity(path) {
                Ok(now) if now == *opened => return None,
                Ok(_) => "was replaced",
                Err(error) if error.kind() == ErrorKind::NotFound => "was deleted",
                Err(_) => "cannot be found",
            };
            Some(format!("the database file {} {what} while this control plane runs", path.display()))
        })
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::metadata(path)?;
    Ok(Identity { device: metadata.dev(), inode: metadata.ino() })
}

fn tighten(path: &Path) -> io::Result<()> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    let mode = metadata.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !0o077))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
