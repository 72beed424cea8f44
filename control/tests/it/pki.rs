//! The commands `gibbon-control pki …`: the files that they make, their refusals and their output.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use node::identity::{Identity, PeerCertificate, Role};
use testkit::postgres;

const ID: &str = "2b0a4b6e-6f5c-4a4e-9d0f-4f5a0d1f7a11";

/// Runs `gibbon-control pki …` in `folder`, to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gibbon-control"))
        .arg("pki")
        .args(arguments)
        .current_dir(folder)
        .env("GIBBON_DATA_DIR", folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// As [`run`], for a command that must succeed; returns its output.
#[track_caller]
pub(crate) fn say(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = run(folder, arguments, variables);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn leaf(folder: &Path, name: &str) -> PeerCertificate {
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    Identity::load(&file("crt"), &file("key")).unwrap().leaf().clone()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_gives_each_node_a_pair_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    say(folder, &["init"], &[]);
    let said = say(folder, &["issue", "data-plane", "--name", "edge 1", "--node-id", ID], &[]);
    assert!(said.contains(ID) && said.contains("pki/edge_1.crt") && said.contains("pki/ca.crt"), "{said}");
    say(folder, &["issue", "control-plane", "--name", "control", "--out", "out"], &[]);

    let (data, control) = (leaf(folder, "pki/edge_1"), leaf(folder, "out/control"));
    assert_eq!((data.node.unwrap().role, data.subject.as_str()), (Role::DataPlane, "edge 1"));
    assert_eq!(data.node_id().unwrap().to_string(), ID);
    assert_eq!(control.node.unwrap().role, Role::ControlPlane);
    assert_ne!(control.node_id(), data.node_id());
    for key in ["pki/ca.key", "pki/edge_1.key", "out/control.key"] {
        assert_eq!(mode(&folder.join(key)), 0o600, "{key}");
    }
    let days = |leaf: &PeerCertificate| (leaf.not_after - leaf.not_before) / 86_400;
    assert_eq!((days(&data), days(&control)), (365, 365));
}

#[test]
fn a_certificate_never_outlives_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    say(folder.path(), &["init", "--days", "30"], &[]);
    say(folder.path(), &["issue", "data-plane", "--name", "edge"], &[]);
    let edge = leaf(folder.path(), "pki/edge");
    assert_eq!((edge.not_after - edge.not_before) / 86_400, 30);
}

#[test]
fn renewing_keeps_the_node_and_its_key_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    say(folder, &["init"], &[]);
    say(folder, &["issue", "data-plane", "--name", "edge", "--node-id", ID, "--days", "10"], &[]);
    let key = folder.join("pki/edge.key");
    let (first, first_key) = (leaf(folder, "pki/edge"), fs::read(&key).unwrap());

    say(folder, &["renew", "pki/edge.crt"], &[]);
    let second = leaf(folder, "pki/edge");
    assert_eq!((second.node, &second.subject), (first.node, &first.subject));
    assert!(second.not_after > first.not_after && second.serial != first.serial);
    assert_eq!(fs::read(&key).unwrap(), first_key);

    // The key may be on the node only; a new one is made when requested.
    fs::remove_file(&key).unwrap();
    say(folder, &["renew", "pki/edge.crt"], &[]);
    assert!(!key.exists());
    say(folder, &["renew", "pki/edge.crt", "--new-key"], &[]);
    assert_eq!(leaf(folder, "pki/edge").node, first.node);
    assert_ne!(fs::read(&key).unwrap(), first_key);
    assert_eq!(mode(&key), 0o600);
}

