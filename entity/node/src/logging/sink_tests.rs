//! A queue and its writer with sinks that do not accept lines.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;

use super::queue::LineQueue;
use super::sink::LineWriter;

const SOON: Duration = Duration::from_secs(10);

fn counter() -> IntCounter {
    IntCounter::new("dropped", "dropped").unwrap()
}

/// Accepts bytes as its script says, then all of them.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<Vec<io::Result<usize>>>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Scripted {
    fn new(mut script: Vec<io::Result<usize>>) -> Self {
        script.reverse();
        Self { script: Arc::new(Mutex::new(script)), ..Self::default() }
    }

    fn text(&self) -> String {
        String::from_utf8(self.written.lock().clone()).unwrap()
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.script.lock().pop().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
        self.written.lock().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_queue_drops_and_counts() {
    let dropped = counter();
    let queue = LineQueue::new(10, dropped.clone());
    for line in ["12345\n", "678\n", "9\n", "\n"] {
        queue.push(line.as_bytes());
    }
    assert_eq!(dropped.get(), 2);
    let mut lines = Vec::new();
    queue.take(&mut lines, None);
    assert_eq!(lines, b"12345\n678\n");
    queue.push(b"again\n");
    assert!(!queue.flush(Duration::from_millis(1)), "the taker has not come back");
    queue.take(&mut lines, None);
    queue.take(&mut lines, Some(Duration::from_millis(1)));
    assert!(lines.is_empty());
}

#[test]
fn flush_waits_for_the_sink_and_no_longer_than_its_timeout() {
    let queue = Arc::new(LineQueue::new(1 << 10, counter()));
    let (release, released) = mpsc::channel::<()>();
    let taker = {
        let queue = queue.clone();
        thread::spawn(move || {
            let mut lines = Vec::new();
            queue.take(&mut lines, None);
            released.recv().unwrap();
            queue.take(&mut lines, Some(Duration::from_millis(1)));
        })
    };
    queue.push(b"line\n");
    assert!(!queue.flush(Duration::from_millis(20)));
    release.send(()).unwrap();
    assert!(queue.flush(SOON));
    taker.join().unwrap();
}

#[test]
fn lines_that_a_sink_refuses_are_counted_and_a_broken_one_is_ended() {
    let full = || Err(ErrorKind::StorageFull.into());
    let sink = Scripted::new(vec![Ok(3), full(), full(), Err(ErrorKind::BrokenPipe.into())]);
    let dropped = counter();
    let mut writer = LineWriter::new(sink.clone(), dropped.clone());
    assert!(!writer.write_all(b"first\nsecond\n"));
    assert_eq!(dropped.get(), 2);
    assert!(!writer.write_all(b"third\n"));
    assert!(!writer.write_all(b"fourth\n"));
    assert_eq!(dropped.get(), 4);
    assert!(writer.write_all(b"fifth\n"));
    assert_eq!(sink.text(), "fir\nfifth\n");
}

#[test]
fn a_sink_that_refuses_for_the_moment_gets_everything() {
    let later = || Err(ErrorKind::WouldBlock.into());
    let sink = Scripted::new(vec![later(), Ok(2), Err(ErrorKind::Interrupted.into()), later(), Ok(1)]);
    let dropped = counter();
    let mut writer = LineWriter::new(sink.clone(), dropped.clone());
    assert!(writer.write_all(b"first\nsecond\n"));
    assert_eq!((sink.text().as_str(), dropped.get()), ("first\nsecond\n", 0));
}

#[test]
fn pieces_are_whole_lines() {
    struct Pieces(Arc<Mutex<Vec<usize>>>);
    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(bytes.ends_with(b"\n"));
            self.0.lock().push(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let pieces = Arc::new(Mutex::new(Vec::new()));
    let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
    let lines = [line(3000), line(1000), line(200), line(9000), line(5)].concat();
    assert!(LineWriter::new(Pieces(pieces.clone()), counter()).write_all(&lines));
    assert_eq!(*pieces.lock(), [4000, 200, 9000, 5]);
}
