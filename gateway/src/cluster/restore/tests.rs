//! A copy on disk that a later version of this program has written, as a downgrade finds it.

use std::path::Path;
use std::sync::Arc;

use node::identity::{Files, Mode as Tls, Role};
use tempfile::TempDir;
use uuid::Uuid;
use wire::{Key, Kind};

use super::super::Settings;
use super::super::cache::tests::Source;
use super::*;
use crate::live::Live;
use crate::metrics::Metrics;

/// A kind that no version has and that must be understood.
const UNKNOWN: Kind = Kind(99);

/// The folder of a data plane that has ended.
struct Stage {
    folder: TempDir,
}

impl Stage {
    /// Writes a snapshot with a route, and these deltas.
    fn new(deltas: &[(Key, Option<&[u8]>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(&folder.path().join("state")).unwrap();
        let mut source = Source::default();
        let snapshot = source.update(Mode::Snapshot, br#"{"paths":["/a"]}"#);
        let mut log = cache.write(&[snapshot], source.position()).unwrap();
        let updates: Vec<_> =
            deltas.iter().map(|(key, value)| source.put(Mode::Delta, *key, *value)).collect();
        log.append(&updates).unwrap();
        Self { folder }
    }

    fn state(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join("state").join(file)
    }

    /// Starts the agent; it synchronizes with nobody.
    fn open(&self) -> (Agent, Arc<Live>) {
        let live = Arc::new(Live::new());
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap().sync;
        let agent = Agent::open(
            settings(self.folder.path()),
            Arc::clone(&live),
            Arc::default(),
            metrics,
            Arc::default(),
        )
        .unwrap();
        (agent, live)
    }
}

fn settings(folder: &Path) -> Settings {
    let pair = testkit::certs::valid(folder, "cluster");
    let identity =
        Files { mode: Tls::Shared, role: Role::DataPlane, certificate: pair.cert, key: pair.key, ca: None };
    Settings {
        control_planes: vec!["a:8005".to_owned()],
        identity,
        heartbeat: std::time::Duration::from_secs(30),
        state_dir: folder.join("state"),
        hostname: "edge".into(),
        version: "0.1.0".into(),
        labels: Default::default(),
    }
}

fn key(kind: Kind) -> Key {
    Key { kind, id: Uuid::from_u128(7) }
}

/// Asserts that nothing of the copy serves, and that the reason is shown.
fn serves_nothing(stage: &Stage, reason: &str) {
    let (mut agent, live) = stage.open();
    assert!(live.load().is_none(), "{reason}");
    assert_eq!((agent.held(), agent.applier.held()), (None, None), "it asks for a snapshot");
    let view = agent.status.view();
    assert_eq!((view.revision, view.source), (None, None));
    let damage = view.disk_damage.unwrap();
    assert!(damage.contains(reason) && damage.contains("must be understood"), "{damage}");
    assert!(stage.state("config.log.unsupported").exists());
    // Releases the folder.
    agent.writer.finish();
}

#[test]
fn copy_with_an_unknown_kind_serves_nothing() {
    let stage = Stage::new(&[(key(UNKNOWN), Some(b"?"))]);
    serves_nothing(&stage, "kind 99");
    // Neither at the next start, and it stays for the version that has written it.
    serves_nothing(&stage, "revision 2 is refused because of kind 99");
    assert!(stage.state("config.log").exists());
}

#[test]
fn copy_with_an_unknown_field_serves_nothing() {
    let guarded = br#"{"paths":["/a"],"!guard":true}"#;
    let stage = Stage::new(&[(key(model::kind::ROUTE), Some(guarded))]);
    serves_nothing(&stage, "\"guard\"");
}

/// The newest file is damaged, and the one before it holds the entity.
#[test]
fn previous_copy_with_an_unknown_kind_serves_nothing() {
    let stage = Stage::new(&[(key(UNKNOWN), Some(b"?"))]);
    std::fs::rename(stage.state("config.log"), stage.state("config.log.1")).unwrap();
    std::fs::write(stage.state("config.log"), b"no copy").unwrap();
    let (_agent, live) = stage.open();
    assert!(live.load().is_none());
    assert!(stage.state("config.log.1.unsupported").exists());
}

/// An older, good copy lacks the entity, and with it perhaps the protection of a route.
#[test]
fn copy_before_the_unknown_kind_does_not_serve_either() {
    let stage = Stage::new(&[(key(UNKNOWN), Some(b"?"))]);
    let older = Stage::new(&[]);
    std::fs::copy(older.state("config.log"), stage.state("config.log.1")).unwrap();
    serves_nothing(&stage, "kind 99");
}

#[test]
fn copy_serves_when_the_unknown_kind_was_deleted_or_may_be_ignored() {
    let deleted = Stage::new(&[(key(UNKNOWN), Some(b"?")), (key(UNKNOWN), None)]);
    let ignored = Stage::new(&[(key(Kind(199)), Some(b"?"))]);
    for stage in [deleted, ignored] {
        let (agent, live) = stage.open();
        assert!(live.load().is_some());
        assert_eq!(agent.status.view().disk_damage, None);
    }
}
