//! Writes the mark on a thread of its own: a disk that hangs must not delay an update.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How long to wait for a mark. While one write has not returned, later ones are not waited for at all.
const WAIT: Duration = Duration::from_secs(1);
/// The longest file that is read: a mark has three lines.
const MAX_READ: u64 = 4096;

/// The file, and the thread that writes to it.
#[derive(Debug)]
pub(super) struct MarkFile {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

/// The newest text: an older one that is not written yet is dropped.
#[derive(Debug, Default)]
struct Slot {
    text: Option<String>,
    /// How many texts were handed over, and how many of them were settled.
    wanted: u64,
    settled: u64,
    error: Option<io::Error>,
    late: bool,
    end: bool,
}

impl MarkFile {
    /// Opens the file, makes it (mode 0600) if it is missing, and reads it.
    ///
    /// # Errors
    /// When the system refuses, or the file is not text.
    pub(super) fn open(path: &Path) -> io::Result<(Self, String)> {
        let file = open(path)?;
        let mut text = String::new();
        (&file).take(MAX_READ).read_to_string(&mut text)?;
        let shared = Arc::new(Shared::default());
        let (path, theirs) = (path.to_owned(), Arc::clone(&shared));
        thread::Builder::new().name("crash-guard".to_owned()).spawn(move || theirs.work(&path, file))?;
        Ok((Self { shared }, text))
    }

    /// Writes `text` over the old contents, and waits a limited time for it.
    ///
    /// # Errors
    /// When the disk refuses, or does not answer in time. In the second case the text is written later.
    pub(super) fn write(&self, text: String) -> io::Result<()> {
        let mut slot = self.shared.slot.lock();
        slot.text = Some(text);
        slot.wanted += 1;
        self.shared.changed.notify_all();
        let wanted = slot.wanted;
        let wait = if slot.late { Duration::ZERO } else { WAIT };
        let is_open = |slot: &mut Slot| slot.settled < wanted;
        if self.shared.changed.wait_while_for(&mut slot, is_open, wait).timed_out() {
            slot.late = true;
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer"));
        }
        slot.error.take().map_or(Ok(()), Err)
    }
}

impl Drop for MarkFile {
    /// Ends the thread as soon as the disk allows it.
    fn drop(&mut self) {
        self.shared.slot.lock().end = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn work(&self, path: &Path, mut file: File) {
        while let Some((text, number)) = self.next() {
            let written = write(path, &mut file, &text);
            let mut slot = self.slot.lock();
            (slot.settled, slot.late, slot.error) = (number, false, written.err());
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<(String, u64)> {
        let mut slot = self.slot.lock();
        loop {
            if let Some(text) = slot.text.take() {
                return Some((text, slot.wanted));
            }
            if slot.end {
                return None;
            }
            self.changed.wait(&mut slot);
        }
    }
}

/// Writes once over the old contents, always the same length, to a file that never grows: even a full disk
/// accepts that. Makes the file again if it was removed or replaced.
fn write(path: &Path, file: &mut File, text: &str) -> io::Result<()> {
    let identity = |found: Metadata| (found.dev(), found.ino());
    if fs::metadata(path).map(identity).ok() != Some(identity(file.metadata()?)) {
        *file = open(path)?;
    }
    file.write_all_at(text.as_bytes(), 0)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
