//! Files of lines: the access log, and those of `file-log` plugins.
//!
//! A request appends a line to a bounded queue in memory. Each file has a thread of its own that writes, so that a
//! disk that is full or does not answer costs lines of its file, and neither a request nor another file. Lines that
//! are lost are counted.

mod sink;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use node::logging::{LineQueue, LineWriter};
use parking_lot::RwLock;
use tokio::time::Instant;
use tracing::error;

use self::sink::FileSink;
use crate::metrics::{DeliveryMetrics, DropReason};

/// The most bytes of lines that wait for one file.
const CAPACITY: usize = 4 << 20;
/// The most files, each of which has a thread.
const MOST_FILES: usize = 128;
/// A file to which nothing was written for this time is closed.
const IDLE: Duration = Duration::from_secs(600);
/// Bytes of a buffer that a file keeps between bursts.
const KEPT: usize = 16 * 1024;
/// A thread that writes calls little.
const STACK: usize = 256 * 1024;

/// The files of a process, by path.
#[derive(Debug)]
pub struct LineFiles {
    files: RwLock<HashMap<Box<str>, Arc<LineFile>>>,
    metrics: DeliveryMetrics,
    /// A folder in which no file is written.
    guarded: PathBuf,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTerms {
    /// What the metrics call the writer.
    pub writer: &'static str,
    /// Whether the file is opened again as soon as another one is at its path.
    pub reopen: bool,
}

/// The lines of one file that wait.
#[derive(Debug)]
struct LineFile {
    queue: LineQueue,
    /// Whether the file is looked for at its path before each write.
    follows_path: AtomicBool,
    /// Whether the file must be opened again.
    must_reopen: AtomicBool,
}

impl LineFiles {
    /// Creates no files. None will be written in the folder `guarded`.
    pub fn new(metrics: DeliveryMetrics, guarded: PathBuf) -> Arc<Self> {
        Arc::new(Self { files: RwLock::default(), metrics, guarded })
    }

    /// Appends a line, with its end, to the file at `path`. `/dev/stdout` and `/dev/stderr` are the streams of this
    /// process. Never waits for the disk.
    pub fn write(self: &Arc<Self>, path: &str, terms: LineTerms, line: &[u8]) {
        {
            // Held meanwhile: a file ends only when it has no line.
            let files = self.files.read();
            if let Some(file) = files.get(path) {
                return file.push(terms, line);
            }
        }
        if !self.begin(path, terms, line) {
            self.metrics.drop_entries(terms.writer, DropReason::Failed, 1);
        }
    }

    /// Opens all files again: the old ones have been renamed.
    pub fn reopen(&self) {
        for file in self.files.read().values() {
            file.must_reopen.store(true, Ordering::Release);
            file.queue.wake();
        }
    }

    /// Waits until all lines are written, but at most for `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let files: Vec<_> = self.files.read().values().cloned().collect();
        for file in files {
            file.queue.flush(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Begins a file with its first line; `false` if that cannot be.
    fn begin(self: &Arc<Self>, path: &str, terms: LineTerms, line: &[u8]) -> bool {
        let mut files = self.files.write();
        if let Some(file) = files.get(path) {
            file.push(terms, line);
            return true;
        }
        if files.len() >= MOST_FILES {
            return false;
        }
        let queue = LineQueue::new(CAPACITY, self.metrics.dropped(terms.writer, DropReason::Full));
        let file = Arc::new(LineFile {
            queue,
            follows_path: AtomicBool::new(false),
            must_reopen: AtomicBool::new(false),
        });
        let dropped = self.metrics.dropped(terms.writer, DropReason::Failed);
        let writer = LineWriter::new(FileSink::new(path, self.guarded.clone()), dropped);
        let (files_of_thread, file_of_thread, path_of_thread) = (self.clone(), file.clone(), Box::from(path));
        let run = move || run(&files_of_thread, &path_of_thread, &file_of_thread, writer);
        let thread = thread::Builder::new().name("log file".to_owned()).stack_size(STACK);
        if let Err(error) = thread.spawn(run) {
            error!("cannot start the thread of a log file: {error}");
            return false;
        }
        file.push(terms, line);
        files.insert(path.into(), file);
        true
    }

    /// Removes a file that has no lines; `false` if it has some.
    fn end(&self, path: &str, file: &LineFile) -> bool {
        let mut files = self.files.write();
        let is_empty = file.queue.is_empty();
        if is_empty {
            files.remove(path);
        }
        is_empty
    }

    /// The number of files.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.files.read().len()
    }
}

impl LineFile {
    fn push(&self, terms: LineTerms, line: &[u8]) {
        if terms.reopen {
            self.follows_path.store(true, Ordering::Relaxed);
        }
        self.queue.push(line);
    }
}

/// Writes the lines of one file, until it has none for [`IDLE`].
fn run(files: &LineFiles, path: &str, file: &LineFile, mut writer: LineWriter<FileSink>) {
    let mut lines = Vec::new();
    loop {
        file.queue.take(&mut lines, Some(IDLE));
        let must_reopen = file.must_reopen.swap(false, Ordering::Acquire);
        if lines.is_empty() && !must_reopen {
            if files.end(path, file) {
                return;
            }
            continue;
        }
        if must_reopen {
            writer.sink().close();
        } else if file.follows_path.load(Ordering::Relaxed) {
            writer.sink().close_if_moved();
        }
        writer.write_all(&lines);
        lines.clear();
        lines.shrink_to(KEPT);
    }
}
