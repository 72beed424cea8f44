//! Detects that a file has changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells one version of a file from the next without reading it. `None` for a file that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion(Option<Attributes>);

/// Attributes of which at least one differs after a change. Times are seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attributes {
    inode: u64,
    length: u64,
    content_changed: (i64, i64),
    attributes_changed: (i64, i64),
}

impl FileVersion {
    /// The version at `path` now.
    pub fn of(path: &Path) -> Self {
        let metadata = std::fs::metadata(path).ok();
        Self(metadata.map(|file| Attributes {
            inode: file.ino(),
            length: file.len(),
            content_changed: (file.mtime(), file.mtime_nsec()),
            attributes_changed: (file.ctime(), file.ctime_nsec()),
        }))
    }
}
