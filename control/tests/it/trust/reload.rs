//! Certificates that are replaced under running programs: no restart, no rejected handshake, no lost sync.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::certs::{self, Pair};
use testkit::origin::Origin;
use testkit::plane::{Control, DEADLINE, Database, Gateway, Node, Planes};
use testkit::wait;

use super::stage::{Stage, refusals, wait_metric};
use crate::pki;

const DONE: &str = r#"gibbon_cluster_certificate_reloads_total{result="done"}"#;
const REFUSED: &str = r#"gibbon_cluster_certificate_reloads_total{result="refused"}"#;
const RECONNECTS: &str = "gibbon_cluster_reconnects_total";
const EXPIRY: &str = "gibbon_cluster_certificate_expiry_timestamp_seconds";

/// The files that a node's configuration names, in a folder of its own as on a machine of its own.
struct Installed {
    folder: PathBuf,
}

impl Installed {
    fn new(root: &Path, name: &str) -> Self {
        let folder = root.join(name);
        fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Replaces a whole file, as `install` does.
    fn put(&self, name: &str, bytes: &[u8]) {
        let new = self.path("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    fn pair(&self, pair: &Pair) {
        self.put("own.key", &fs::read(&pair.key).unwrap());
        self.put("own.crt", &fs::read(&pair.cert).unwrap());
    }

    fn trusted(&self, certificates: &[&Path]) {
        let bytes: Vec<_> = certificates.iter().map(|path| fs::read(path).unwrap()).collect();
        self.put("trusted.crt", &bytes.concat());
    }

    fn configure(&self, node: &mut Node, mode: &str) {
        node.set("cluster.mtls", mode);
        node.set("cluster.cert", self.path("own.crt").display());
        node.set("cluster.key", self.path("own.key").display());
        node.set("cluster.ca", self.path("trusted.crt").display());
    }
}

/// A rotation: the certificates that each side holds and trusts, before and after.
struct Rotation {
    mode: &'static str,
    old: [Pair; 2],
    new: [Pair; 2],
    old_trusted: PathBuf,
    new_trusted: PathBuf,
}

/// Both programs, and their files: first the control plane's.
struct Running {
    planes: Planes,
    files: [Installed; 2],
    steps: u32,
}

impl Running {
    async fn start(root: tempfile::TempDir, rotation: &Rotation) -> Self {
        let files = ["control", "gateway"].map(|name| Installed::new(root.path(), name));
        for (own, pair) in files.iter().zip(&rotation.old) {
            own.pair(pair);
            own.trusted(&[&rotation.old_trusted]);
        }
        let mut control = Control::new(Database::Sqlite, &rotation.old[0]);
        files[0].configure(&mut control.node, rotation.mode);
        control.node.start().await;
        let mut gateway = Gateway::new(&[&control], &rotation.old[1]);
        files[1].configure(&mut gateway.node, rotation.mode);
        gateway.node.start().await;
        let pair = rotation.old[0].clone();
        let planes = Planes { control, gateway, origin: Origin::start(), pair, folder: root };
        planes.serve("/0").await;
        Self { planes, files, steps: 0 }
    }

    /// Changes the files of both sides, and waits until both have read them. Then checks that the connection
    /// has stayed, that a new one can be made, and that a change arrives.
    async fn step(&mut self, change: impl Fn(usize, &Installed)) {
        self.steps += 1;
        let (control, gateway) = (&self.planes.control.node, &self.planes.gateway.node);
        let before = [control.metric(DONE).await, gateway.metric(DONE).await];
        self.files.iter().enumerate().for_each(|(side, files)| change(side, files));
        wait_metric(control, DONE, |now| now > before[0]).await;
        wait_metric(gateway, DONE, |now| now > before[1]).await;
        assert_eq!(gateway.metric(RECONNECTS).await, f64::from(self.steps - 1), "the connection stays");

        self.reconnect().await;
        wait_metric(gateway, RECONNECTS, |now| now == f64::from(self.steps)).await;
        self.planes.serve(&format!("/{}", self.steps)).await;
        assert_eq!(refusals(control).await, 0.0);
    }

    /// Ends the connection; the data plane reconnects, with a complete handshake.
    async fn reconnect(&self) {
        let id = self.planes.gateway.node.status_view().await["sync"]["node_id"].as_str().unwrap().to_owned();
        let path = format!("/clustering/data-planes/{id}");
        self.planes.control.admin().delete(&path).await.unwrap().expect(204);
        wait::eventually(DEADLINE, || async {
            match self.planes.control.admin().get(&path).await.unwrap().status {
                200 => Ok(()),
                status => Err(status.to_string()),
            }
        })
        .await;
    }
}

async fn rotate(root: tempfile::TempDir, rotation: Rotation) {
    let mut running = Running::start(root, &rotation).await;
    let both = [rotation.new_trusted.as_path(), rotation.old_trusted.as_path()];
    running.step(|_, files| files.trusted(&both)).await;
    running.step(|side, files| files.pair(&rotation.new[side])).await;
    running.step(|_, files| files.trusted(&both[..1])).await;
    // The replaced certificate is not valid any more.
    running.files[1].pair(&rotation.old[1]);
    wait_metric(&running.planes.gateway.node, DONE, |now| now >= 4.0).await;
    let id = running.planes.gateway.node.status_view().await["sync"]["node_id"].as_str().unwrap().to_owned();
    let path = format!("/clustering/data-planes/{id}");
    running.planes.control.admin().delete(&path).await.unwrap().expect(204);
    running
        .planes
        .gateway
        .node
        .wait_status("refused", |view| {
            view["sync"]["last_error"].as_str().unwrap_or_default().contains("certificate")
        })
        .await;
    running.planes.gateway.wait_for("/3", 200).await;
}

#[tokio::test]
async fn a_shared_pair_is_replaced_without_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (certs::valid(root.path(), "old"), certs::valid(root.path(), "new"));
    let (old_trusted, new_trusted) = (old.cert.clone(), new.cert.clone());
    let (old, new) = ([old.clone(), old], [new.clone(), new]);
    rotate(root, Rotation { mode: "shared", old, new, old_trusted, new_trusted }).await;
}

#[tokio::test]
async fn an_authority_is_replaced_without_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let issue = |authority: &str, role: &str, id: &str| {
        let name = ["--name", role, "--node-id", id];
        pki::say(root.path(), &[&["issue", role, "--dir", authority][..], &name].concat(), &[]);
        let file = |end: &str| root.path().join(authority).join(format!("{role}.{end}"));
        Pair { cert: file("crt"), key: file("key") }
    };
    let ids = [uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string()];
    let [old, new] = ["old", "new"].map(|authority| {
        pki::say(root.path(), &["init", "--dir", authority], &[]);
        [issue(authority, "control-plane", &ids[0]), issue(authority, "data-plane", &ids[1])]
    });
    let trusted = |authority: &str| root.path().join(authority).join("ca.crt");
    let (old_trusted, new_trusted) = (trusted("old"), trusted("new"));
    rotate(root, Rotation { mode: "pki", old, new, old_trusted, new_trusted }).await;
}

