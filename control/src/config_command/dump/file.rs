//! The file of a dump. A regular file is replaced when the dump is complete, and keeps its mode. Symbolic links
//! stay. Anything else, such as a FIFO or a device, is written straight.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The mode of a new file: a dump may contain secrets.
const PRIVATE: u32 = 0o600;
/// The bits of the owner.
const OWN: u32 = 0o700;

/// A dump that is being written.
#[derive(Debug)]
pub(super) struct DumpFile {
    out: BufWriter<File>,
    /// `None` if the destination is no regular file.
    replaces: Option<Replacement>,
}

/// A temporary file beside the file that it becomes; removed when it does not.
#[derive(Debug)]
struct Replacement {
    temporary: PathBuf,
    target: PathBuf,
    /// The file that is there now.
    before: Option<Metadata>,
}

impl DumpFile {
    /// Opens the destination. Waits for a reader if it is a FIFO.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let (target, before) = match fs::metadata(path) {
            Ok(before) if before.is_file() => (fs::canonicalize(path)?, Some(before)),
            Ok(_) => {
                let out = BufWriter::new(OpenOptions::new().write(true).open(path)?);
                return Ok(Self { out, replaces: None });
            }
            // Where a link leads to nothing, a file would appear that somebody else has named.
            Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => {
                (path.to_owned(), None)
            }
            Err(error) => return Err(error),
        };
        let temporary = beside(&target);
        let out = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&temporary)?;
        let replaces = Some(Replacement { temporary, target, before });
        Ok(Self { out: BufWriter::new(out), replaces })
    }

    /// Adds a part.
    pub(super) fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.out.write_all(part)
    }

    /// Writes the rest, and gives a regular file its name.
    pub(super) fn finish(self) -> io::Result<()> {
        let out = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.replaces.map_or(Ok(()), |replaces| replaces.finish(&out))
    }
}

impl Replacement {
    fn finish(self, out: &File) -> io::Result<()> {
        if let Some(before) = &self.before {
            // Only root can keep another owner.
            let keeps_group = fchown(out, Some(before.uid()), Some(before.gid()))
                .or_else(|_| fchown(out, None, Some(before.gid())))
                .is_ok();
            // Otherwise the bits of the group would be for another one.
            let mode = if keeps_group { before.mode() } else { before.mode() & OWN };
            out.set_permissions(Permissions::from_mode(mode))?;
        }
        out.sync_all()?;
        fs::rename(&self.temporary, &self.target)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        fs::remove_file(&self.temporary).ok();
    }
}

fn beside(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", Uuid::new_v4().simple()));
    target.with_file_name(name)
}
