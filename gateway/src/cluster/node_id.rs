//! The id under which a control plane knows this node, kept across restarts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tracing::warn;
use uuid::Uuid;

use super::cache::CacheError;
use super::io_error;

const FILE: &str = "node_id";

/// The id in `dir`, or a new one that is written there. One that cannot be parsed is replaced: a node
/// that does not start is worse than one that is listed twice.
pub(super) fn read_or_make(dir: &Path) -> Result<Uuid, CacheError> {
    let path = dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(id) => return Ok(id),
            Err(_) => warn!(path = %path.display(), "the node id cannot be read; making a new one"),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(io_error("read", &path, source)),
    }
    let id = Uuid::new_v4();
    let temporary = dir.join("node_id.new");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| writeln!(file, "{id}").and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, &path))
        .map_err(|source| io_error("write", &path, source))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_a_damaged_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let id = read_or_make(dir.path()).unwrap();
        assert_eq!(read_or_make(dir.path()).unwrap(), id);
        fs::write(dir.path().join(FILE), "garbage").unwrap();
        let other = read_or_make(dir.path()).unwrap();
        assert_ne!(other, id);
        assert_eq!(read_or_make(dir.path()).unwrap(), other);
    }
}
