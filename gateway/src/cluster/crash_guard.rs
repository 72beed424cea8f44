//! Marks on disk which update is being applied, so that a configuration that ends the process is not applied
//! for ever. The cause may be a stack overflow, an abort, or memory that runs out.
//!
//! The file `applying` holds three lines. The first names the update that is being applied now, if any. The
//! second names the suspect: the update that was being applied when the process last ended, and how often in
//! a row. The third names the build of the program.
//!
//! One crash proves nothing, for an operator may have killed the process at that moment: the revision is
//! tried once more. After the second crash in a row it is rejected, from disk and from the wire. That ends
//! when a later revision is applied, or when another build of the program starts. Removing the file allows
//! another attempt, too.
//!
//! A node without a configuration has nothing to lose: it applies such a revision from the wire all the same.
//! It pauses before that, longer after each crash, up to [`LONGEST_PAUSE`].
//!
//! # Cost
//!
//! Each update takes two writes of 180 bytes to the first page of an open file: some tens of microseconds.
//! There is no sync, since written bytes outlive the process. A power cut may lose the mark, or restore an
//! older one. That adds at most one crash to an innocent revision, and one crash rejects nothing.

mod file;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;
use wire::Position;

use self::file::MarkFile;
use super::cache::CacheError;
use super::io_error;

const FILE: &str = "applying";
/// Crashes in a row after which a revision is rejected.
const CRASHES_TO_SKIP: u32 = 2;
/// Crashes in a row, in any revisions, after which the node first serves its configuration for a while. Under
/// continuous writes, each start would otherwise find another revision to crash in.
const PAUSE_FROM: u32 = 3;
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Reads and writes the mark.
#[derive(Debug)]
pub(super) struct CrashGuard {
    path: PathBuf,
    file: Option<MarkFile>,
    suspect: Option<CrashSuspect>,
    build: String,
}

/// The revision in which the process last ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CrashSuspect {
    at: Place,
    /// How often in a row the process ended in this revision.
    pub deaths: u32,
    /// How often in a row the process ended in any revision.
    pub in_a_row: u32,
}

impl CrashSuspect {
    /// The revision.
    pub(super) const fn revision(&self) -> u64 {
        self.at.revision
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    epoch: Uuid,
    revision: u64,
}

impl CrashGuard {
    /// Reads the mark in `dir` and opens it for writing; makes it (mode 0600) if it is missing. An unusable
    /// mark is returned as a complaint: the node works without it.
    pub(super) fn open(dir: &Path) -> (Self, Option<CacheError>) {
        Self::open_as(dir, this_build())
    }

    fn open_as(dir: &Path, build: String) -> (Self, Option<CacheError>) {
        let path = dir.join(FILE);
        let mut crash_guard = Self { path, file: None, suspect: None, build };
        let complaint = crash_guard.read().err();
        (crash_guard, complaint)
    }

    /// The revision in which the process ended, until a later one is applied.
    pub(super) const fn suspect(&self) -> Option<CrashSuspect> {
        self.suspect
    }

    /// The reason to reject this position, if there is one.
    pub(super) fn refusal(&self, to: Position) -> Option<String> {
        let suspect =
            self.suspect.filter(|suspect| suspect.at == to.into() && suspect.deaths >= CRASHES_TO_SKIP)?;
        Some(format!(
            "this revision ended the process {} times in a row while it was applied; it is refused until a later one",
            suspect.deaths
        ))
    }

    /// How long to serve the present configuration before requesting an update.
    pub(super) fn pause(&self) -> Option<Duration> {
        let deaths = self.suspect?.in_a_row.checked_sub(PAUSE_FROM)?;
        Some((SHORTEST_PAUSE * 2_u32.saturating_pow(deaths).min(1024)).min(LONGEST_PAUSE))
    }

    /// Marks that `to` is about to be applied.
    ///
    /// # Errors
    /// When the disk refuses. The update can be applied all the same, unmarked.
    pub(super) fn begin(&self, to: Position) -> Result<(), CacheError> {
        self.write(Some(to.into()))
    }

