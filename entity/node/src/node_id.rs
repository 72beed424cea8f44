//! The id of a node in its cluster, kept across restarts in a file of its folder.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tracing::warn;
use uuid::Uuid;

const FILE: &str = "node_id";

/// The file of the node id cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {source}", path.display())]
pub struct NodeIdError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Returns the id in `folder`, or writes a new one there. An id that cannot be parsed is replaced: a node
/// that does not start is worse than one that is listed twice.
///
/// An id in the node's certificate overrides the file, which is then rewritten. The issuer of the certificate
/// has decided which node this is, and control planes refuse the node under another id.
///
/// # Errors
///
/// The file cannot be read or written.
pub fn keep(folder: &Path, certified: Option<Uuid>) -> Result<Uuid, NodeIdError> {
    let path = folder.join(FILE);
    let kept = read(&path)?;
    match (kept, certified) {
        (Some(kept), None) => return Ok(kept),
        (Some(kept), Some(certified)) if kept == certified => return Ok(kept),
        (Some(kept), Some(certified)) => {
            warn!(%kept, %certified, "this node takes the id that its certificate names, in place of the one it had");
        }
        (None, _) => {}
    }
    let id = certified.unwrap_or_else(Uuid::new_v4);
    write(folder, &path, id).map_err(|source| NodeIdError { what: "write", path, source })?;
    Ok(id)
}

/// Writes the id again if the folder has lost it.
///
/// # Errors
///
/// The file cannot be written.
pub fn restore(folder: &Path, id: Uuid) -> io::Result<()> {
    let path = folder.join(FILE);
    if path.try_exists()? { Ok(()) } else { write(folder, &path, id) }
}

fn read(path: &Path) -> Result<Option<Uuid>, NodeIdError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let id = text.trim().parse().ok();
            if id.is_none() {
                warn!(path = %path.display(), "the node id cannot be read; making a new one");
            }
            Ok(id)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Text that is not UTF-8 counts as text that is not an id.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(source) => Err(NodeIdError { what: "read", path: path.to_owned(), source }),
    }
}

/// Writes to a temporary name first, so that a crash leaves the old id or the new one.
fn write(folder: &Path, path: &Path, id: Uuid) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let temporary = folder.join("node_id.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_a_damaged_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let id = keep(folder.path(), None).unwrap();
        assert_eq!(keep(folder.path(), None).unwrap(), id);
        for damage in [&b"garbage"[..], b"\xff\xfe"] {
            fs::write(folder.path().join(FILE), damage).unwrap();
            let other = keep(folder.path(), None).unwrap();
            assert_ne!(other, id);
            assert_eq!(keep(folder.path(), None).unwrap(), other);
        }
    }

    #[test]
    fn the_certificates_id_wins_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let own = keep(folder.path(), None).unwrap();
        let certified = Uuid::new_v4();
        assert_eq!(keep(folder.path(), Some(certified)).unwrap(), certified);
        assert_ne!(own, certified);
        assert_eq!(keep(folder.path(), None).unwrap(), certified);
    }
}
