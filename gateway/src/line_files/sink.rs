//! A file that is opened when there is something to write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info};

/// The mode of a file that is made.
const MODE: u32 = 0o644;
/// The pause after a file could not be opened. Lines that come meanwhile are lost.
const PAUSE: Duration = Duration::from_secs(1);

/// A file that is opened when there is something to write, or a stream of the process.
#[derive(Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    guarded: PathBuf,
    open: Option<File>,
    /// When the file could not be opened.
    refused: Option<Instant>,
}

impl FileSink {
    /// Is not opened yet. A file in the folder `guarded` never is.
    pub(super) fn new(path: &str, guarded: PathBuf) -> Self {
        Self { path: path.into(), guarded, open: None, refused: None }
    }

    /// Closes the file. The next write opens the one that is then at its path.
    pub(super) fn close(&mut self) {
        (self.open, self.refused) = (None, None);
    }

    /// Closes the file if it is not the one at its path.
    pub(super) fn close_if_moved(&mut self) {
        if self.is_stream() {
            return;
        }
        let Some(open) = &self.open else { return };
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let (ours, there) = (open.metadata().map(identity), fs::metadata(&self.path).map(identity));
        if !matches!((ours, there), (Ok(ours), Ok(there)) if ours == there) {
            self.open = None;
        }
    }

    fn is_stream(&self) -> bool {
        self.path == Path::new("/dev/stdout") || self.path == Path::new("/dev/stderr")
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.refused.is_some_and(|refused| refused.elapsed() < PAUSE) {
            return Err(ErrorKind::NotFound.into());
        }
        if self.open.is_none() {
            match self.open() {
                Ok(file) => {
                    self.open = Some(file);
                    if self.refused.take().is_some() {
                        info!("the log file {} is written again", self.path.display());
                    }
                }
                Err(error) => {
                    if self.refused.replace(Instant::now()).is_none() {
                        error!("cannot open the log file {}: {error}", self.path.display());
                    }
                    return Err(error);
                }
            }
        }
        self.open.as_mut().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn open(&self) -> io::Result<File> {
        // A stream that is a socket cannot be opened by its path.
        if self.path == Path::new("/dev/stdout") {
            return io::stdout().as_fd().try_clone_to_owned().map(File::from);
        }
        if self.path == Path::new("/dev/stderr") {
            return io::stderr().as_fd().try_clone_to_owned().map(File::from);
        }
        if self.is_guarded() {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "it is in the state folder"));
        }
        OpenOptions::new().append(true).create(true).mode(MODE).open(&self.path)
    }

    /// Whether the path leads into the guarded folder, by whatever links.
    fn is_guarded(&self) -> bool {
        let Ok(guarded) = self.guarded.canonicalize() else { return false };
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let in_folder = || parent.unwrap_or(Path::new(".")).canonicalize();
        self.path.canonicalize().or_else(|_| in_folder()).is_ok_and(|path| path.starts_with(guarded))
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