    /// Removes the mark: the process has survived the update, and `live`, if given, was applied.
    ///
    /// # Errors
    /// The same as those of [`CrashGuard::begin`].
    pub(super) fn end(&mut self, live: Option<Position>) -> Result<(), CacheError> {
        if let (Some(live), Some(suspect)) = (live, self.suspect)
            && (live.epoch != suspect.at.epoch || live.revision >= suspect.at.revision)
        {
            self.suspect = None;
        }
        self.write(None)
    }

    fn read(&mut self) -> Result<(), CacheError> {
        let opened = MarkFile::open(&self.path).map_err(|source| io_error("use", &self.path, source));
        let (file, text) = opened?;
        self.file = Some(file);
        // A crash of another build says nothing about this one.
        let (applying, suspect) =
            if is_of_other_build(&text, &self.build) { (None, None) } else { parse(&text) };
        self.suspect = match (applying, suspect) {
            (None, suspect) => suspect,
            (Some(at), None) => Some(CrashSuspect { at, deaths: 1, in_a_row: 1 }),
            (Some(at), Some(before)) => Some(CrashSuspect {
                at,
                deaths: if at == before.at { before.deaths.saturating_add(1) } else { 1 },
                in_a_row: before.in_a_row.saturating_add(1),
            }),
        };
        self.write(None)
    }

