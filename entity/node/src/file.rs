//! Detects that a file has changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Distinguishes two versions of a file without reading it: by inode, length, and the times of the last
/// change of content and attributes. `None` for a file that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion(Option<(u64, u64, (i64, i64), (i64, i64))>);

impl FileVersion {
    /// The version at `path` now.
    pub fn of(path: &Path) -> Self {
        let metadata = std::fs::metadata(path).ok();
        Self(metadata.map(|file| {
            (file.ino(), file.len(), (file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()))
        }))
    }
}