#[test]
fn files_are_replaced_by_force_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let commands: [&[&str]; 3] = [&["gen-cert"], &["init"], &["issue", "data-plane", "--name", "edge"]];
    for command in commands {
        say(folder, command, &[]);
        let output = run(folder, command, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(said.contains("is there already") && said.contains("--force"), "{said}");
        say(folder, &[command, &["--force"]].concat(), &[]);
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("no.crt"), "nothing").unwrap();
    say(folder, &["gen-cert"], &[]);
    say(folder, &["init"], &[]);
    say(folder, &["init", "--dir", "broken"], &[]);
    fs::copy(folder.join("cluster.crt"), folder.join("broken/ca.crt")).unwrap();
    let cases: [(&[&str], i32, &[&str]); 14] = [
        (&["issue", "gateway"], 64, &["gateway", "control-plane", "data-plane"]),
        (&["issue", "data-plane", "--node-id", "7"], 64, &["--node-id", "7"]),
        (&["issue", "data-plane", "--days", "0"], 64, &["--days", "1..=36500"]),
        (&["issue", "data-plane", "--dir", "nowhere"], 69, &["nowhere/ca.crt", "no such file", "pki init"]),
        (
            &["issue", "data-plane", "--dir", "broken"],
            69,
            &["broken/ca.crt", "not the certificate of an authority"],
        ),
        (&["issue", "data-plane", "--out", "no.crt"], 69, &["cannot write no.crt/data-plane-"]),
        (&["renew", "absent.crt"], 69, &["absent.crt", "no such file", "pki issue"]),
        (&["renew", "cluster.crt"], 69, &["cluster.crt", "names no node", "pki gen-cert"]),
        (&["show", "no.crt"], 69, &["no.crt", "no certificate"]),
        (&["show", "absent"], 69, &["absent", "no such file"]),
        (&["revoke", "edge"], 64, &["edge", "node id", "fingerprint", "serial"]),
        (&["revoke", "--config", "absent.toml", ID], 64, &["absent.toml"]),
        (&["revoke", ID], 64, &["shared mode", "fingerprint of the pair"]),
        (&["revoke", "12ab"], 69, &["gibbon.sqlite", "gibbon-control migrate"]),
    ];
    for (arguments, code, says) in cases {
        let output = run(folder, arguments, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for word in says {
            assert!(said.contains(word), "{arguments:?}: no {word} in: {said}");
        }
    }
}

#[test]
fn show_prints_what_an_operator_compares() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    say(folder, &["init"], &[]);
    say(folder, &["issue", "data-plane", "--name", "edge", "--node-id", ID], &[]);
    say(folder, &["gen-cert"], &[]);
    let said = say(folder, &["show"], &[]);
    let edge = leaf(folder, "pki/edge");
    for word in ["pki/ca.crt", "authority", "data plane", ID, "days left", &edge.serial] {
        assert!(said.contains(word), "no {word} in: {said}");
    }
    assert!(said.contains(&edge.fingerprint.to_string()) && !said.contains("REVOKED"), "{said}");
    let said = say(folder, &["show", "cluster.crt", "pki/edge.crt"], &[]);
    assert!(said.contains("any (shared mode)") && said.contains("edge"), "{said}");
}

#[test]
fn revocations_are_kept_in_either_database() {
    for url in [None, Some(postgres::shared().database())] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let url = url.unwrap_or_else(|| format!("sqlite://{}", folder.join("a.sqlite").display()));
        let config = format!("[database]\nurl = \"{url}\"\n[cluster]\nmtls = \"pki\"\nca = \"pki/ca.crt\"\n");
        fs::write(folder.join("c.toml"), config).unwrap();
        migrate(folder);
        say(folder, &["init"], &[]);
        say(folder, &["issue", "data-plane", "--name", "edge", "--node-id", ID], &[]);
        assert!(say(folder, &["show", "--config", "c.toml"], &[]).contains("nothing is revoked"));

        let serial = leaf(folder, "pki/edge").serial;
        for subject in [ID, &serial] {
            say(folder, &["revoke", "--config", "c.toml", subject, "--reason", "lost"], &[]);
            // A second time, the reason is replaced.
            say(folder, &["revoke", "--config", "c.toml", subject, "--reason", "stolen"], &[]);
            let said = say(folder, &["show", "--config", "c.toml"], &[]);
            assert!(said.contains(subject) && said.contains("stolen") && !said.contains("lost"), "{said}");
            let said = say(folder, &["show", "--config", "c.toml", "pki/edge.crt", "pki/ca.crt"], &[]);
            assert_eq!(said.matches("REVOKED      yes: stolen").count(), 1, "{said}");
            say(folder, &["unrevoke", "--config", "c.toml", subject], &[]);
        }
        let output = run(folder, &["unrevoke", "--config", "c.toml", ID], &[]);
        assert_eq!(output.status.code(), Some(69));
        assert!(String::from_utf8_lossy(&output.stderr).contains("is not revoked"));
        assert!(say(folder, &["show", "--config", "c.toml"], &[]).contains("nothing is revoked"));
    }
}

fn migrate(folder: &Path) {
    let program = Command::new(env!("CARGO_BIN_EXE_gibbon-control"))
        .args(["migrate", "--config", "c.toml"])
        .current_dir(folder)
        .output();
    assert!(program.unwrap().status.success());
}
