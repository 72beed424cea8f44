//! Files that change under a running node.

use std::path::PathBuf;

use testkit::certs::{Authority, Pair, Usage};
use uuid::Uuid;

use super::*;

struct Node {
    folder: tempfile::TempDir,
    files: Files,
}

impl Node {
    /// Files with copies of this pair, as an operator would install them.
    fn shared(pair: impl FnOnce(&Path) -> Pair) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = |name: &str| folder.path().join(name);
        let files = Files {
            mode: Mode::Shared,
            role: Role::DataPlane,
            certificate: own("own.crt"),
            key: own("own.key"),
            ca: None,
        };
        let node = Self { files, folder };
        node.install(&pair(node.folder.path()));
        node
    }

    fn install(&self, pair: &Pair) {
        replace(&self.files.key, &std::fs::read(&pair.key).unwrap());
        replace(&self.files.certificate, &std::fs::read(&pair.cert).unwrap());
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    let new: PathBuf = path.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn data_plane(authority: &Authority, id: u128) -> Pair {
    let name = NodeName { role: Role::DataPlane, id: Uuid::from_u128(id) }.to_string();
    authority.issue("data", &[&name], &[Usage::ClientAuth])
}

#[test]
fn a_new_pair_is_read_once() {
    let node = Node::shared(|folder| certs::valid(folder, "a"));
    let mut reloader = IdentityReloader::open(node.files.clone()).unwrap();
    let before = reloader.identity().fingerprint();
    assert!(!reloader.refresh().unwrap());
    node.install(&certs::valid(node.folder.path(), "b"));
    assert!(reloader.refresh().unwrap());
    assert_ne!(reloader.identity().fingerprint(), before);
    assert!(!reloader.refresh().unwrap());
}

#[test]
fn a_file_written_in_parts_leaves_the_old_in_force_and_is_complained_of_once() {
    let node = Node::shared(|folder| certs::valid(folder, "a"));
    let mut reloader = IdentityReloader::open(node.files.clone()).unwrap();
    let before = reloader.identity().fingerprint();
    let new = certs::valid(node.folder.path(), "b");
    let whole = std::fs::read(&new.cert).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 20, whole.len()] {
        std::fs::write(&node.files.certificate, &whole[..length]).unwrap();
        let error = reloader.refresh().unwrap_err().to_string();
        // The whole certificate is not enough: the key is still that of the old pair.
        let word = if length == whole.len() { "own.key" } else { "own.crt" };
        assert!(error.contains(word), "{length}: {error}");
        assert!(!reloader.refresh().unwrap(), "said twice");
        assert_eq!(reloader.identity().fingerprint(), before);
    }
    std::fs::remove_file(&node.files.key).unwrap();
    assert!(reloader.refresh().unwrap_err().to_string().contains("no such file"));
    node.install(&new);
    assert!(reloader.refresh().unwrap());
    assert_ne!(reloader.identity().fingerprint(), before);
}

#[test]
fn a_node_runs_under_one_name_and_in_one_role() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let mut node = Node::shared(|_| data_plane(&authority, 1));
    (node.files.mode, node.files.ca) = (Mode::Pki, Some(authority.cert.clone()));
    let mut reloader = IdentityReloader::open(node.files.clone()).unwrap();
    assert_eq!(reloader.identity().leaf().node_id(), Some(Uuid::from_u128(1)));

    node.install(&data_plane(&authority, 2));
    let error = reloader.refresh().unwrap_err().to_string();
    assert!(error.contains(&Uuid::from_u128(2).to_string()) && error.contains("start it anew"), "{error}");
    assert_eq!(reloader.identity().leaf().node_id(), Some(Uuid::from_u128(1)));
    node.install(&data_plane(&authority, 1));
    assert!(reloader.refresh().unwrap());

    let files = Files { role: Role::ControlPlane, ..node.files.clone() };
    let error = IdentityReloader::open(files).unwrap_err().to_string();
    assert!(
        error.contains("of a data plane, this is a control plane") && error.contains("pki issue"),
        "{error}"
    );
    let files = Files { ca: Some(node.files.certificate.clone()), ..node.files.clone() };
    let error = IdentityReloader::open(files).unwrap_err().to_string();
    assert!(error.contains("own.crt") && error.contains("not the certificate of an authority"), "{error}");
    let unnamed = Node::shared(|folder| certs::valid(folder, "a"));
    let files = Files { mode: Mode::Pki, ca: Some(authority.cert), ..unnamed.files.clone() };
    assert!(IdentityReloader::open(files).unwrap_err().to_string().contains("it names no node"));
}
