//! The Unix socket: every client that may open it may do everything.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use node::tokens::TokenRole;
use tokio::process::Command;

use super::{Stage, token};

#[tokio::test]
async fn socket_needs_no_token_and_survives_a_crash() {
    let mut stage = Stage::new();
    let path = stage.folder.path().join("admin.sock");
    stage.write_tokens(&[&token("alice", TokenRole::Read)]);
    stage.control.node.set("admin.tokens", stage.folder.path().join("tokens").display());
    stage.control.node.set("admin.socket", path.display());
    stage.control.node.set("admin.socket_mode", "0660");
    stage.control.node.start().await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(curl(&path, &["-d", "name=a", "-d", "host=b"]).await, "201");
    assert_eq!(curl(&path, &["-H", "Origin: https://evil.example"]).await, "403");
    stage.control.node.wait_log(&format!("uid {}", nix::unistd::getuid())).await;
    stage.control.node.wait_log("unix:uid=").await;

    stage.control.node.kill9();
    assert!(path.exists());
    stage.control.node.start().await;
    assert_eq!(curl(&path, &[]).await, "200");
    stage.stop().await;
    assert!(!path.exists());
}

/// Returns the status of `/services`.
async fn curl(socket: &Path, arguments: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "20"]);
    curl.arg("--unix-socket").arg(socket).args(arguments).arg("http://any.example/services");
    let output = curl.kill_on_drop(true).output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