#[tokio::test]
async fn a_renewed_certificate_shows_in_the_metrics_at_once() {
    let stage = Stage::serving(Database::Sqlite).await;
    for (node, name) in [(&stage.planes.control.node, "control"), (&stage.planes.gateway.node, "data")] {
        let before = node.metric(EXPIRY).await;
        stage.pki(&["renew", &format!("pki/{name}.crt"), "--days", "400"]);
        wait_metric(node, EXPIRY, |now| now > before + 34.0 * 86_400.0).await;
        assert_eq!(node.metric(DONE).await, 1.0);
        assert_eq!(node.metric(REFUSED).await, 0.0);
    }
    assert_eq!(stage.planes.gateway.node.metric(RECONNECTS).await, 0.0);
}

#[tokio::test]
async fn a_bad_or_half_written_file_leaves_the_old_in_force_on_both_sides() {
    let stage = Stage::serving(Database::Sqlite).await;
    let (other, trust) = (stage.issue("data-plane", "other"), stage.trust());
    let id = stage.leaf("other").node_id().unwrap();
    let read = |name: &str| fs::read(stage.file(name)).unwrap();
    let half = |name: &str| {
        let whole = read(name);
        whole[..whole.len() / 2].to_vec()
    };
    for (name, bad) in [
        ("control.crt", half("control.crt")),
        ("data.crt", half("data.crt")),
        ("ca.crt", half("ca.crt")),
        // Whole, but of another role, and another node's key.
        ("control.crt", read("data.crt")),
        ("data.key", read("control.key")),
    ] {
        let (good, before) = (read(name), reloads(&stage, name).await);
        fs::write(stage.file(name), bad).unwrap();
        wait_reloads(&stage, name, |now, before| now.1 > before.1, &before).await;
        // New connections use the previous good files.
        stage.greet_with(&trust, &other, id).await.unwrap();

        // Under another name first, so that it is never half written.
        let restored = stage.file("restored");
        fs::write(&restored, good).unwrap();
        fs::rename(restored, stage.file(name)).unwrap();
        wait_reloads(&stage, name, |now, before| now.0 > before.0, &before).await;
    }
    assert_eq!(stage.planes.gateway.node.metric(RECONNECTS).await, 0.0);
    stage.planes.serve("/b").await;
    for (node, names) in [
        (&stage.planes.control.node, ["control.crt", "ca.crt"]),
        (&stage.planes.gateway.node, ["data.key", "ca.crt"]),
    ] {
        for name in names {
            let is_refusal = |line: &str| line.contains("stays in force") && line.contains(name);
            wait::until(DEADLINE, name, || node.log().lines().any(is_refusal)).await;
        }
    }
}

/// Returns how often changed files were accepted and rejected, by each program that has `file`.
async fn reloads(stage: &Stage, file: &str) -> Vec<(f64, f64)> {
    let mut counts = Vec::new();
    for node in nodes(stage, file) {
        counts.push((node.metric(DONE).await, node.metric(REFUSED).await));
    }
    counts
}

async fn wait_reloads(
    stage: &Stage,
    file: &str,
    holds: impl Fn(&(f64, f64), &(f64, f64)) -> bool,
    before: &[(f64, f64)],
) {
    wait::eventually(DEADLINE, || async {
        let now = reloads(stage, file).await;
        let all = now.iter().zip(before).all(|(now, before)| holds(now, before));
        if all { Ok(()) } else { Err(format!("{file}: {now:?} after {before:?}")) }
    })
    .await;
}

/// The authority's certificate is on both sides.
fn nodes<'a>(stage: &'a Stage, file: &str) -> Vec<&'a Node> {
    let sides = [("control", &stage.planes.control.node), ("data", &stage.planes.gateway.node)];
    let having = sides.into_iter().filter(|(side, _)| file.starts_with(side) || file == "ca.crt");
    having.map(|(_, node)| node).collect()
}
