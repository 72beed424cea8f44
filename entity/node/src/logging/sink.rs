//! The thread that waits for a sink, so that no other thread has to.

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;
use tracing::error;

use super::queue::LineQueue;
use super::rate::RateLimiter;

/// The bytes that a pipe accepts as one piece (PIPE_BUF): within them, the lines of two processes do not mix.
const PIECE: usize = 4096;
/// The pause between two attempts on a sink that is set to non-blocking.
const RETRY: Duration = Duration::from_millis(20);
/// How often suppressed lines are reported while there are some.
const REPORT: Duration = Duration::from_secs(1);

/// Writes lines of a queue to a sink.
#[derive(Debug)]
pub struct LineWriter<W> {
    sink: W,
    dropped: IntCounter,
    /// The dropped lines that the log has reported.
    reported: u64,
    /// The last piece was written in part: the next line must not continue its last line.
    broken: bool,
}

impl<W: Write> LineWriter<W> {
    /// Creates a writer. `dropped` counts the lines that the sink does not accept.
    pub fn new(sink: W, dropped: IntCounter) -> Self {
        Self { sink, dropped, reported: 0, broken: false }
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut W {
        &mut self.sink
    }

    /// Writes the lines of `queue`, for ever.
    pub(super) fn run(mut self, queue: &LineQueue, rates: &RateLimiter) {
        let mut lines = Vec::new();
        loop {
            let timeout = rates.has_suppressed().then_some(REPORT);
            queue.take(&mut lines, timeout);
            if self.write_all(&lines) && !lines.is_empty() {
                self.report_dropped();
            }
            rates.report();
            // The buffer of a burst is freed.
            lines.clear();
            lines.shrink_to(PIECE);
        }
    }

    /// Writes whole lines in pieces. Returns whether the sink accepted all of them.
    pub fn write_all(&mut self, mut lines: &[u8]) -> bool {
        let mut complete = true;
        while !lines.is_empty() {
            let (piece, rest) = lines.split_at(piece_length(lines));
            if let Err(_unwritable) = self.write_piece(piece) {
                self.dropped.inc_by(count_lines(piece));
                complete = false;
            }
            lines = rest;
        }
        complete
    }

    fn write_piece(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.broken {
            self.write_bytes(b"\n")?;
            self.broken = false;
        }
        self.write_bytes(piece)
    }

    fn write_bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            match self.sink.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
                Err(error) => {
                    self.broken |= bytes.len() < whole;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Reports lost lines, once the sink accepts lines again.
    fn report_dropped(&mut self) {
        let dropped = self.dropped.get();
        if dropped > self.reported {
            let lines = dropped - self.reported;
            self.reported = dropped;
            error!(lines, "{lines} lines of the log were lost: nobody read it, or its disk was full");
        }
    }
}

/// The length of as many whole lines as fit into a piece, of one line at least.
fn piece_length(lines: &[u8]) -> usize {
    let end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
    let first = |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
    let piece = &lines[..lines.len().min(PIECE)];
    end(piece).or_else(|| first(lines)).unwrap_or(lines.len())
}

fn count_lines(piece: &[u8]) -> u64 {
    piece.iter().filter(|byte| **byte == b'\n').count() as u64
}
