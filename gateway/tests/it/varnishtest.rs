//! Runs the scripts of `tests/varnishtest`. In them `varnishtest` plays a client and an origin, byte by byte,
//! around a gateway that proxies everything to `${origin}`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use testkit::ports;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::{Gateway, at, route};

#[tokio::test(flavor = "multi_thread")]
async fn every_script_is_played_as_written() {
    let mut runs = JoinSet::new();
    for script in scripts() {
        runs.spawn(play(script));
    }
    let failures: Vec<_> = runs.join_all().await.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{} scripts failed:\n{}", failures.len(), failures.join("\n"));
}

/// What `varnishtest` says when another program of this machine has the port of the origin.
const PORT_IS_TAKEN: &str = "cannot be resolved: bind(2)";

/// Runs a script; returns the failure, if there is one.
async fn play(script: PathBuf) -> Option<String> {
    let failure = play_once(&script).await?;
    if failure.contains(PORT_IS_TAKEN) { play_once(&script).await } else { Some(failure) }
}

async fn play_once(script: &Path) -> Option<String> {
    let (gateway, origin) = (Gateway::start(), ports::reserve());
    gateway.serve(at(1, origin.address()), route(1, "/"));
    let define = |name: &str, address: SocketAddr| format!("-D{name}={address}");
    let output = Command::new("varnishtest")
        .arg(define("gateway", gateway.address()))
        .arg(define("origin", origin.address()))
        .args(["-t", "20"])
        .arg(script)
        .output()
        .await
        .unwrap_or_else(|error| panic!("varnishtest: {error}; .ci/install installs it"));
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    (!output.status.success()).then(|| format!("--- {}\n{log}", script.display()))
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/varnishtest");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let chosen = std::env::var("GIBBON_TEST_SCRIPT").unwrap_or_default();
    let scripts: Vec<_> = files.filter(|path| path.to_string_lossy().contains(&chosen)).collect();
    assert!(scripts.iter().all(|path| path.extension().is_some_and(|extension| extension == "vtc")));
    assert!(!scripts.is_empty());
    scripts
}
