//! Whether a file has changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells one version of a file from the next without reading it: inode, length, times of its last change
/// of content and of attributes. `None` for a file that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion(Option<(u64, u64, (i64, i64), (i64, i64))>);

impl FileVersion {
    /// The version that lies at `path` now.
    pub fn of(path: &Path) -> Self {
        let metadata = std::fs::metadata(path).ok();
        Self(metadata.map(|file| {
            (file.ino(), file.len(), (file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()))
        }))
    }
}
