//! A queue of lines for a sink: bounded in bytes, so that threads that log never wait for the sink.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;
use tokio::time::Instant;

/// Lines that a sink has not taken yet. One thread takes them; all others only append.
#[derive(Debug)]
pub struct LineQueue {
    state: Mutex<State>,
    /// Lines have arrived, or [`LineQueue::wake`] was called.
    woken: Condvar,
    /// Everything is written.
    drained: Condvar,
    capacity: usize,
    dropped: IntCounter,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// Between two calls of `take`: the taker holds lines that the sink may not have yet.
    writing: bool,
    woken: bool,
}

impl LineQueue {
    /// Makes a queue of at most `capacity` bytes. `dropped` counts the lines beyond them.
    pub fn new(capacity: usize, dropped: IntCounter) -> Self {
        let (state, woken, drained) = (Mutex::default(), Condvar::new(), Condvar::new());
        Self { state, woken, drained, capacity, dropped }
    }

    /// Appends a line, or counts it as dropped. Waits at most for other appends, never for the sink.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.lines.len() + line.len() > self.capacity {
            self.dropped.inc();
            return;
        }
        state.lines.extend_from_slice(line);
        self.woken.notify_one();
    }

    /// Whether no line waits.
    pub fn is_empty(&self) -> bool {
        self.state.lock().lines.is_empty()
    }

    /// Wakes the taker without a line.
    pub fn wake(&self) {
        self.state.lock().woken = true;
        self.woken.notify_one();
    }

    /// Moves all lines into `lines`, which it clears first. Waits until there is a line, until a call of
    /// [`Self::wake`], or for `timeout`.
    pub fn take(&self, lines: &mut Vec<u8>, timeout: Option<Duration>) {
        lines.clear();
        let mut state = self.state.lock();
        state.writing = false;
        if state.lines.is_empty() {
            self.drained.notify_all();
        }
        while state.lines.is_empty() && !state.woken {
            match timeout {
                None => self.woken.wait(&mut state),
                Some(timeout) => {
                    if self.woken.wait_for(&mut state, timeout).timed_out() {
                        break;
                    }
                }
            }
        }
        state.woken = false;
        state.writing = true;
        std::mem::swap(&mut state.lines, lines);
    }

    /// Waits until the sink has all lines, but at most for `timeout`. Returns whether it has them.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        while state.writing || !state.lines.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.drained.wait_for(&mut state, left);
        }
        true
    }
}