    fn write(&self, applying: Option<Place>) -> Result<(), CacheError> {
        let Some(file) = &self.file else { return Ok(()) };
        let text = render(applying, self.suspect, &self.build);
        file.write(text).map_err(|source| io_error("write", &self.path, source))
    }
}

/// Identifies this build of the program, to tell it from earlier and later ones at the same path. Returns 16
/// digits of the hash of its version, and of its file's length and time.
fn this_build() -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(crate::VERSION.as_bytes());
    if let Ok(file) = std::env::current_exe().and_then(std::fs::metadata) {
        for part in [i64::try_from(file.len()).unwrap_or_default(), file.mtime(), file.mtime_nsec()] {
            hasher.update(&part.to_be_bytes());
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self { epoch: position.epoch, revision: position.revision }
    }
}

fn render(applying: Option<Place>, suspect: Option<CrashSuspect>, build: &str) -> String {
    let none = Place { epoch: Uuid::nil(), revision: 0 };
    let (state, at) = applying.map_or(("idle", none), |at| ("applying", at));
    let suspect = suspect.unwrap_or(CrashSuspect { at: none, deaths: 0, in_a_row: 0 });
    format!(
        "{state:<8} {} {:020}\nsuspect  {} {:020} {:010} {:010}\nbuild    {build}\n",
        at.epoch, at.revision, suspect.at.epoch, suspect.at.revision, suspect.deaths, suspect.in_a_row
    )
}

/// A mark without a build may be of this one.
fn is_of_other_build(text: &str, build: &str) -> bool {
    let line = text.lines().nth(2).map(|line| line.split_whitespace().collect::<Vec<_>>());
    matches!(line.as_deref(), Some(["build", other]) if *other != build)
}

/// Reads the mark, as far as it makes sense: an unreadable mark marks nothing.
fn parse(text: &str) -> (Option<Place>, Option<CrashSuspect>) {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let applying = match lines.next().as_deref() {
        Some(["applying", epoch, revision]) => place(epoch, revision),
        _ => None,
    };
    let suspect = match lines.next().as_deref() {
        Some(["suspect", epoch, revision, deaths, in_a_row]) => place(epoch, revision).and_then(|at| {
            Some(CrashSuspect { at, deaths: deaths.parse().ok()?, in_a_row: in_a_row.parse().ok()? })
        }),
        _ => None,
    };
    (applying, suspect.filter(|suspect| suspect.deaths > 0))
}

fn place(epoch: &str, revision: &str) -> Option<Place> {
    Some(Place { epoch: epoch.parse().ok()?, revision: revision.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(revision: u64) -> Position {
        Position { epoch: Uuid::from_u128(1), revision, ..Position::default() }
    }

    fn open(dir: &tempfile::TempDir) -> CrashGuard {
        let (crash_guard, complaint) = CrashGuard::open(dir.path());
        assert!(complaint.is_none(), "{complaint:?}");
        crash_guard
    }

    /// Ends the process while it applies this revision.
    fn die_in(dir: &tempfile::TempDir, revision: u64) -> CrashGuard {
        open(dir).begin(at(revision)).unwrap();
        open(dir)
    }

    #[test]
    fn one_death_is_forgiven_and_the_second_is_not_until_a_later_revision_is_live() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(die_in(&dir, 7).refusal(at(7)), None);
        let mut crash_guard = die_in(&dir, 7);
        assert!(crash_guard.refusal(at(7)).is_some_and(|why| why.contains("2 times")));
        assert_eq!((crash_guard.refusal(at(6)), crash_guard.refusal(at(8))), (None, None));
        crash_guard.begin(at(6)).unwrap();
        crash_guard.end(Some(at(6))).unwrap();
        assert!(open(&dir).refusal(at(7)).is_some(), "what came before it says nothing of it");
        crash_guard.begin(at(8)).unwrap();
        crash_guard.end(None).unwrap();
        assert!(open(&dir).refusal(at(7)).is_some(), "a refused revision has not gone live");
        crash_guard.begin(at(8)).unwrap();
        crash_guard.end(Some(at(8))).unwrap();
        assert_eq!((open(&dir).suspect(), open(&dir).refusal(at(7))), (None, None));
    }

    #[test]
    fn deaths_in_other_revisions_are_other_deaths_but_in_a_row() {
        let dir = tempfile::tempdir().unwrap();
        die_in(&dir, 7);
        let crash_guard = die_in(&dir, 8);
        assert_eq!(
            (crash_guard.refusal(at(7)), crash_guard.refusal(at(8)), crash_guard.pause()),
            (None, None, None)
        );
        assert_eq!(die_in(&dir, 9).pause(), Some(SHORTEST_PAUSE));
        assert_eq!(die_in(&dir, 10).pause(), Some(2 * SHORTEST_PAUSE));
        for revision in 11..60 {
            die_in(&dir, revision);
        }
        assert_eq!(open(&dir).pause(), Some(LONGEST_PAUSE));
    }

    #[test]
    fn another_build_tries_again_what_ended_this_one() {
        let dir = tempfile::tempdir().unwrap();
        die_in(&dir, 7);
        assert!(die_in(&dir, 7).refusal(at(7)).is_some());
        let open_as = |build: &str| CrashGuard::open_as(dir.path(), format!("{build:0>16}")).0;
        let upgraded = open_as("1");
        assert_eq!((upgraded.suspect(), upgraded.refusal(at(7)), upgraded.pause()), (None, None, None));
        for _ in 0..2 {
            open_as("1").begin(at(7)).unwrap();
        }
        assert!(open_as("1").refusal(at(7)).is_some(), "it counts its own deaths");
    }

    #[test]
    fn removed_mark_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let crash_guard = open(&dir);
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        crash_guard.begin(at(7)).unwrap();
        drop(crash_guard);
        assert_eq!(open(&dir).suspect().map(|suspect| suspect.deaths), Some(1));
    }

    #[test]
    fn it_stands_as_text_that_never_grows_and_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut crash_guard = open(&dir);
        let idle = std::fs::read_to_string(&path).unwrap();
        crash_guard.begin(at(u64::MAX)).unwrap();
        let applying = std::fs::read_to_string(&path).unwrap();
        assert!(applying.starts_with("applying ") && applying.contains("18446744073709551615"), "{applying}");
        crash_guard.end(None).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), idle);
        assert_eq!(idle.len(), applying.len());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_mark_that_makes_no_sense_marks_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "applying", "applying x 7\n", "applying\n\nsuspect 1 2 3 4\n", "\u{1F435}"] {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            assert_eq!(open(&dir).suspect(), None, "{text:?}");
        }
        std::fs::write(dir.path().join(FILE), [0xff; 70]).unwrap();
        let (crash_guard, complaint) = CrashGuard::open(dir.path());
        assert!(crash_guard.suspect().is_none() && complaint.is_some());
    }
}
