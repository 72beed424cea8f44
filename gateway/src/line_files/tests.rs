//! Files on a real disk.

use std::fs;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use prometheus::Registry;
use testkit::wait;

use super::*;

const SOON: Duration = Duration::from_secs(10);
const PLAIN: LineTerms = LineTerms { writer: "file-log", reopen: false };
const FOLLOWS: LineTerms = LineTerms { writer: "file-log", reopen: true };

struct Stage {
    folder: tempfile::TempDir,
    files: Arc<LineFiles>,
    metrics: DeliveryMetrics,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        let metrics = DeliveryMetrics::new(&Registry::new()).unwrap();
        let files = LineFiles::new(metrics.clone(), folder.path().join("state"));
        Self { folder, files, metrics }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, terms: LineTerms, line: &str) {
        self.files.write(&self.path(name), terms, line.as_bytes());
        self.files.flush(SOON);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.metrics.dropped("file-log", reason).get()
    }
}

#[test]
fn lines_are_appended_in_their_order() {
    let stage = Stage::new();
    fs::write(stage.path("log"), "before\n").unwrap();
    for number in 0..1000 {
        stage.files.write(&stage.path("log"), PLAIN, format!("{number}\n").as_bytes());
    }
    stage.files.flush(SOON);
    let text = stage.read("log");
    let numbers: Vec<_> = text.lines().skip(1).map(|line| line.parse::<u32>().unwrap()).collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
}

#[test]
fn renamed_file_is_left_at_a_signal_or_at_once() {
    for (terms, signal) in [(PLAIN, true), (FOLLOWS, false)] {
        let stage = Stage::new();
        stage.write("log", terms, "1\n");
        fs::rename(stage.path("log"), stage.path("log.1")).unwrap();
        if signal {
            stage.write("log", terms, "2\n");
            stage.files.reopen();
        }
        stage.write("log", terms, "3\n");
        let old = if signal { "1\n2\n" } else { "1\n" };
        assert_eq!((stage.read("log.1"), stage.read("log")), (old.into(), "3\n".into()));
        assert_eq!(stage.dropped(DropReason::Failed), 0);
    }
}

#[test]
fn lines_for_a_file_that_cannot_be_opened_are_counted() {
    let stage = Stage::new();
    for name in ["no/such/folder", "state/cluster.key", "state"] {
        let before = stage.dropped(DropReason::Failed);
        stage.write(name, PLAIN, "1\n");
        assert_eq!(stage.dropped(DropReason::Failed) - before, 1, "{name}");
    }
    assert!(!Path::new(&stage.path("state/cluster.key")).exists());
    std::os::unix::fs::symlink(stage.path("state"), stage.path("link")).unwrap();
    stage.write("link/cluster.key", PLAIN, "1\n");
    assert!(!Path::new(&stage.path("state/cluster.key")).exists());
}

/// A pipe that nobody reads stops the thread that opens it.
#[test]
fn file_that_hangs_costs_lines_and_no_time() {
    let stage = Stage::new();
    mkfifo(Path::new(&stage.path("hangs")), Mode::S_IRWXU).unwrap();
    let line = format!("{}\n", "x".repeat(1023));
    let begun = Instant::now();
    for _ in 0..10_000 {
        stage.files.write(&stage.path("hangs"), PLAIN, line.as_bytes());
    }
    let took = begun.elapsed();
    stage.write("log", PLAIN, "other\n");
    assert_eq!(stage.read("log"), "other\n");
    assert!(took < SOON / 2, "{took:?}");
    let dropped = stage.dropped(DropReason::Full);
    assert!((10_000 - 2 * 4096 - 10..10_000 - 4000).contains(&dropped), "{dropped}");
    // The thread must not hang for longer than the test.
    drop(fs::File::open(stage.path("hangs")).unwrap());
}

#[tokio::test]
async fn files_have_a_bound() {
    let stage = Stage::new();
    for number in 0..MOST_FILES + 10 {
        stage.files.write(&stage.path(&format!("log{number}")), PLAIN, b"1\n");
    }
    assert_eq!((stage.files.len(), stage.dropped(DropReason::Failed)), (MOST_FILES, 10));
    wait::until(SOON, "all are written", || {
        (0..MOST_FILES).all(|number| stage.read(&format!("log{number}")) == "1\n")
    })
    .await;
}
