//! The copy on disk, with the real program: what it restores, and what it does when the disk fails.

mod copies;
mod crashes;
mod faults;
mod folder;
mod hanging;
mod kills;
mod secrets;
mod tracer;

use std::path::PathBuf;

use serde_json::Value;
use testkit::certs::{self, Pair};
use testkit::origin::Origin;
use testkit::plane::{DEADLINE, Gateway};
use testkit::ports::{self, Port};
use testkit::wait;
use wire::{Frame, Mode, Position, Update};

use crate::control_plane::{Connected, FakeControlPlane, History, route, service};

/// A data plane whose control plane can be absent.
pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) origin: Origin,
    /// Every revision that was published, by its path.
    pub(crate) positions: Vec<Position>,
    control: Option<FakeControlPlane>,
    away: Option<History>,
    port: Port,
    pair: Pair,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Starts only the control plane.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = certs::valid(folder.path(), "cluster");
        let port = ports::reserve();
        let gateway = Gateway::at(&port.to_string(), &pair);
        let control = Some(FakeControlPlane::listen(port.address(), &pair).await);
        let (origin, positions, away) = (Origin::start(), Vec::new(), None);
        Self { gateway, origin, positions, control, away, port, pair, _folder: folder }
    }

    /// Starts both, with revision 1 live and on disk.
    pub(crate) async fn started() -> (Self, Connected) {
        let mut stage = Self::new().await;
        stage.gateway.node.spawn();
        let mut connected = stage.welcome().await;
        stage.push(&mut connected, Mode::Snapshot).await;
        stage.wait_on_disk(1).await;
        stage.gateway.node.wait_ready().await;
        (stage, connected)
    }

    /// Ends the control plane.
    pub(crate) fn control_ends(&mut self) {
        self.away = self.control.take().map(|control| control.history);
    }

    /// Restarts the control plane, which welcomes the data plane.
    pub(crate) async fn welcome(&mut self) -> Connected {
        if let Some(history) = self.away.take() {
            let mut control = FakeControlPlane::listen(self.port.address(), &self.pair).await;
            control.history = history;
            self.control = Some(control);
        }
        self.control.as_ref().unwrap().welcome().await
    }

    /// Creates the next revision with one more route, `/1` for the first. A snapshot has all routes.
    pub(crate) fn next(&mut self, mode: Mode) -> Update {
        self.next_with(mode, |_| {})
    }

    pub(crate) fn next_with(&mut self, mode: Mode, edit: impl Fn(&mut model::Route)) -> Update {
        let address = self.origin.address();
        let history = self.history();
        let revision = history.position.revision + 1;
        let first = if mode == Mode::Snapshot { 1 } else { revision };
        let mut changes: Vec<_> = (first..=revision).map(numbered).collect();
        let last = changes.last_mut().unwrap();
        let mut edited: model::Route = serde_json::from_slice(last.1.as_ref().unwrap()).unwrap();
        edit(&mut edited);
        last.1 = Some(serde_json::to_vec(&edited).unwrap().into());
        if mode == Mode::Snapshot {
            changes.push(service(1, address));
        }
        let update = history.update(mode, &changes);
        let position = history.position;
        self.positions.push(position);
        update
    }

    /// Creates the next revision, a delta with one more route and these changes.
    pub(crate) fn next_of(&mut self, changes: &[(wire::Key, Option<bytes::Bytes>)]) -> Update {
        let history = self.history();
        let route = numbered(history.position.revision + 1);
        let update = history.update(Mode::Delta, &[&[route], changes].concat());
        let position = history.position;
        self.positions.push(position);
        update
    }

    /// Creates the next revision, a delta with `len` bytes that do not compress, of a kind unknown to the
    /// data plane.
    pub(crate) fn next_heavy(&mut self, len: usize) -> Update {
        let noise: bytes::Bytes =
            std::iter::repeat_with(|| *uuid::Uuid::new_v4().as_bytes()).take(len / 16).flatten().collect();
        let history = self.history();
        let revision = history.position.revision + 1;
        let key = wire::Key { kind: wire::Kind(199), id: uuid::Uuid::from_u128(1) };
        let update = history.update(Mode::Delta, &[numbered(revision), (key, Some(noise))]);
        let position = history.position;
        self.positions.push(position);
        update
    }

    pub(crate) fn history(&mut self) -> &mut History {
        match (&mut self.control, &mut self.away) {
            (Some(control), _) => &mut control.history,
            (None, Some(history)) => history,
            (None, None) => unreachable!("it is here or away"),
        }
    }

    /// Sends the next revision and waits for its ack.
    pub(crate) async fn push(&mut self, connected: &mut Connected, mode: Mode) -> u64 {
        let update = self.next(mode);
        connected.update(&update).await.unwrap();
        update.header.to
    }

    pub(crate) fn position(&self, revision: u64) -> Position {
        self.positions[usize::try_from(revision).unwrap() - 1]
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.gateway.state().join(name)
    }

    pub(crate) async fn sync(&self) -> Value {
        self.gateway.node.status_view().await["sync"].clone()
    }

    pub(crate) async fn wait_on_disk(&self, revision: u64) {
        self.gateway
            .node
            .wait_status("synced on disk", |view| view["sync"]["disk_revision"] == revision)
            .await;
    }

    /// Asserts that every path up to `revision` is served and none beyond it, and that the status shows the
    /// configuration's hash.
    pub(crate) async fn serves(&self, revision: u64, context: &str) {
        let view = self.sync().await;
        assert_eq!(view["revision"], revision, "{context}: {view}");
        assert_eq!(view["config_hash"], self.position(revision).root.config_hash(), "{context}");
        let proxy = self.gateway.proxy();
        for told in 1..=self.positions.len() as u64 {
            let status = proxy.get(&path(told)).await.unwrap().status;
            assert_eq!(status, if told <= revision { 200 } else { 404 }, "{context}: {}", path(told));
        }
    }

    /// Waits until the program has ended by itself.
    pub(crate) async fn wait_death(&mut self) {
        self.gateway.node.process_mut().wait_exit(DEADLINE).await;
        self.gateway.node.kill9();
    }

    pub(crate) async fn wait_log(&mut self, text: &str) {
        let process = self.gateway.node.process_mut();
        wait::until(DEADLINE, text, || process.stderr().contains(text)).await;
    }
}

/// Sends an update and does not wait for the answer.
pub(crate) async fn send(connected: &mut Connected, update: &Update) {
    for frame in wire::EncodedUpdate::new(update).frames {
        connected.send(&Frame::decode(&frame).unwrap()).await;
    }
}

pub(crate) fn path(revision: u64) -> String {
    // Not a prefix of any other.
    format!("/r{revision}.")
}

fn numbered(revision: u64) -> (wire::Key, Option<bytes::Bytes>) {
    route(u128::from(revision), 1, &path(revision))
}
